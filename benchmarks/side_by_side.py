"""Two sides of a benchmark as processes that wait while the other works."""

import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


class Side:
    """A process that answers "train 20" or "score 20" with what it did and its seconds of clock and processor."""

    def __init__(self, name: str, command: list[str]) -> None:
        environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "TF_CPP_MIN_LOG_LEVEL": "3"}
        self.name = name
        self.rates: list[float] = []
        self.costs: list[float] = []  # Processor milliseconds for one.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def wait_until_ready(self) -> None:
        for line in self._process.stdout:
            if line.strip() == "ready":
                return
        raise SystemExit(f"{self.name}: the process ended before it was ready; run it alone to see why.")

    def work(self, kind: str, number: int) -> None:
        print(kind, number, file=self._process.stdin, flush=True)
        done, seconds, processor_seconds = self._process.stdout.readline().split()
        self.rates.append(int(done) / float(seconds))
        self.costs.append(1e3 * float(processor_seconds) / int(done))

    def stop(self) -> None:
        self._process.stdin.close()
        self._process.wait()

    @property
    def median(self) -> float:
        return statistics.median(self.rates)

    @property
    def cost(self) -> float:
        return statistics.median(self.costs)


def reference_side(python: str, model: str, reviews: str, folder: str, full: bool) -> Side:
    arguments = [model, reviews, folder, "full" if full else "as-is"]
    return Side("reference", [python, str(HERE / "reference_process.py"), *arguments])


def our_side(model: str, reviews: str, full: bool, compatibility: str, num_streams: int = 1) -> Side:
    arguments = [model, reviews, "full" if full else "as-is", compatibility, str(num_streams)]
    name = f"seqrec, {compatibility}, {num_streams} stream{'s' if num_streams > 1 else ''}"
    return Side(name, [sys.executable, str(HERE / "seqrec_process.py"), *arguments])


def compare(sides: list[Side], kind: str, numbers: list[int], rounds: int) -> None:
    """Lets the sides work in turn, `rounds` times; the first round of each is not counted."""
    for side in sides:
        side.wait_until_ready()
    for _ in range(rounds + 1):
        for side, number in zip(sides, numbers, strict=True):
            side.work(kind, number)
    for side in sides:
        side.rates.pop(0)
        side.costs.pop(0)
        side.stop()


def print_table(model: str, histories: str, unit: str, sides: list[Side]) -> None:
    for side in sides:
        times = side.median / sides[0].median
        cost, cheaper = side.cost, sides[0].cost / side.cost
        spread = f"{min(side.rates):,.0f} to {max(side.rates):,.0f}"
        print(
            f"| {model} | {histories} | {side.name} | {side.median:,.0f} | {spread} | {times:.1f} "
            f"| {cost:.3f} | {cheaper:.1f} |",
            flush=True,
        )


def print_header(unit: str) -> None:
    print(
        f"| model | histories | side | {unit}/s, median | from, to | times the reference "
        "| processor ms each | reference's over it |\n|---|---|---|---|---|---|---|---|"
    )
