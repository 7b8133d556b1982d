"""Candidates of training targets: what a model is trained to tell each target from.

A list is found as it would be just before the target, and then loses all items of the target's row of training events:
the target, the user's later items, and those of the history. The tables of pairs and popularity are counted from all
training events, the user's own among them. But own events raise only pairs and counts of own items, and these are left
out, so what remains was put there by other users. A retrieval run is another matter: it was trained on these targets.
So these lists hold negatives, and must not be used to fit weights of sources or a last stage.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from seqrec.core import columns as C
from seqrec.core.keyed_random import in_unit, keyed
from seqrec.core.storage import Storage
from seqrec.events.histories import read_batches
from seqrec.events.ragged import Ragged, column, lists
from seqrec.events.rows import UserHistories
from seqrec.neighbours.finder import Candidates, row_keys
from seqrec.recommendation.candidates.sources import CandidateSources

_SEGMENTS_AT_ONCE = 256
_DRAW = 0x7261696E  # Sets these draws apart from other draws of the same positions.
_COLUMNS = [C.USER, C.ITEM_INDICES, C.TIMESTAMPS, C.FIRST_TIMESTAMP, C.NUM_CONTEXT]


def training_candidates(
    sources: CandidateSources, storage: Storage, path: str, file_number: int, share: float, max_history: int, rows: int
) -> Iterator[tuple[UserHistories, Candidates]]:
    """The targets of one train file, in its order, with their candidates; at most `rows` at a time.

    Args:
        share: share of the targets that get candidates; the others have none.
        max_history: events before a target that sources look at.

    Raises:
        DataError: the file cannot be read.
    """
    first = 0
    for segments in read_batches(storage, path, _COLUMNS, _SEGMENTS_AT_ONCE):
        targets, items = _targets(segments, max_history)
        for start in range(0, len(targets), rows):
            part = targets.slice(start, min(start + rows, len(targets)))
            own = items.take(np.arange(start, start + len(part)))
            places = np.arange(first + start, first + start + len(part))
            is_drawn = in_unit(keyed(places, file_number, _DRAW)) < share
            yield part, _without(_find_drawn(sources, part, is_drawn), own)
        first += len(targets)


def _targets(segments: pa.RecordBatch, max_history: int) -> tuple[UserHistories, Ragged]:
    """The segments' targets with the events before each, and beside each the items of all events of its segment."""
    items, times = lists(segments, C.ITEM_INDICES), lists(segments, C.TIMESTAMPS).values
    starts = items.offsets[:-1]
    position = np.arange(len(items.values)) - np.repeat(starts, items.lengths)
    target = np.flatnonzero(position >= np.repeat(column(segments, C.NUM_CONTEXT), items.lengths))
    segment = items.owners[target]
    begin = np.maximum(starts[segment], target - max_history)
    histories = UserHistories(
        items=items.slices(begin, target),
        timestamps=Ragged(times, items.offsets).slices(begin, target).values,
        first_timestamps=column(segments, C.FIRST_TIMESTAMP)[segment].astype(np.int64),
        as_of=times[target],
        users=segments.column(C.USER).take(pa.array(segment)),
        target_items=items.values[target],
    )
    return histories, items.take(segment)


def _find_drawn(sources: CandidateSources, targets: UserHistories, is_drawn: np.ndarray) -> Candidates:
    """The candidates of the rows that are drawn; none of the others, which are not sought."""
    drawn = np.flatnonzero(is_drawn)
    found = sources.find(targets.take(drawn))
    shape = (len(targets), found.items.shape[1])
    items, of_sources = np.zeros(shape, np.int32), np.zeros(shape, np.int8)
    items[drawn], of_sources[drawn] = found.items, found.sources
    return Candidates(items, of_sources)


def _without(found: Candidates, own: Ragged) -> Candidates:
    """The candidates without own items; 0 where one was."""
    rows = np.arange(len(found.items))
    is_own = np.isin(row_keys(rows[:, None], found.items), row_keys(own.owners, own.values))
    return Candidates(np.where(is_own, 0, found.items), np.where(is_own, 0, found.sources).astype(np.int8))
