"""The split: which of a user's events train, and which are targets of validation and test. NumPy over flat arrays.

A target's history is every earlier event of its user, whichever part those events are in.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from seqrec.events.ragged import Ragged


@dataclass(frozen=True)
class Targets:
    """For each user a range of target positions, counted from the user's first event: start <= position < end."""

    start: np.ndarray  # int64 [users]
    end: np.ndarray  # int64 [users]; not above `start` where there is no target.

    @property
    def lengths(self) -> np.ndarray:
        return np.maximum(self.end - self.start, 0)


@dataclass(frozen=True)
class Split:
    """For each user the number of leading events that train, and its targets in the other two parts."""

    num_train: np.ndarray  # int64 [users]
    validation: Targets
    test: Targets


@dataclass(frozen=True, kw_only=True)
class SplitRule:
    """The rule that splits each user's events; all fields but `kind` are for the temporal split."""

    kind: Literal["leave_last_out", "temporal"]
    validation_from: int = 0  # First second of the validation part.
    test_from: int = 0  # First second of the test part.
    every_target: bool = False  # Whether all events after a boundary are targets, or only a user's first one.

    def apply(self, times: Ragged) -> Split:
        """Splits the events of each user; `times` ascend within a user."""
        return _leave_last_out(times.lengths) if self.kind == "leave_last_out" else self._temporal(times)

    def _temporal(self, times: Ragged) -> Split:
        num_train = times.sums(times.values < self.validation_from)
        num_before_test = times.sums(times.values < self.test_from)
        return Split(
            num_train, self._targets(num_train, num_before_test), self._targets(num_before_test, times.lengths)
        )

    def _targets(self, start: np.ndarray, end: np.ndarray) -> Targets:
        """The events from `start` to `end`, or the first of them. A user's very first event has no history, so it is
        never a target.
        """
        if self.every_target:
            return Targets(np.maximum(start, 1), end)
        return Targets(start, np.where(start >= 1, np.minimum(end, start + 1), start))


def _leave_last_out(lengths: np.ndarray) -> Split:
    """The last event is the test target, the event before it is the validation target, and all others train."""
    return Split(
        num_train=np.maximum(lengths - 2, 0),
        validation=Targets(np.maximum(lengths - 2, 1), lengths - 1),
        test=Targets(np.maximum(lengths - 1, 1), lengths),
    )


def num_training_events(split: Split) -> np.ndarray:
    """int64 [users], events of each user that occur in training: 0 if the training part has no target."""
    return np.where(split.num_train >= 2, split.num_train, 0)


def num_training_targets(split: Split) -> np.ndarray:
    """int64 [users], training targets of each user: all events of the training part but the first."""
    return np.maximum(split.num_train - 1, 0)
