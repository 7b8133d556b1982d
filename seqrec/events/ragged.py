"""Lists of unequal length as two flat NumPy arrays: the values of all lists, and the offsets where lists begin."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa


@dataclass(frozen=True)
class Ragged:
    """n lists, one after the other: list i is values[offsets[i]:offsets[i + 1]]."""

    values: np.ndarray  # The values of all lists; any dtype.
    offsets: np.ndarray  # int64 [n + 1]; the first is 0, the last is len(values).

    @classmethod
    def from_lengths(cls, values: np.ndarray, lengths: np.ndarray) -> "Ragged":
        return cls(values, offsets_of(lengths))

    @classmethod
    def from_arrow(cls, column: pa.ListArray) -> "Ragged":
        """The lists of an Arrow column without nulls, which may be a slice of a larger array; values are not copied."""
        offsets = column.offsets.to_numpy().astype(np.int64)
        values = column.values.slice(offsets[0], offsets[-1] - offsets[0])
        return cls(values.to_numpy(zero_copy_only=False), offsets - offsets[0])

    @property
    def lengths(self) -> np.ndarray:
        """int64 [n], number of values in each list."""
        return np.diff(self.offsets)

    @property
    def owners(self) -> np.ndarray:
        """int64 [len(values)], the number of the list that each value is in."""
        return np.repeat(np.arange(len(self.offsets) - 1), self.lengths)

    def sums(self, amounts: np.ndarray) -> np.ndarray:
        """int64 [n], the sum over each list of `amounts`, which has one entry per value."""
        running = np.concatenate([[0], np.cumsum(amounts, dtype=np.int64)])
        return running[self.offsets[1:]] - running[self.offsets[:-1]]

    def keep(self, mask: np.ndarray) -> "Ragged":
        """The same lists with only the values where `mask` is True; a list may become empty."""
        return Ragged.from_lengths(self.values[mask], self.sums(mask))

    def take(self, rows: np.ndarray) -> "Ragged":
        """The lists numbered `rows`, in that order."""
        return self.slices(self.offsets[rows], self.offsets[rows + 1])

    def slices(self, starts: np.ndarray, ends: np.ndarray) -> "Ragged":
        """New lists: list i is values[starts[i]:ends[i]], with positions counted over the values of all lists."""
        lengths = ends - starts
        return Ragged.from_lengths(self.values[ranges(starts, lengths)], lengths)

    def to_arrow(self) -> pa.ListArray:
        return pa.ListArray.from_arrays(pa.array(self.offsets, pa.int32()), pa.array(self.values))


def offsets_of(lengths: np.ndarray) -> np.ndarray:
    """int64 [n + 1]: the positions where each of n consecutive parts begins, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The integers starts[i] .. starts[i] + lengths[i] - 1 for every i, one after the other."""
    shift = np.repeat(starts - offsets_of(lengths)[:-1], lengths)
    return shift + np.arange(len(shift))


def blocks(flat: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """[B, length]: row b is flat[starts[b]:starts[b] + length], copied as one block of memory."""
    windows: np.ndarray = np.ndarray(
        shape=(len(flat) - length + 1,), dtype=f"V{length * flat.itemsize}", buffer=flat, strides=(flat.itemsize,)
    )
    return windows[starts].view(flat.dtype).reshape(len(starts), length)


def padded(values: np.ndarray, length: int) -> np.ndarray:
    """The values with `length` zeros behind them, so that `blocks` may reach over their end."""
    return np.concatenate([values, np.zeros(length, values.dtype)])


def gather(batches: Iterable[pa.RecordBatch]) -> pa.Table | None:
    """All batches as one table with one chunk per column; None if they have no rows."""
    filled = [batch for batch in batches if batch.num_rows]
    return pa.Table.from_batches(filled).combine_chunks() if filled else None


def column(table: pa.Table | pa.RecordBatch, name: str) -> np.ndarray:
    """A column without nulls as a NumPy array; of a table only its first chunk."""
    values = table.column(name)
    if isinstance(values, pa.ChunkedArray):
        values = values.chunk(0)
    return values.to_numpy(zero_copy_only=False)


def lists(table: pa.Table | pa.RecordBatch, name: str) -> Ragged:
    """A column of lists without nulls; of a table only its first chunk."""
    values = table.column(name)
    return Ragged.from_arrow(values.chunk(0) if isinstance(values, pa.ChunkedArray) else values)
