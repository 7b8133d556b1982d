"""Many rows as one: each column of a batch of rows as one binary value (an Arrow stream).

Spark hands a table of lists on row by row and value by value, a binary value in one piece. What only this stage
reads again, and reads often, is therefore kept packed: one row is a bucket of users with all their events.
"""

from collections.abc import Iterable, Iterator

import pyarrow as pa
from pyspark.sql.types import BinaryType, LongType, StructField, StructType


def packed_schema(schema: StructType, *plain: str) -> StructType:
    """The Spark schema of what `pack` gives for rows of `schema`; `plain` are further columns, of integers."""
    binary = [StructField(name, BinaryType(), nullable=False) for name in schema.names]
    return StructType([StructField(name, LongType(), nullable=False) for name in plain] + binary)


def pack(batch: pa.RecordBatch, **plain: int) -> pa.RecordBatch:
    """One row: the integers `plain`, then each column of `batch` as one binary value."""
    columns = [to_bytes(batch.select([name])) for name in batch.schema.names]
    return pa.RecordBatch.from_arrays(
        [pa.array([number], pa.int64()) for number in plain.values()]
        + [pa.array([column], pa.binary()) for column in columns],
        names=[*plain, *batch.schema.names],
    )


def unpack(packed: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch that each row was packed from; `packed` holds only packed columns, all of them or some."""
    for row in range(packed.num_rows):
        columns = [from_bytes(column[row].as_buffer()).column(0) for column in packed.columns]
        yield pa.RecordBatch.from_arrays(columns, names=packed.schema.names)


def to_bytes(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return sink.getvalue().to_pybytes()


def from_bytes(content: pa.Buffer) -> pa.RecordBatch:
    return pa.ipc.open_stream(content).read_next_batch()


def unpack_all(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for packed in batches:
        yield from unpack(packed)
