"""The best items of a catalogue that is scored block by block, whatever ranker gives the scores."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class BestItems:
    """The k best items of each row so far, the best first; of equal scores the lower index."""

    items: np.ndarray  # int32 [B, k], 0 where there are fewer.
    scores: np.ndarray  # float64 [B, k], there the lowest.

    @classmethod
    def none(cls, num_rows: int, k: int) -> "BestItems":
        return cls(np.zeros((num_rows, k), np.int32), np.full((num_rows, k), -np.inf))

    def merged(self, block: np.ndarray, scores: np.ndarray, row: np.ndarray, place: np.ndarray) -> "BestItems":
        """The best of these and of a block.

        Args:
            block: int32 [n], ascending, all higher than the items so far.
            scores: float [B, n].
            row, place: int [m], pairs of a row and a place in `block` that do not count.
        """
        k = self.items.shape[1]
        # A later item loses a tie, so it must be better than the worst so far.
        keep = scores > self._worst(scores, row)
        keep[row, place] = False
        rows, places = np.nonzero(keep)
        if not len(rows):
            return self
        known, _ = np.nonzero(self.items)
        rows = np.concatenate([known, rows])
        items = np.concatenate([self.items[self.items > 0], block[places]])
        values = np.concatenate([self.scores[self.items > 0], scores[rows[len(known) :], places]])
        order = np.lexsort((items, -values, rows))
        rows = rows[order]
        rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
        order, rows, rank = order[rank < k], rows[rank < k], rank[rank < k]
        best = BestItems.none(len(self.items), k)
        best.items[rows, rank], best.scores[rows, rank] = items[order], values[order]
        return best

    def _worst(self, scores: np.ndarray, row: np.ndarray) -> np.ndarray:
        """float64 [B, 1]: no item of a block that is not above it is among the k best."""
        worst = self.scores[:, -1:]
        # While lists are not full, the block's own best tell as much; so many more as do not count in some row.
        needed = self.items.shape[1] + int(np.bincount(row, minlength=1).max())
        if np.isfinite(worst).all() or needed >= scores.shape[1]:
            return worst
        own = np.partition(scores, -needed, axis=1)[:, [-needed]]
        return np.maximum(worst, np.nextafter(own.astype(np.float64), -np.inf))
