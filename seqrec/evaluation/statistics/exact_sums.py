"""Sums over all rows: each task adds up its own rows, Spark brings the sums of a measure together, and only the totals
reach the driver. All values are whole numbers, so the results are the same however the rows are partitioned.

Sums travel as packed arrays, a few rows per task: with a row for each of a hundred thousand numbers, Spark would spend
more time on them than the workers spend on scoring.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from seqrec.tables.arrow_bytes import from_byte_rows

_PACKED = "measure string, ranker int, packed binary"
_WAITING_CELLS = 1 << 20  # Bounds memory: more cells of one sum than this are added up at once.


class Part(NamedTuple):
    """Some rows' share of a sum that has a value in each of many cells."""

    measure: str
    ranker: int  # -1 for a measure that does not belong to one ranker.
    cells: np.ndarray  # int64, ascending, each cell once.
    values: np.ndarray  # int64


@dataclass(frozen=True)
class Sums:
    """Cells and their sums, by measure and ranker (-1 for a measure that does not belong to one ranker)."""

    by_key: dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]

    def sparse(self, measure: str, ranker: int = -1) -> tuple[np.ndarray, np.ndarray]:
        """int64 cells, ascending, and their int64 sums."""
        empty = np.zeros(0, np.int64)
        return self.by_key.get((measure, ranker), (empty, empty))

    def dense(self, measure: str, ranker: int, shape: tuple[int, ...]) -> np.ndarray:
        """int64 array of `shape`, whose flat indices are the cells; 0 for cells without a sum."""
        cells, values = self.sparse(measure, ranker)
        array = np.zeros(int(np.prod(shape)), np.int64)
        array[cells] = values
        return array.reshape(shape)


def dense_part(measure: str, ranker: int, sums: np.ndarray) -> Part:
    """An array of sums; cells are its flat indices."""
    return Part(measure, ranker, np.arange(sums.size, dtype=np.int64), sums.reshape(-1).astype(np.int64))


def counted_part(measure: str, ranker: int, values: np.ndarray) -> Part:
    """How often each value occurs; the values are the cells."""
    cells, counts = np.unique(values, return_counts=True)
    return Part(measure, ranker, cells.astype(np.int64), counts.astype(np.int64))


def collect_sums(packed_rows: DataFrame, parts_of: Callable[[pa.RecordBatch], Iterator[Part]]) -> Sums:
    """The sums of the parts of every batch.

    Args:
        packed_rows: one binary column, as `to_byte_rows` makes it.
        parts_of: what a batch adds to the sums; travels to the workers.
    """

    def add(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from _packed_totals(part for batch in from_byte_rows(batches) for part in parts_of(batch))

    def merge(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from _packed_totals(_unpack_part(**row) for batch in batches for row in batch.to_pylist())

    of_tasks = packed_rows.mapInArrow(add, _PACKED)
    rows = of_tasks.repartition("measure", "ranker").mapInArrow(merge, _PACKED).collect()
    parts = [_unpack_part(**row.asDict()) for row in rows]
    return Sums({(part.measure, part.ranker): (part.cells, part.values) for part in parts})


def _packed_totals(parts: Iterator[Part]) -> Iterator[pa.RecordBatch]:
    """The sum of the parts of each measure and ranker, packed."""
    waiting: dict[tuple[str, int], list[Part]] = {}
    for part in parts:
        own = waiting.setdefault((part.measure, part.ranker), [])
        own.append(part)
        if sum(len(each.cells) for each in own) > _WAITING_CELLS:
            own[:] = [_total(own)]
    for own in waiting.values():
        total = _total(own)
        packed = total.cells.astype("<i8").tobytes() + total.values.astype("<i8").tobytes()
        columns = [pa.array([total.measure]), pa.array([total.ranker], pa.int32()), pa.array([packed], pa.binary())]
        yield pa.RecordBatch.from_arrays(columns, ["measure", "ranker", "packed"])


def _total(parts: list[Part]) -> Part:
    first = parts[0]
    if all(np.array_equal(part.cells, first.cells) for part in parts[1:]):
        return first._replace(values=np.sum([part.values for part in parts], axis=0))
    cells, place = np.unique(np.concatenate([part.cells for part in parts]), return_inverse=True)
    values = np.zeros(len(cells), np.int64)
    np.add.at(values, place, np.concatenate([part.values for part in parts]))
    return first._replace(cells=cells, values=values)


def _unpack_part(measure: str, ranker: int, packed: bytes) -> Part:
    cells, values = np.frombuffer(packed, "<i8").reshape(2, -1)
    return Part(measure, ranker, cells, values)
