"""Progress for people: a bar, one line per epoch, and history.csv. Free of TensorFlow."""

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tqdm import tqdm


class ProgressBar:
    """A bar over the steps of each epoch; written to a file, it is a line twice a minute."""

    def __init__(self, stream: Any = None):
        self._stream = stream or sys.stderr
        self._bar: tqdm | None = None
        self._epoch = -1

    def show(self, epoch: int, step: int, steps: int, figures: Mapping[str, float]) -> None:
        """Moves the bar of `epoch` (0 is the first) to `step` of `steps`."""
        if self._bar is None or epoch != self._epoch:
            self.close()
            is_terminal = getattr(self._stream, "isatty", lambda: False)()
            self._bar = tqdm(
                total=steps,
                initial=step,
                desc=f"epoch {epoch + 1}",
                unit="step",
                file=self._stream,
                mininterval=0.2 if is_terminal else 30.0,
                delay=0.0 if is_terminal else 30.0,
                leave=False,
                dynamic_ncols=is_terminal,
            )
            self._epoch = epoch
        self._bar.set_postfix({name: f"{value:.4g}" for name, value in figures.items()}, refresh=False)
        self._bar.update(step - self._bar.n)

    def write(self, line: str) -> None:
        """Prints a line above the bar."""
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def epoch_line(row: Mapping[str, Any], num_epochs: int, is_best: bool) -> str:
    """One line for a finished epoch, such as "epoch 3/10  loss 1.2345  auc 0.7012 ...  12.3 s  best"."""
    skipped = {"epoch", "loss", "seconds", "examples_per_second", "wait_share", "global_step", "steps"}
    metrics = "  ".join(f"{name} {value:.4f}" for name, value in row.items() if name not in skipped)
    return (
        f"epoch {row['epoch']}/{num_epochs}  loss {row['loss']:.4f}  {metrics}  {row['seconds']:.1f} s  "
        f"{row['examples_per_second']:,.0f} examples/s{'  best' if is_best else ''}"
    )


def history_csv(history: Sequence[Mapping[str, Any]]) -> bytes:
    """The rows of all epochs as CSV; empty where an epoch has no value, as before a metric was added."""
    if not history:
        return b""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(dict.fromkeys(name for row in history for name in row)))
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue().encode()
