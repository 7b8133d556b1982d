"""The predictions of all rows, a row of `PREDICTIONS` for each: made by the workers and never collected."""

from collections.abc import Iterator

import pyarrow as pa
from pyspark import Broadcast
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from seqrec.core.columns import (
    FIRST_TIMESTAMP,
    HISTORY_ITEMS,
    HISTORY_TIMESTAMPS,
    NEGATIVE_ITEMS,
    POSITION,
    TARGET_ITEM,
    TARGET_TIMESTAMP,
    USER,
)
from seqrec.evaluation.rankings.full_catalogue import rank_full_catalogue
from seqrec.evaluation.rankings.stored_candidates import rank_stored_candidates
from seqrec.evaluation.rows import USER_KEY, EvaluationRows, rows_of_arrow
from seqrec.tables.arrow_bytes import BYTE_ROWS, to_byte_rows

_BLOCK_ROWS = 4096  # Rows that a worker holds at once.
_PACKED_BYTES = 1 << 24  # Approximate size of a packed value of predictions.


def with_user_key(rows: DataFrame) -> DataFrame:
    """Rows with a 64-bit hash in place of the user."""
    return rows.select(
        F.xxhash64(USER).alias(USER_KEY),
        *(POSITION, HISTORY_ITEMS, HISTORY_TIMESTAMPS, FIRST_TIMESTAMP),
        *(TARGET_ITEM, TARGET_TIMESTAMP, NEGATIVE_ITEMS),
    )


def in_shards(rows: DataFrame, num_rows: int, shard_rows: int) -> DataFrame:
    """The same rows, in shards and an order that depend on the rows alone.

    A float32 sum may differ in its last bit with the size and the neighbours of a batch. So batches must not depend
    on how the files were read or how many workers there are.
    """
    num_shards = max(2, -(-num_rows // shard_rows))
    return rows.repartition(num_shards, USER_KEY).sortWithinPartitions(USER_KEY, POSITION, TARGET_ITEM)


def build_predictions(rows: DataFrame, compared: Broadcast) -> DataFrame:
    """One row per evaluated row, with the columns of `PREDICTIONS`, packed for `collect_sums`.

    Args:
        rows: rows as `in_shards` orders them.
        compared: a broadcast `ComparedRankers`.
    """

    def predict(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        judge = rank_stored_candidates if compared.value.catalogue is None else rank_full_catalogue
        for part in in_blocks(batches):
            yield from to_byte_rows([judge(part, compared.value)], _PACKED_BYTES)

    return rows.mapInArrow(predict, BYTE_ROWS)


def in_blocks(batches: Iterator[pa.RecordBatch]) -> Iterator[EvaluationRows]:
    """Rows in blocks of `_BLOCK_ROWS`, the last one smaller, however Spark has cut its Arrow batches."""
    waiting: list[EvaluationRows] = []
    for batch in batches:
        waiting.append(rows_of_arrow(batch))
        while sum(map(len, waiting)) >= _BLOCK_ROWS:
            everything = EvaluationRows.concatenate(waiting)
            yield everything.slice(0, _BLOCK_ROWS)
            waiting = [everything.slice(_BLOCK_ROWS, len(everything))]
    if sum(map(len, waiting)):
        yield EvaluationRows.concatenate(waiting)
