"""Histories of many users as flat arrays: one type of row for validation, evaluation and recommendation.

Legend of this package: B rows, E events of all of them, L padded history length.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from seqrec.core.batch import History
from seqrec.events.ragged import Ragged, ranges
from seqrec.events.windows import Segments, build_events, cut_histories

Rows = TypeVar("Rows", bound="HistoryRows")
_OF_EVENTS = ("items", "timestamps")  # All other fields have one entry per row.


@dataclass(frozen=True, kw_only=True)
class HistoryRows:
    """B histories, each with the time for which items are sought.

    A subclass adds fields with one entry per row (NumPy or Arrow arrays, or None); `take`, `slice` and `concatenate`
    serve them too.
    """

    items: Ragged  # int32, item indices of B histories, oldest first.
    timestamps: np.ndarray  # int64, seconds; one for each value of `items`.
    first_timestamps: np.ndarray  # int64 [B], the user's first event, which the history may no longer hold.
    as_of: np.ndarray  # int64 [B], the time for which items are sought; with a target, the target's own time.

    def __len__(self) -> int:
        return len(self.as_of)

    @property
    def lengths(self) -> np.ndarray:
        """int64 [B], stored events of each history."""
        return self.items.lengths

    def take(self: Rows, rows: np.ndarray) -> Rows:
        """The rows numbered `rows`, int [n], in that order."""
        lengths = self.lengths[rows]
        events = ranges(self.items.offsets[rows], lengths)
        return replace(
            self,
            items=Ragged.from_lengths(self.items.values[events], lengths),
            timestamps=self.timestamps[events],
            **self._of_each_row(lambda values: _take(values, rows)),
        )

    def slice(self: Rows, start: int, stop: int) -> Rows:
        """Rows `start` up to, not including, `stop`; nothing is copied."""
        offsets = self.items.offsets[start : stop + 1]
        events = slice(offsets[0], offsets[-1])
        return replace(
            self,
            items=Ragged(self.items.values[events], offsets - offsets[0]),
            timestamps=self.timestamps[events],
            **self._of_each_row(lambda values: None if values is None else values[start:stop]),
        )

    @classmethod
    def concatenate(cls: type[Rows], parts: Sequence[Rows]) -> Rows:
        """The rows of all parts, one part after the other."""
        if len(parts) == 1:
            return parts[0]
        return replace(
            parts[0],
            items=Ragged.from_lengths(
                np.concatenate([part.items.values for part in parts]), np.concatenate([part.lengths for part in parts])
            ),
            timestamps=np.concatenate([part.timestamps for part in parts]),
            **{name: _concatenate([getattr(part, name) for part in parts]) for name in cls._names()},
        )

    def before_as_of(self: Rows) -> Rows:
        """The rows without events later than `as_of`; a history may become empty.

        Items of later events may then be recommended: that is how lists of a day in the past are measured.
        """
        happened = self.timestamps <= self.as_of[self.items.owners]
        if happened.all():
            return self
        return replace(self, items=self.items.keep(happened), timestamps=self.timestamps[happened])

    def last_items(self, count: int) -> np.ndarray:
        """int32 [B, count]: the last items of each history, newest first, 0 where there are fewer."""
        back = np.arange(1, count + 1)
        index = self.items.offsets[1:, None] - back
        values = self.items.values
        items = values[np.maximum(index, 0)] if len(values) else np.zeros(index.shape, np.int32)
        return np.where(back <= self.lengths[:, None], items, 0)

    def windows(self, max_history_length: int) -> History:
        """The last events of each history, right padded, as one stream: arrays [1, B, L]."""
        # None of these events is a target, so all of them are context.
        segments = Segments(self.items, self.timestamps, self.first_timestamps, num_context=self.lengths)
        history = cut_histories(
            build_events(segments, max_history_length),
            ends=self.items.offsets[1:],
            available=self.lengths,
            target_seconds=self.as_of - self.first_timestamps,
            max_history_length=max_history_length,
        )
        return History(*(array[None] for array in history))

    def _of_each_row(self, function: Callable[[Any], Any]) -> dict[str, Any]:
        """The function's value for each field that has one entry per row, by name."""
        return {name: function(getattr(self, name)) for name in self._names()}

    @classmethod
    def _names(cls) -> list[str]:
        return [field.name for field in fields(cls) if field.name not in _OF_EVENTS]


@dataclass(frozen=True, kw_only=True)
class TargetRows(HistoryRows):
    """Rows of `sequences/validation` or `sequences/test`: histories with the event that follows each at `as_of`."""

    target_items: np.ndarray  # int32 [B]
    negative_items: np.ndarray  # int32 [B, n], the same number for all rows.

    @property
    def candidates(self) -> np.ndarray:
        """int32 [B, 1 + n], the target first."""
        return np.concatenate([self.target_items[:, None], self.negative_items], axis=1)


@dataclass(frozen=True, kw_only=True)
class UserHistories(HistoryRows):
    """Histories to recommend from, with their users' ids."""

    users: pa.Array  # string [B]
    target_items: np.ndarray | None = None  # int32 [B], the items of the events at `as_of`, where they are known.


def _take(values: Any, rows: np.ndarray) -> Any:
    if values is None:
        return None
    return values.take(pa.array(rows)) if isinstance(values, pa.Array) else values[rows]


def _concatenate(parts: list[Any]) -> Any:
    if parts[0] is None:
        return None
    return pa.concat_arrays(parts) if isinstance(parts[0], pa.Array) else np.concatenate(parts)
