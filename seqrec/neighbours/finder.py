"""From the last items of a history to its candidates: looked up, ranked by each finder, merged to the best.

Everything works on sorted 64-bit keys of a whole batch of users: nothing loops over users, and each user's result
depends on that user's row alone, whatever else is in the batch. Legend: B rows of histories, M candidates.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from seqrec.core.columns import SECONDS_PER_DAY
from seqrec.core.errors import DataError
from seqrec.events.ragged import ranges
from seqrec.events.rows import HistoryRows
from seqrec.neighbours.config import FINDERS, TRUST
from seqrec.neighbours.table import NeighbourTable

# Bits of a merge key, from the left: row, place of the candidate in its finder's list, finder's place in TRUST, item.
_ITEM_BITS, _SOURCE_BITS, _PLACE_BITS = 28, 3, 17
MAX_ROWS = 1 << 12
_FINDER_OF_TRUST = np.array([FINDERS.index(name) for name in TRUST], np.int8)
_ITEM_MASK, _SOURCE_MASK, _PLACE_MASK = ((1 << bits) - 1 for bits in (_ITEM_BITS, _SOURCE_BITS, _PLACE_BITS))


@dataclass(frozen=True)
class Candidates:
    """Each user's candidates, the best first; 0 where there are fewer than M."""

    items: np.ndarray  # int32 [B, M]
    sources: np.ndarray  # int8 [B, M], places in FINDERS: the finder that put the item highest.

    @property
    def counts(self) -> np.ndarray:
        return np.count_nonzero(self.items, axis=1)


