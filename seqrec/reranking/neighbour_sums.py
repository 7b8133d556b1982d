"""What a table of neighbours says about each candidate: sums over the items of the user's history. NumPy over blocks.

Legend: B users, P pairs of a user and a candidate, R recent events of all users.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqrec.core.columns import SECONDS_PER_DAY
from seqrec.events.ragged import ranges
from seqrec.events.rows import HistoryRows
from seqrec.neighbours.finder import row_keys
from seqrec.neighbours.table import NeighbourTable

SUMS = ("last", "last_3", "decayed", "all", "links", "strongest", "nearest")
_DECAY, _HALF_LIFE_DAYS = 0.8, 180.0  # The defaults of finding candidates; fixed, so that columns mean one thing.
_NONE = 99.0  # `nearest` of a candidate that no recent item leads to.


class RecentEvents(NamedTuple):
    """The last events of every history, all [R]."""

    row: np.ndarray  # int64, the user.
    item: np.ndarray  # int32
    back: np.ndarray  # int64, events after this one: 0 is the last.
    decay: np.ndarray  # float64, less for events further back in place and in time; 1 for the last one.


def recent_events(histories: HistoryRows, count: int) -> RecentEvents:
    """At most `count` events of each history, oldest first."""
    ends = histories.items.offsets[1:]
    starts = np.maximum(histories.items.offsets[:-1], ends - count)
    event = ranges(starts, ends - starts)
    row = np.repeat(np.arange(len(histories)), ends - starts)
    back = ends[row] - 1 - event
    days = (histories.timestamps[ends[row] - 1] - histories.timestamps[event]) / SECONDS_PER_DAY
    decay = _DECAY**back * np.exp2(-np.maximum(days, 0.0) / _HALF_LIFE_DAYS)
    return RecentEvents(row, histories.items.values[event], back, decay)


def pair_keys(row: np.ndarray, item: np.ndarray) -> pa.Array:
    """The key of every pair, int64 [P], in the form that `neighbour_sums` looks them up in."""
    return pa.array(row_keys(row, item))


def neighbour_sums(table: NeighbourTable, recent: RecentEvents, key: np.ndarray, pairs: pa.Array) -> np.ndarray:
    """float32 [P, len(SUMS)]: for each pair the weights with which recent events lead to its candidate.

    Args:
        key: int [R], the key in the table of each recent event: its item, or its category.
        pairs: `pair_keys` of the candidates, each pair once.
    """
    starts = np.asarray(table.offsets[key]).astype(np.int64)
    lengths = np.asarray(table.offsets[key.astype(np.int64) + 1]) - starts
    entry = ranges(starts, lengths)
    found = row_keys(np.repeat(recent.row, lengths), table.items[entry])
    place = pc.index_in(pa.array(found), value_set=pairs)  # A hash table: three times as fast as sorting.
    is_pair = place.is_valid().to_numpy(zero_copy_only=False)
    pair = place.drop_null().to_numpy().astype(np.int64)
    weight = np.asarray(table.weights[entry[is_pair]], np.float64)
    event = np.repeat(np.arange(len(lengths)), lengths)[is_pair]
    back, size = recent.back[event], len(pairs)
    strongest, nearest = np.zeros(size), np.full(size, _NONE)
    np.maximum.at(strongest, pair, weight)
    np.minimum.at(nearest, pair, back.astype(np.float64))
    sums = (
        np.bincount(pair, weight * (back == 0), size),
        np.bincount(pair, weight * (back < 3), size),
        np.bincount(pair, weight * recent.decay[event], size),
        np.bincount(pair, weight, size),
        np.bincount(pair, minlength=size),
        strongest,
        nearest,
    )
    return np.stack([each.astype(np.float32) for each in sums], axis=1)
