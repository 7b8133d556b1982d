"""From users' events to the rows of the sequence tables, in NumPy over flat arrays, without a loop over users."""

from dataclasses import dataclass

import numpy as np

from seqrec.events.ragged import Ragged, ranges
from seqrec.preparation.splits.splits import Targets


@dataclass(frozen=True)
class UserEvents:
    """The events of a batch of users in time order, a list per user."""

    items: Ragged  # int32
    times: Ragged  # int64, seconds; lists of the same lengths.

    @property
    def first_times(self) -> np.ndarray:
        """int64 [users], time of each user's first event; every user has one."""
        return self.times.values[self.times.offsets[:-1]]


@dataclass(frozen=True)
class SegmentRows:
    """Rows of a sequence table, each of which holds a segment of its user's events. All arrays are int64 [R]."""

    owner: np.ndarray  # Number of the user within the batch.
    start: np.ndarray  # First event of the segment, counted over all events of the batch.
    end: np.ndarray  # The event after the last one of the segment.
    position: np.ndarray  # In training, leading events that are only context; else the user's events before the target.

    def __len__(self) -> int:
        return len(self.owner)


def cut_segments(offsets: np.ndarray, num_train: np.ndarray, max_targets: int, max_history: int) -> SegmentRows:
    """Training parts as segments of at most `max_targets` targets, each led by up to `max_history` events of context.

    Every event of a training part but the first is a target in exactly one segment. A part of fewer than two events
    has no target and gives no segment.

    Args:
        offsets: int64 [users + 1], where each user's events begin among the events of the batch.
        num_train: int64 [users], leading events of each user that train.
    """
    num_targets = np.maximum(num_train - 1, 0)
    num_segments = -(-num_targets // max_targets)
    owner = np.repeat(np.arange(len(num_train)), num_segments)
    first_target = 1 + ranges(np.zeros_like(num_segments), num_segments) * max_targets
    start = np.maximum(first_target - max_history, 0)
    end = np.minimum(first_target + max_targets, num_train[owner])
    begin = offsets[owner]
    return SegmentRows(owner, begin + start, begin + end, first_target - start)


def cut_histories(offsets: np.ndarray, targets: Targets, max_history: int) -> SegmentRows:
    """One row per target. Its segment is the last `max_history` events before the target; `end` is the target."""
    owner = np.repeat(np.arange(len(targets.start)), targets.lengths)
    position = ranges(targets.start, targets.lengths)
    begin = offsets[owner]
    return SegmentRows(owner, begin + np.maximum(position - max_history, 0), begin + position, position)
