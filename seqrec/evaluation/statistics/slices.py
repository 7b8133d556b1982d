"""Slices: parts of the rows whose metrics are shown apart."""

from dataclasses import dataclass

import numpy as np

from seqrec.core.batch import PADDING_INDEX
from seqrec.core.columns import SECONDS_PER_DAY
from seqrec.evaluation.rows import EvaluationRows

_NUM_CATEGORIES = 10  # The most frequent categories are a slice each; all others are one slice.
_LENGTH_EDGES = (3, 5, 10, 20, 50)


@dataclass(frozen=True)
class Slicing:
    """One way to divide the rows into parts."""

    name: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Slicer:
    """Finds the part of each row, in every slicing."""

    train_count: np.ndarray  # int64 [number of items + 1]
    item_category: np.ndarray  # int32 [number of items + 1]
    head_count: int  # Items with at least so many training events make up a third of them.
    tail_count: int  # Items with fewer make up another third.
    categories: tuple[int, ...]  # The most frequent categories of the training events.
    category_names: tuple[str, ...]

    @property
    def slicings(self) -> tuple[Slicing, ...]:
        edges = (1, *_LENGTH_EDGES)
        lengths = ["no events", *(_span(low, high) for low, high in zip(edges[:-1], edges[1:], strict=True))]
        return (
            Slicing("history length", (*lengths, f"{_LENGTH_EDGES[-1]} events or more")),
            Slicing(
                "popularity of the target",
                (
                    "not seen in training",
                    f"tail third: under {self.tail_count} events",
                    "middle third",
                    f"head third: {self.head_count} events or more",
                ),
            ),
            Slicing("time since the last event", ("same day", "1 to 7 days", "8 to 90 days", "more than 90 days")),
            Slicing("target in the history", ("new to the user", "repeated")),
            Slicing("category of the target", ("none", *self.category_names, "other")),
        )

    def parts(self, rows: EvaluationRows) -> np.ndarray:
        """int32 [B, slicings]: index of each row's label."""
        count = self.train_count[rows.target_items]
        popularity = (count > 0).astype(np.int32) + (count >= self.tail_count) + (count >= self.head_count)
        popularity = np.where(count > 0, np.maximum(popularity, 1), 0)
        return np.stack(
            [
                np.searchsorted((1, *_LENGTH_EDGES), rows.position, side="right"),
                popularity,
                np.searchsorted((1, 8, 91), _days_since_last(rows), side="right"),
                _is_repeated(rows),
                self._category_part(rows),
            ],
            axis=1,
        ).astype(np.int32)

    def _category_part(self, rows: EvaluationRows) -> np.ndarray:
        category = self.item_category[rows.target_items]
        part = np.full(len(rows), len(self.categories) + 1)
        for index, chosen in enumerate(self.categories):
            part[category == chosen] = index + 1
        part[category == PADDING_INDEX] = 0
        return part


def build_slicer(train_count: np.ndarray, item_category: np.ndarray, category_names: dict[int, str]) -> Slicer:
    """A slicer whose thirds and categories fit these training counts."""
    ordered = np.sort(train_count[train_count > 0])[::-1]
    share = np.cumsum(ordered) / max(1, ordered.sum())
    head, tail = (int(ordered[np.searchsorted(share, third)]) if len(ordered) else 1 for third in (1 / 3, 2 / 3))
    by_category = np.bincount(item_category, weights=train_count)
    by_category[PADDING_INDEX] = 0
    frequent = np.argsort(-by_category, kind="stable")[:_NUM_CATEGORIES]
    chosen = tuple(int(index) for index in frequent if by_category[index] > 0)
    return Slicer(
        train_count=train_count,
        item_category=item_category,
        head_count=max(head, tail + 1),
        tail_count=tail,
        categories=chosen,
        category_names=tuple(category_names.get(index, f"category {index}") for index in chosen),
    )


def _span(low: int, high: int) -> str:
    return f"{low} event" if (low, high) == (1, 2) else f"{low} to {high - 1} events"


def _days_since_last(rows: EvaluationRows) -> np.ndarray:
    """int64 [B]: calendar days (UTC) since the last event; a very large number for a row without a history."""
    has_history = rows.lengths > 0
    last = np.maximum(rows.items.offsets[1:] - 1, 0)
    times = rows.timestamps[last] if len(rows.timestamps) else np.zeros(len(rows), np.int64)
    return np.where(has_history, rows.as_of // SECONDS_PER_DAY - times // SECONDS_PER_DAY, 1 << 40)


def _is_repeated(rows: EvaluationRows) -> np.ndarray:
    """bool [B], whether the target is among the stored history."""
    row_of_event = np.repeat(np.arange(len(rows)), rows.lengths)
    same = rows.items.values == rows.target_items[row_of_event]
    return np.bincount(row_of_event[same], minlength=len(rows)) > 0
