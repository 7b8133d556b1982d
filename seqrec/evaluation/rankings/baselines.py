"""Rankers that need no training run: what a model must beat, on the same candidates.

Each holds plain arrays, made once on the driver and broadcast, and scores candidates in NumPy. Higher is better.
"""

from dataclasses import dataclass

import numpy as np

from seqrec.core.batch import PADDING_INDEX
from seqrec.core.columns import SECONDS_PER_DAY
from seqrec.evaluation.rows import EvaluationRows


@dataclass(frozen=True)
class Popularity:
    """Scores an item by the number of its training events."""

    train_count: np.ndarray  # int64 [number of items + 1]

    def scores(self, rows: EvaluationRows, candidates: np.ndarray) -> np.ndarray:
        return _for_every_row(self.train_count[candidates], rows)


@dataclass(frozen=True)
class LastCategory:
    """Puts items of the last item's category first, by popularity; then all others, by popularity."""

    item_category: np.ndarray  # int32 [number of items + 1], 0 is a missing category.
    train_count: np.ndarray  # int64 [number of items + 1]

    def scores(self, rows: EvaluationRows, candidates: np.ndarray) -> np.ndarray:
        last = self.item_category[rows.last_items(1)]  # [B, 1]
        is_same = (self.item_category[candidates] == last) & (last != PADDING_INDEX)
        return is_same * (self.train_count.max() + 1) + self.train_count[candidates]


@dataclass(frozen=True)
class ItemId:
    """Scores an item by its id string, the highest first: no information unless the order of tied events leaks it."""

    id_order: np.ndarray  # int32 [number of items + 1], place of each item among all ids.

    def scores(self, rows: EvaluationRows, candidates: np.ndarray) -> np.ndarray:
        return _for_every_row(self.id_order[candidates], rows)


@dataclass(frozen=True)
class RecentPopularity:
    """Scores an item by its training events of the days before the target: what was popular on that day.

    The counts are cumulative over sorted (item, day) keys, so memory follows the training events, not items x days.
    """

    first_day: int
    num_days: int  # Days that the training events span.
    window: int  # Days looked back.
    keys: np.ndarray  # int64, sorted: item_index * (num_days + 1) + day
    cumulative: np.ndarray  # int64 [len(keys) + 1], events before each key.

    def scores(self, rows: EvaluationRows, candidates: np.ndarray) -> np.ndarray:
        day = np.clip(rows.as_of // SECONDS_PER_DAY - self.first_day, 0, self.num_days)[:, None]
        start = np.maximum(day - self.window, 0)
        item = candidates.astype(np.int64) * (self.num_days + 1)
        before_day = self.cumulative[np.searchsorted(self.keys, item + day)]
        return before_day - self.cumulative[np.searchsorted(self.keys, item + start)]


@dataclass(frozen=True)
class ItemPairs:
    """Scores a candidate by its pairs with the last items of the history, weights summed; popularity breaks ties.

    Co-visitation weighs a pair by how often the second item followed soon after the first in training; also-bought
    pairs weigh 1. Weights are whole numbers: sums are exact, and two different sums are at least 1 apart.
    """

    num_recent: int  # Last items of the history that count.
    num_items: int
    keys: np.ndarray  # int64, sorted: from_item * (num_items + 1) + to_item
    weights: np.ndarray  # int32 [len(keys)]
    train_count: np.ndarray  # int64 [number of items + 1]

    def scores(self, rows: EvaluationRows, candidates: np.ndarray) -> np.ndarray:
        total = np.zeros((len(rows), candidates.shape[-1]), np.int64)
        for item in rows.last_items(self.num_recent).T if len(self.keys) else ():  # [B]
            wanted = item[:, None].astype(np.int64) * (self.num_items + 1) + candidates
            found = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
            total += np.where(self.keys[found] == wanted, self.weights[found], 0)
        # Popularity adds less than 1/2, so that it never reaches the next sum, not even rounded to float32 for sums up
        # to 2^23; larger sums tie in float32. A power of two keeps the product exact.
        share = 0.5 ** (1 + int(self.train_count.max()).bit_length())
        return total + self.train_count[candidates] * share


def _for_every_row(scores: np.ndarray, rows: EvaluationRows) -> np.ndarray:
    """Scores [B, N]: those of shared candidates [N] repeated for the rows, others as they are."""
    return np.broadcast_to(scores, (len(rows), scores.shape[-1]))
