"""Runs of events over flat arrays: parts of users' histories in which nearly every event is a target.

A segment with more targets than a run can hold becomes several runs. They are cut from its end, so the newest events
get the longest histories; neighbouring runs share one event, which is the last target of one and the first input of
the next. Legend: B runs of a batch, L longest run, E events, R segments, N runs.
"""

from typing import NamedTuple

import numpy as np

from seqrec.core.batch import EventRuns
from seqrec.events.ragged import blocks, padded, ranges
from seqrec.events.windows import Segments


class RunEvents(NamedTuple):
    """The events of many segments, one after the other, and the runs that they are cut into, oldest first."""

    items: np.ndarray  # int32 [E + L], index of the item; the padding at the end lets runs reach over it.
    seconds: np.ndarray  # float32 [E + L], time since the event before; 0 for the first event of a segment.
    starts: np.ndarray  # int64 [N], number of each run's first event.
    lengths: np.ndarray  # int32 [N], events of each run that are read, at most L; the next one is the last target.
    num_context: np.ndarray  # int32 [N], leading events of each run after which nothing is predicted.

    @property
    def num_targets(self) -> np.ndarray:
        """int32 [N], targets of each run."""
        return self.lengths - self.num_context


def num_runs_of(lengths: np.ndarray, num_context: np.ndarray, max_history_length: int) -> np.ndarray:
    """int64 [R]: the runs that each segment is cut into.

    Args:
        lengths: int [R], events of each segment.
        num_context: int [R], leading events of each segment that are no targets.
        max_history_length: most events that a run reads, and most targets that it has.
    """
    num_targets = np.maximum(lengths - np.maximum(num_context, 1), 0)
    return -(-num_targets.astype(np.int64) // max_history_length)


def build_runs(segments: Segments, max_history_length: int) -> RunEvents:
    """Cuts segments into runs that read at most `max_history_length` events each.

    Every event behind a segment's context is the target of exactly one run. The first event of a segment is never a
    target, as no event precedes it. A segment's first run also reads as much of its context as fits.
    """
    lengths = segments.items.lengths
    num_runs = num_runs_of(lengths, segments.num_context, max_history_length)
    owner = np.repeat(np.arange(len(lengths)), num_runs)
    runs_behind = num_runs[owner] - 1 - ranges(np.zeros_like(num_runs), num_runs)
    segment_start = segments.items.offsets[:-1][owner]
    end = segments.items.offsets[1:][owner] - runs_behind * max_history_length  # The event behind the last target.
    starts = np.maximum(segment_start, end - max_history_length - 1)
    first_target = np.maximum(segment_start + np.maximum(segments.num_context, 1)[owner], end - max_history_length)
    return RunEvents(
        items=padded(segments.items.values.astype(np.int32, copy=False), max_history_length),
        seconds=padded(_seconds_between(segments), max_history_length),
        starts=starts,
        lengths=(end - 1 - starts).astype(np.int32),
        num_context=(first_target - 1 - starts).astype(np.int32),
    )


def cut_runs(events: RunEvents, runs: np.ndarray, max_history_length: int) -> tuple[EventRuns, np.ndarray]:
    """The runs numbered `runs`, int64 [B], and their targets: arrays [B, L], right padded with 0.

    The target int32 [b, t] is the event after item [b, t]; 0 where nothing is predicted.
    """
    starts, length = events.starts[runs], events.lengths[runs]
    place = np.arange(max_history_length, dtype=np.int32)
    is_read = place < length[:, None]  # [B, L]
    items = blocks(events.items, starts, max_history_length)
    items *= is_read
    targets = blocks(events.items, starts + 1, max_history_length)
    targets *= is_read & (place >= events.num_context[runs][:, None])
    seconds = blocks(events.seconds, starts, max_history_length)
    seconds *= is_read
    seconds[:, 0] = 0.0  # The event before the first one is not in the run.
    return EventRuns(items, length, seconds), targets


def _seconds_between(segments: Segments) -> np.ndarray:
    """float32 [E], time since the event before; subtracted as integers, as float32 is exact only up to 2^24."""
    seconds = np.diff(segments.timestamps, prepend=segments.timestamps[:1])
    seconds[segments.items.offsets[:-1][segments.items.lengths > 0]] = 0
    return seconds.astype(np.float32)
