"""Lists of similar items for a block of items, in NumPy: from a table of pairs, from vectors, or of both as one list.

Legend: B items of a block, D depth of a list, M items with a vector, V width of a vector.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from seqrec.events.ragged import ranges
from seqrec.neighbours.table import NeighbourTable
from seqrec.recommendation.similar_items.config import ALIKE, BOTH, OFTEN_NEXT
from seqrec.scoring.index.approximate import NearLists
from seqrec.scoring.index.exact import best_of_all, best_of_some

_FIRST_PLACE = 10.0  # A list's first place counts 1 / 11, its n-th 1 / (10 + n): the first places differ, but not much.
_MORE = 50  # Items that an approximate search finds beside those wanted, since its own scores are rounded.


class ItemLists(NamedTuple):
    """The best first."""

    items: np.ndarray  # int32 [B, D], 0 after a list's end.
    scores: np.ndarray  # float32 [B, D], not increasing within a list; 0 after its end.


@dataclass(frozen=True)
class ItemVectors:
    """The vectors of a run, each of length 1, so that a product is a cosine."""

    vectors: np.ndarray  # float32 [M, V], mapped from a file; that of item i in row i - 1.
    lists: NearLists | None = None  # None compares with all.
    num_searched: int = 0

    def nearest(self, items: np.ndarray, depth: int) -> ItemLists:
        """The items of the largest cosines, without the item itself; an item without a vector has an empty list."""
        found, cosines = np.zeros((len(items), depth), np.int32), np.zeros((len(items), depth), np.float32)
        rows = np.flatnonzero(items <= len(self.vectors))
        known = items[rows]
        asked, own = np.ascontiguousarray(self.vectors[known - 1]), known[:, None].astype(np.int32)
        if self.lists is None:
            best, scores = best_of_all(asked, self.vectors, depth, own)
        else:
            near = self.lists.find(asked, min(depth + 1 + _MORE, len(self.vectors)), self.num_searched)
            best, scores = best_of_some(asked, self.vectors, near, depth, own)
        width = min(depth, best.shape[1])
        found[rows, :width] = best[:, :width]
        cosines[rows, :width] = np.where(best > 0, scores, 0.0)[:, :width]
        return ItemLists(found, cosines)


@dataclass(frozen=True)
class SimilarItems:
    """All kinds of lists; vectors are None without a run."""

    pairs: NeighbourTable
    vectors: ItemVectors | None
    depth: int
    alike_share: float

    @property
    def kinds(self) -> tuple[str, ...]:
        return (OFTEN_NEXT,) if self.vectors is None else (OFTEN_NEXT, ALIKE, BOTH)

    def find(self, items: np.ndarray) -> dict[str, ItemLists]:
        """Every kind of list for each of `items`, int64 [B]."""
        often_next = first_of(self.pairs, items, self.depth)
        if self.vectors is None:
            return {OFTEN_NEXT: often_next}
        alike = self.vectors.nearest(items, self.depth)
        return {OFTEN_NEXT: often_next, ALIKE: alike, BOTH: blended(often_next, alike, self.alike_share)}


def first_of(table: NeighbourTable, items: np.ndarray, depth: int) -> ItemLists:
    """The first `depth` entries of each item in a table."""
    starts = np.asarray(table.offsets[items]).astype(np.int64)
    lengths = np.minimum(np.asarray(table.offsets[items + 1]).astype(np.int64) - starts, depth)
    entries = ranges(starts, lengths)
    found, scores = np.zeros((len(items), depth), np.int32), np.zeros((len(items), depth), np.float32)
    is_real = np.arange(depth) < lengths[:, None]
    found[is_real], scores[is_real] = table.items[entries], table.weights[entries]
    return ItemLists(found, scores)


def blended(often_next: ItemLists, alike: ItemLists, alike_share: float) -> ItemLists:
    """One list of two: an item counts by its place in each, and scores of unlike scales are never compared."""
    depth = often_next.items.shape[1]
    items = np.concatenate([often_next.items, alike.items], axis=1)
    by_place = 1.0 / (_FIRST_PLACE + 1.0 + np.arange(depth))
    values = np.concatenate([(1.0 - alike_share) * by_place, alike_share * by_place])
    values = np.where(items > 0, values, 0.0)
    order = np.argsort(items, axis=1, kind="stable")
    items, values = np.take_along_axis(items, order, 1), np.take_along_axis(values, order, 1)
    is_second = items[:, 1:] == items[:, :-1]  # An item is in each list once, so at most twice here.
    values[:, :-1] += np.where(is_second, values[:, 1:], 0.0)
    values[:, 1:][is_second] = 0.0
    best = np.argsort(-values, axis=1, kind="stable")[:, :depth]  # Equal values: the item that more people took.
    items, values = np.take_along_axis(items, best, 1), np.take_along_axis(values, best, 1).astype(np.float32)
    return ItemLists(np.where(values > 0, items, 0), values)
