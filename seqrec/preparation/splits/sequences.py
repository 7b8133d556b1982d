"""From users' events to the rows of the sequence tables. NumPy over flat arrays, no loop over users."""

from dataclasses import dataclass

import numpy as np

from seqrec.events.ragged import Ragged, ranges
from seqrec.preparation.splits.splits import Targets


@dataclass(frozen=True)
class Events:
    """Users' events in time order; the same lengths in both lists."""

    items: Ragged
    times: Ragged

    @property
    def first_times(self) -> np.ndarray:
        """Time of each user's first event; every user has one."""
        return self.times.values[self.times.offsets[:-1]]


@dataclass(frozen=True)
class Rows:
    """Rows of a sequence table: whose they are, and the slice of the flat event arrays that each holds."""

    owner: np.ndarray  # Number of the user within the batch.
    start: np.ndarray  # First event of the slice, counted over all events of the batch.
    end: np.ndarray
    position: (
        np.ndarray
    )  # Segments: leading events that are only context. Histories: number of events before the target.

    def __len__(self) -> int:
        return len(self.owner)


def cut_segments(offsets: np.ndarray, num_train: np.ndarray, max_targets: int, max_history: int) -> Rows:
    """Training parts as segments of at most `max_targets` targets, each led by up to `max_history` events of context.

    Every event of a training part but the first is a target in exactly one segment. A part of fewer than two
    events has no target and gives no segment.
    """
    num_targets = np.maximum(num_train - 1, 0)
    num_segments = -(-num_targets // max_targets)
    owner = np.repeat(np.arange(len(num_train)), num_segments)
    first_target = 1 + ranges(np.zeros_like(num_segments), num_segments) * max_targets
    start = np.maximum(first_target - max_history, 0)
    end = np.minimum(first_target + max_targets, num_train[owner])
    begin = offsets[owner]
    return Rows(owner, begin + start, begin + end, first_target - start)


def cut_histories(offsets: np.ndarray, targets: Targets, max_history: int) -> Rows:
    """One row per target: the slice is the last `max_history` events before it, and ends at the target."""
    owner = np.repeat(np.arange(len(targets.start)), targets.lengths)
    position = ranges(targets.start, targets.lengths)
    begin = offsets[owner]
    return Rows(owner, begin + np.maximum(position - max_history, 0), begin + position, position)
