"""What a worker is handed, where training stands, and the errors that driver and workers share. No TensorFlow here."""

import math
from dataclasses import dataclass, field
from typing import Any

from seqrec.core import errors
from seqrec.core.errors import SeqrecError, TrainingError
from seqrec.core.manifest import Manifest
from seqrec.feed.config import FeedConfig
from seqrec.models.config import ModelConfig
from seqrec.training.config import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """Everything that a worker needs to know, as plain values that can be sent to another machine."""

    workdir: str  # URI of the folder that every other path is relative to.
    prepared: str  # The manifest of the prepared data, as JSON.
    attempt_path: str  # Folder that the run is written to, relative to the workdir.
    resume_path: str | None  # Another attempt to resume from while this one has no checkpoint; None: no other.
    control: str  # URI of the folder that holds the workers' status files; see `reporting/status.py`.
    model: ModelConfig
    training: TrainingConfig
    seed: int
    feed: FeedConfig = field(default_factory=FeedConfig)
    # Runs of events in each training file (see `count_runs`). None: there are none, or the worker counts them itself.
    num_runs: tuple[int, ...] | None = None

    lists: str | None = None  # The manifest of the training targets' candidates, as JSON; None: none are drawn from.

    def prepared_manifest(self) -> Manifest:
        return Manifest.from_json(self.prepared, "the prepared data's manifest")


@dataclass
class TrainingState:
    """Where training stands between two steps. With the variables it is all that an exact resume needs."""

    epoch: int = 0  # The epoch that training is in; 0 is the first.
    step: int = 0  # Steps done in this epoch.
    global_step: int = 0  # Steps done in all epochs together.
    loss_sum: float = 0.0  # Sum of the losses of this epoch's steps.
    best_value: float | None = None  # Best value of the validation metric so far; None before the first epoch's end.
    best_epoch: int = -1  # The epoch that gave the best value.
    stopped_early: bool = False  # True once `patience` epochs have passed without a better value.
    history: list[dict[str, Any]] = field(default_factory=list)  # One row for each finished epoch.

    def end_epoch(self, row: dict[str, Any], metric: float, patience: int) -> bool:
        """Moves on to the next epoch; returns whether the one that ends is the best so far."""
        is_best = is_better(metric, self.best_value)
        if is_best:
            self.best_value, self.best_epoch = metric, self.epoch
        self.history.append(row)
        self.stopped_early = 0 < patience <= self.epoch - self.best_epoch
        self.epoch, self.step, self.loss_sum = self.epoch + 1, 0, 0.0
        return is_best

    def is_complete(self, num_epochs: int) -> bool:
        """Whether training is over: every epoch is done, or it was stopped early."""
        return self.epoch >= num_epochs or self.stopped_early


def is_better(metric: float, best: float | None) -> bool:
    """Whether a metric is better than the best before it; None: there is none before it.

    Any number is better than no number: a first metric of NaN is beaten by the next one that is not.
    """
    if best is None or math.isnan(best):
        return best is None or not math.isnan(metric)
    return metric > best


def stop_error(epoch: int, step: int, why: str = "") -> TrainingError:
    """The error of training that has saved and ended before its last epoch; `why` follows the place."""
    return TrainingError(
        f"Stopped after step {step} of epoch {epoch + 1}{why}; saved there. Run the job again to resume."
    )


def user_error(name: str, message: str) -> SeqrecError:
    """A worker's error as an exception of the driver: the class of `seqrec.core.errors` called `name`."""
    kind = getattr(errors, name, TrainingError)
    return kind(message)
