"""Windows over flat arrays of events: histories and their times, cut for a whole batch at once.

Legend: B examples, L padded history length, E events, R segments, T targets. No Python loop runs over examples.
"""

from typing import NamedTuple

import numpy as np

from seqrec.core.batch import History
from seqrec.events.ragged import Ragged, blocks, padded


class Segments(NamedTuple):
    """Rows of `sequences/train`: R parts of users' events, E events in all."""

    items: Ragged  # int32, item indices of R segments, oldest first.
    timestamps: np.ndarray  # int64 [E], seconds; one for each value of `items`.
    first_timestamps: np.ndarray  # int64 [R], the user's first event, which the segment need not hold.
    num_context: np.ndarray  # int [R], leading events of each segment that are history only.


class WindowEvents(NamedTuple):
    """The events of many segments (or histories), one after the other, ready to be cut."""

    items: np.ndarray  # int32 [E + L], index of the item; the padding at the end lets windows run over.
    seconds: np.ndarray  # int32 (int64 beyond 34 years) [E + L], since the user's first event.
    position: np.ndarray  # int32 [E], number of the event within its segment: how many events can precede it.
    num_targets: int  # T
    targets: np.ndarray  # int64 [T], numbers of the events that are targets.


def build_events(segments: Segments, max_history_length: int) -> WindowEvents:
    """Lays out segments for windows of at most `max_history_length` events."""
    lengths, num_events = segments.items.lengths, len(segments.items.values)
    position = (np.arange(num_events) - np.repeat(segments.items.offsets[:-1], lengths)).astype(np.int32)
    targets = np.flatnonzero(position >= np.repeat(segments.num_context, lengths))
    seconds = segments.timestamps - np.repeat(segments.first_timestamps, lengths)
    return WindowEvents(
        items=padded(segments.items.values.astype(np.int32, copy=False), max_history_length),
        seconds=padded(_narrow(seconds), max_history_length),
        position=position,
        num_targets=len(targets),
        targets=targets,
    )


def cut_histories(
    events: WindowEvents, ends: np.ndarray, available: np.ndarray, target_seconds: np.ndarray, max_history_length: int
) -> History:
    """The last events before `ends`, right padded.

    Args:
        ends: int64 [B], number of the event that follows the history (the target, or the next row's first event).
        available: int [B], how many events the history may reach back.
        target_seconds: int [B], time of the target, counted like `events.seconds`.

    Returns:
        A History of arrays [B, L], L = max_history_length.
    """
    length = np.minimum(available, max_history_length).astype(np.int32)
    starts = ends - length
    is_real = np.arange(max_history_length, dtype=np.int32) < length[:, None]  # [B, L]
    items = blocks(events.items, starts, max_history_length)
    items *= is_real
    # Seconds are subtracted as integers and cast afterwards: float32 is exact only up to 2^24.
    seconds = blocks(events.seconds, starts, max_history_length)
    to_target = target_seconds[:, None] - seconds
    to_target *= is_real
    seconds *= is_real
    return History(items, length, to_target.astype(np.float32), seconds.astype(np.float32))


def cut_examples(events: WindowEvents, targets: np.ndarray, max_history_length: int) -> tuple[History, np.ndarray]:
    """History [B, L] and item [B] of the training targets whose event numbers are `targets`, int64 [B]."""
    history = cut_histories(events, targets, events.position[targets], events.seconds[targets], max_history_length)
    return history, events.items[targets]


def _narrow(seconds: np.ndarray) -> np.ndarray:
    """The seconds as int32 if all of them fit, which halves the memory to copy; else as they are."""
    limits = np.iinfo(np.int32)
    # They must fit half the range, so that differences fit the whole.
    fits = len(seconds) == 0 or (seconds.min() >= limits.min // 2 and seconds.max() <= limits.max // 2)
    return seconds.astype(np.int32) if fits else seconds
