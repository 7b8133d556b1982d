"""The rows of a split as NumPy arrays: what one Arrow batch of `sequences/test` holds.

Legend for all files of this package: B rows, E events of all their histories, N candidates of a row (the target
first), K rankings that are compared, R bootstrap replicates.
"""

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa

from seqrec.core.columns import (
    FIRST_TIMESTAMP,
    HISTORY_ITEMS,
    HISTORY_TIMESTAMPS,
    NEGATIVE_ITEMS,
    POSITION,
    TARGET_ITEM,
    TARGET_TIMESTAMP,
)

USER_KEY = "user_key"  # 64-bit hash of the user: strings stay in the JVM.


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Histories and targets; each history is a slice of the flat event arrays."""

    user_key: np.ndarray  # int64 [B]
    position: np.ndarray  # int32 [B]
    offsets: np.ndarray  # int64 [B + 1]: history b is events offsets[b] to offsets[b + 1].
    history_items: np.ndarray  # int32 [E]
    history_timestamps: np.ndarray  # int64 [E]
    first_timestamp: np.ndarray  # int64 [B]
    target_item: np.ndarray  # int32 [B]
    target_timestamp: np.ndarray  # int64 [B]
    negative_items: np.ndarray  # int32 [B, N - 1]

    def __len__(self) -> int:
        return len(self.position)

    @property
    def history_length(self) -> np.ndarray:
        """int64 [B], stored events."""
        return np.diff(self.offsets)

    @property
    def candidates(self) -> np.ndarray:
        """int32 [B, N], the target first."""
        return np.concatenate([self.target_item[:, None], self.negative_items], axis=1)

    def last_items(self, count: int) -> np.ndarray:
        """int32 [B, count]: the last items of each history, the newest first, 0 where there are fewer."""
        back = np.arange(1, count + 1)
        index = self.offsets[1:, None] - back
        items = self.history_items[np.maximum(index, 0)] if len(self.history_items) else np.zeros(index.shape, np.int32)
        return np.where(back <= self.history_length[:, None], items, 0)

    def take(self, index: np.ndarray) -> "Rows":
        """The rows at `index`, in that order."""
        length = self.history_length[index]
        offsets = np.concatenate([[0], np.cumsum(length)])
        events = np.arange(offsets[-1]) - np.repeat(offsets[:-1], length) + np.repeat(self.offsets[:-1][index], length)
        return Rows(
            user_key=self.user_key[index],
            position=self.position[index],
            offsets=offsets,
            history_items=self.history_items[events],
            history_timestamps=self.history_timestamps[events],
            first_timestamp=self.first_timestamp[index],
            target_item=self.target_item[index],
            target_timestamp=self.target_timestamp[index],
            negative_items=self.negative_items[index],
        )


def rows_of_arrow(batch: pa.RecordBatch | pa.Table) -> Rows:
    """The rows of an Arrow batch with the columns of `sequences/test`, and `user_key` in place of the user.

    Raises:
        ValueError: rows have unequal numbers of negatives.
    """
    table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
    table = table.combine_chunks()

    def plain(name: str) -> np.ndarray:
        return table.column(name).to_numpy()

    offsets, items = _flat(table, HISTORY_ITEMS)
    time_offsets, times = _flat(table, HISTORY_TIMESTAMPS)
    if not np.array_equal(offsets, time_offsets):
        raise ValueError("a history has not as many timestamps as items")
    negative_offsets, negatives = _flat(table, NEGATIVE_ITEMS)
    widths = np.unique(np.diff(negative_offsets))
    if len(widths) > 1:
        raise ValueError(f"rows have from {widths[0]} to {widths[-1]} negatives: all must have as many")
    return Rows(
        user_key=plain(USER_KEY),
        position=plain(POSITION),
        offsets=offsets,
        history_items=items,
        history_timestamps=times,
        first_timestamp=plain(FIRST_TIMESTAMP),
        target_item=plain(TARGET_ITEM),
        target_timestamp=plain(TARGET_TIMESTAMP),
        negative_items=negatives.reshape(len(table), -1) if len(table) else np.zeros((0, 0), np.int32),
    )


def concatenate(parts: list[Rows]) -> Rows:
    """The rows of all parts, in order."""
    if len(parts) == 1:
        return parts[0]
    arrays = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(Rows)
        if field.name != "offsets"
    }
    lengths = np.concatenate([part.history_length for part in parts])
    return Rows(offsets=np.concatenate([[0], np.cumsum(lengths)]), **arrays)


def _flat(table: pa.Table, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Offsets int64 [B + 1] from 0, and the values, of a list column."""
    if not len(table):
        return np.zeros(1, np.int64), np.zeros(0, np.int64)
    column = table.column(name).chunk(0)
    offsets = column.offsets.to_numpy().astype(np.int64)
    values = column.values.to_numpy(zero_copy_only=False)
    return offsets - offsets[0], values[offsets[0] : offsets[-1]]
