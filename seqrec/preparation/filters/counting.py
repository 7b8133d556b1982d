"""Counting into arrays: how often each small integer occurs over a whole table, without shuffling its rows.

Each task counts its part into one array of the full length. The array is cut into chunks, and only chunks that are not
empty travel, as bytes, to be added up. For a catalogue of 15 million items that is 120 MB per task, however many events
there are.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.types import BinaryType, IntegerType, StructField, StructType

from seqrec.tables.sessions import num_tasks

_CHUNK = 1 << 16
_BUFFERED = 1 << 24  # Integers gathered before they are counted, because each count passes over the whole array.
_SCHEMA = StructType([StructField("chunk", IntegerType()), StructField("counts", BinaryType())])
_ARROW = pa.schema([("chunk", pa.int32()), ("counts", pa.binary())])

# Gives the integers in [0, size) to count for one batch of rows, in one or more arrays.
Pick = Callable[[pa.RecordBatch], Iterable[np.ndarray]]


def count_into_array(table: DataFrame, pick: Pick, size: int) -> np.ndarray:
    """int64 [size]: how often `pick` yields each of 0 .. size - 1 over all batches of `table`."""
    tasks = num_tasks(table.sparkSession)
    rows = (
        table.coalesce(tasks)
        .mapInArrow(partial(_count_task, pick, size), _SCHEMA)
        .repartition(tasks, "chunk")
        .mapInArrow(_add_chunks, _SCHEMA)
        .collect()
    )
    counts = np.zeros(size, np.int64)
    for row in rows:
        start = row["chunk"] * _CHUNK
        counts[start : start + _CHUNK] = np.frombuffer(row["counts"], np.int64)
    return counts


def _count_task(pick: Pick, size: int, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    counts = np.zeros(size, np.int64)
    waiting: list[np.ndarray] = []
    for batch in batches:
        waiting.extend(pick(batch))
        if sum(map(len, waiting)) > _BUFFERED:
            counts += _bincount(waiting, size)
            waiting = []
    counts += _bincount(waiting, size)
    for chunk in range(-(-size // _CHUNK)):
        part = counts[chunk * _CHUNK : (chunk + 1) * _CHUNK]
        if part.any():
            yield pa.RecordBatch.from_arrays([pa.array([chunk], pa.int32()), pa.array([part.tobytes()])], schema=_ARROW)


def _bincount(values: list[np.ndarray], size: int) -> np.ndarray | int:
    return np.bincount(np.concatenate(values), minlength=size) if values else 0


def _add_chunks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    totals: dict[int, np.ndarray] = {}
    for batch in batches:
        for chunk, counts in zip(batch.column(0).to_pylist(), batch.column(1), strict=True):
            part = np.frombuffer(counts.as_buffer(), np.int64)
            totals[chunk] = totals[chunk] + part if chunk in totals else part
    for chunk, counts in totals.items():
        yield pa.RecordBatch.from_arrays([pa.array([chunk], pa.int32()), pa.array([counts.tobytes()])], schema=_ARROW)
