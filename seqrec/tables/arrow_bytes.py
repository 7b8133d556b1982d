"""Whole batches of rows as binary values (Arrow streams), which Spark moves in one piece.

Spark passes a table of lists on row by row and value by value. Rows that only our own functions read again therefore
travel as bytes: a batch as one value (`to_byte_rows`), or as one row with a value per column (`to_arrow_row`), of which
a reader may ask for some columns only.
"""

from collections.abc import Iterable, Iterator

import pyarrow as pa
from pyspark.sql.types import BinaryType, LongType, StructField, StructType

BYTE_ROWS = "packed binary"  # The Spark schema of `to_byte_rows`.


def to_bytes(batch: pa.RecordBatch) -> bytes:
    """The batch as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return sink.getvalue().to_pybytes()


def from_bytes(content: pa.Buffer | bytes) -> pa.RecordBatch:
    """The batch that `to_bytes` was given; a buffer is not copied."""
    return pa.ipc.open_stream(content).read_next_batch()


def to_byte_rows(batches: Iterable[pa.RecordBatch], max_bytes: int | None = None) -> Iterator[pa.RecordBatch]:
    """Each batch as one row with one binary value, or as several of about `max_bytes`; none for an empty batch."""
    for batch in batches:
        rows = batch.num_rows if max_bytes is None else batch.num_rows * max_bytes // max(1, batch.nbytes)
        for start in range(0, batch.num_rows, max(1, rows)):
            content = to_bytes(batch.slice(start, max(1, rows)))
            yield pa.RecordBatch.from_arrays([pa.array([content], pa.binary())], ["packed"])


def from_byte_rows(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches that `to_byte_rows` was given, or their parts."""
    for batch in batches:
        for value in batch.column(0):
            yield from_bytes(value.as_buffer())


def arrow_row_schema(schema: StructType, *plain: str) -> StructType:
    """The Spark schema of `to_arrow_row` for batches of `schema`; `plain` are further columns, of integers."""
    binary = [StructField(name, BinaryType(), nullable=False) for name in schema.names]
    return StructType([StructField(name, LongType(), nullable=False) for name in plain] + binary)


def to_arrow_row(batch: pa.RecordBatch, **plain: int) -> pa.RecordBatch:
    """One row: the integers `plain`, then each column of `batch` as one binary value."""
    columns = [to_bytes(batch.select([name])) for name in batch.schema.names]
    return pa.RecordBatch.from_arrays(
        [pa.array([number], pa.int64()) for number in plain.values()]
        + [pa.array([column], pa.binary()) for column in columns],
        names=[*plain, *batch.schema.names],
    )


def from_arrow_rows(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batch that each row was made from, with the columns that `batches` hold: all of them or some."""
    for rows in batches:
        for row in range(rows.num_rows):
            columns = [from_bytes(column[row].as_buffer()).column(0) for column in rows.columns]
            yield pa.RecordBatch.from_arrays(columns, names=rows.schema.names)
