"""Amazon Beauty 5-core as the reference sees it: training targets with their histories, in plain NumPy.

Only for the speed benchmarks, which must give both sides the same examples: per user in order of time, ties as
published; the last event is for the test, the one before for validation, the first is never a target.
"""

import gzip
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Sequences(NamedTuple):
    """Events of all users side by side, oldest first, and the targets among them."""

    items: np.ndarray  # int32 [events], 1 .. num_items
    times: np.ndarray  # int64 [events], seconds
    user_start: np.ndarray  # int64 [events], where the event's user begins
    train_targets: np.ndarray  # int64 [targets], places of events
    test_targets: np.ndarray  # int64 [users]
    num_items: int


def read_sequences(path: str | Path) -> Sequences:
    """Reads `reviews_Beauty_5.json.gz`."""
    by_user: dict[str, list[tuple[int, int]]] = {}
    index: dict[str, int] = {}
    with gzip.open(path, "rt") as lines:
        for line in lines:
            review = json.loads(line)
            item = index.setdefault(review["asin"], len(index) + 1)
            by_user.setdefault(review["reviewerID"], []).append((review["unixReviewTime"], item))
    users = [sorted(events, key=lambda event: event[0]) for events in by_user.values()]
    sizes = np.array([len(events) for events in users])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    position = np.arange(starts[-1]) - np.repeat(starts[:-1], sizes)
    from_end = np.repeat(sizes, sizes) - 1 - position
    return Sequences(
        items=np.array([item for events in users for _, item in events], np.int32),
        times=np.array([time for events in users for time, _ in events], np.int64),
        user_start=np.repeat(starts[:-1], sizes),
        train_targets=np.flatnonzero((position >= 1) & (from_end >= 2)),
        test_targets=np.flatnonzero((position >= 1) & (from_end == 0)),
        num_items=len(index),
    )


def cut_windows(
    sequences: Sequences, targets: np.ndarray, history_length: int, repeat_to_full: bool = False
) -> tuple[np.ndarray, ...]:
    """Histories of `targets` as (items [B, L], length [B], seconds_to_target, seconds_from_first, target_item [B]).

    With `repeat_to_full` a short history is repeated until it is `history_length` long: the worst case.
    """
    first = sequences.user_start[targets]
    full = targets - first
    length = np.minimum(full, history_length).astype(np.int32)
    offset = np.arange(history_length)
    if repeat_to_full:
        place = first[:, None] + offset % full[:, None]
        place.sort(axis=1)
        length[:] = history_length
    else:
        place = (targets - length)[:, None] + offset
    real = offset < length[:, None]
    place = np.where(real, place, 0)
    times = sequences.times[place]
    to_target = np.where(real, sequences.times[targets][:, None] - times, 0).astype(np.float32)
    from_first = np.where(real, times - sequences.times[first][:, None], 0).astype(np.float32)
    items = np.where(real, sequences.items[place], 0).astype(np.int32)
    return items, length, to_target, from_first, sequences.items[targets]