@dataclass(frozen=True)
class CandidateFinder:
    """Finds candidates in tables of neighbours, one per finder, and among all items by popularity."""

    tables: Mapping[str, NeighbourTable]
    popular_items: np.ndarray  # int32, the most popular first; empty if candidates are not found by popularity.
    item_category: np.ndarray  # int32 [number of items + 1]
    max_candidates: int
    num_recent_items: int
    history_decay: float
    history_half_life_days: float
    exclude_own_items: bool
    strides: Mapping[str, int]  # By finder, see `STRIDES`.

    def __post_init__(self) -> None:
        if len(self.item_category) > 1 << _ITEM_BITS:
            raise DataError(
                f"the vocabulary has {len(self.item_category) - 1} items: at most {_ITEM_MASK} can be sought."
            )

    def find(self, histories: HistoryRows) -> Candidates:
        """The merged candidates of at most `MAX_ROWS` histories."""
        return self.merge(self.lists(histories), len(histories))

    def lists(self, histories: HistoryRows) -> dict[str, np.ndarray]:
        """Each finder's list for every user: int64 keys (row << 28 | item), in order of row and place."""
        assert len(histories) <= MAX_ROWS, "too many users at once"
        row, item, weight = self._recent(histories)
        own = np.unique(row_keys(histories.items.owners, histories.items.values)) if self.exclude_own_items else None
        found = {}
        for source, table in self.tables.items():
            key = self.item_category[item] if source == "category_popularity" else item
            found[source] = self._without(own, _look_up(table, row, key, weight))
        if len(self.popular_items):
            found["popularity"] = self._without(own, self._popular(histories))
        return {source: _cut(keys, self.max_candidates) for source, keys in found.items()}

    def merge(self, lists: Mapping[str, np.ndarray], num_rows: int) -> Candidates:
        """The best candidates of all lists; an item in several lists takes the best of its places."""
        parts = []
        for source, keys in lists.items():
            place = np.minimum((_places(keys >> _ITEM_BITS) + 1) * self.strides[source], _PLACE_MASK)
            parts.append((keys << _PLACE_BITS | place) << _SOURCE_BITS | TRUST.index(source))
        by_item = np.sort(np.concatenate(parts)) if parts else np.zeros(0, np.int64)
        by_item = by_item[_is_first(by_item >> (_PLACE_BITS + _SOURCE_BITS))]
        source = by_item & _SOURCE_MASK
        place = by_item >> _SOURCE_BITS & _PLACE_MASK
        item = by_item >> (_SOURCE_BITS + _PLACE_BITS) & _ITEM_MASK
        row = by_item >> (_SOURCE_BITS + _PLACE_BITS + _ITEM_BITS)
        # At equal places the more trusted finder comes first, then the lower index: the item that more people took.
        best = np.sort(((row << _PLACE_BITS | place) << _SOURCE_BITS | source) << _ITEM_BITS | item)
        row = best >> (_PLACE_BITS + _SOURCE_BITS + _ITEM_BITS)
        rank = _places(row)
        kept = rank < self.max_candidates
        items = np.zeros((num_rows, self.max_candidates), np.int32)
        sources = np.zeros((num_rows, self.max_candidates), np.int8)
        items[row[kept], rank[kept]] = best[kept] & _ITEM_MASK
        sources[row[kept], rank[kept]] = _FINDER_OF_TRUST[best[kept] >> _ITEM_BITS & _SOURCE_MASK]
        return Candidates(items, sources)

    def _recent(self, histories: HistoryRows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row, item and weight of the last events of every history."""
        ends = histories.items.offsets[1:]
        starts = np.maximum(histories.items.offsets[:-1], ends - self.num_recent_items)
        event = ranges(starts, ends - starts)
        row = np.repeat(np.arange(len(histories)), ends - starts)
        from_end = ends[row] - 1 - event
        days = np.maximum(histories.as_of[row] - histories.timestamps[event], 0) / SECONDS_PER_DAY
        # The newest event gets age 0: only differences within a history matter, and all weights of an old history
        # would else round to 0.
        days -= days[np.searchsorted(row, row, side="right") - 1]
        weight = self.history_decay**from_end * np.exp2(-np.maximum(days, 0.0) / self.history_half_life_days)
        return row, histories.items.values[event], weight

    def _popular(self, histories: HistoryRows) -> np.ndarray:
        """The same list for everyone, longer by the most items that a history can remove from it."""
        longest = int(histories.items.lengths.max(initial=0)) if self.exclude_own_items else 0
        items = np.asarray(self.popular_items[: self.max_candidates + longest])
        rows = np.repeat(np.arange(len(histories)), len(items))
        return row_keys(rows, np.tile(items, len(histories)))

    @staticmethod
    def _without(own: np.ndarray | None, keys: np.ndarray) -> np.ndarray:
        if own is None or not len(own):
            return keys
        nearest = np.minimum(np.searchsorted(own, keys), len(own) - 1)
        return keys[own[nearest] != keys]


def _look_up(table: NeighbourTable, row: np.ndarray, key: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Neighbours of the recent items, their weights added up: keys in order of row, then weight, then item."""
    starts = np.asarray(table.offsets[key])
    lengths = np.asarray(table.offsets[key.astype(np.int64) + 1]) - starts
    entry = ranges(starts, lengths)
    found = row_keys(np.repeat(row, lengths), table.items[entry])
    score = np.repeat(weight, lengths) * table.weights[entry]
    if not len(found):
        return found
    order = np.argsort(found, kind="stable")  # Stable: sums run in order of the history, whatever the batch.
    found, score = found[order], score[order]
    is_first = _is_first(found)
    score = np.add.reduceat(score, np.flatnonzero(is_first)).astype(np.float32)
    found = found[is_first]
    # Positive floats order as their bits do.
    falling = np.int64(0x7FFFFFFF) - score.view(np.int32).astype(np.int64)
    return found[np.argsort(found >> _ITEM_BITS << 32 | falling, kind="stable")]


def row_keys(row: np.ndarray, item: np.ndarray) -> np.ndarray:
    """int64, sortable: row << 28 | item."""
    return row.astype(np.int64) << _ITEM_BITS | np.asarray(item).astype(np.int64)


def rows_and_items(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `row_keys` made keys of, int64 each."""
    return keys >> _ITEM_BITS, keys & _ITEM_MASK


def num_rows_with_items(keys: np.ndarray) -> int:
    """How many rows have an item in a list of `row_keys`, which are in order of row."""
    return int(_is_first(keys >> _ITEM_BITS).sum())


def _is_first(values: np.ndarray) -> np.ndarray:
    """bool, True where a run of equal values begins."""
    return np.concatenate([[True], values[1:] != values[:-1]])[: len(values)]


def _places(row: np.ndarray) -> np.ndarray:
    """0, 1, 2, ... within each run of equal rows."""
    starts = np.flatnonzero(_is_first(row))
    return np.arange(len(row)) - np.repeat(starts, np.diff(np.append(starts, len(row))))


def _cut(keys: np.ndarray, length: int) -> np.ndarray:
    return keys[_places(keys >> _ITEM_BITS) < length]
