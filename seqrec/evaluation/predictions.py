"""One row per evaluated row: what each ranking made of its candidates. Computed by the workers, never collected."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
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
from seqrec.evaluation.baselines import Ranking
from seqrec.evaluation.model_ranking import ModelRanking
from seqrec.evaluation.row_metrics import row_log_loss
from seqrec.evaluation.rows import USER_KEY, Rows, concatenate, rows_of_arrow
from seqrec.evaluation.slices import Slicer

SCHEMA = (
    f"{USER_KEY} long, parts array<int>, num_negatives int, num_above array<int>, num_tied array<int>,"
    " log_loss array<double>, top_items array<int>, scores array<float>"
)
_SHARD_ROWS = 4096  # Rows scored together.


@dataclass(frozen=True)
class Contest:
    """The rankings that are compared, and all that a worker needs for it; broadcast once."""

    names: tuple[str, ...]
    rankings: tuple[Ranking, ...]
    slicer: Slicer
    top_k: int  # Best items of each row that are kept, for coverage, popularity and novelty.


def with_user_key(rows: DataFrame) -> DataFrame:
    """Rows with a 64-bit hash in place of the user."""
    return rows.select(
        F.xxhash64(USER).alias(USER_KEY),
        *(POSITION, HISTORY_ITEMS, HISTORY_TIMESTAMPS, FIRST_TIMESTAMP),
        *(TARGET_ITEM, TARGET_TIMESTAMP, NEGATIVE_ITEMS),
    )


def in_shards(rows: DataFrame, num_rows: int) -> DataFrame:
    """The same rows, in shards and an order that depend on the rows alone.

    A float32 sum may differ in its last bit with the size and the neighbours of a batch. So batches must not depend
    on how the files were read or how many workers there are.
    """
    num_shards = max(2, -(-num_rows // _SHARD_ROWS))
    return rows.repartition(num_shards, USER_KEY).sortWithinPartitions(USER_KEY, POSITION, TARGET_ITEM)


def build_predictions(rows: DataFrame, contest: Broadcast) -> DataFrame:
    """One row per evaluated row, with the columns of `SCHEMA`; lists hold the rankings one after the other.

    Args:
        rows: of `in_shards`.
        contest: a broadcast `Contest`.
    """

    def predict(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for part in in_blocks(batches):
            yield judge(part, contest.value)

    return rows.mapInArrow(predict, SCHEMA)


def in_blocks(batches: Iterator[pa.RecordBatch]) -> Iterator[Rows]:
    """Rows in blocks of at most `_SHARD_ROWS`, however Spark has cut its Arrow batches."""
    waiting: list[Rows] = []
    for batch in batches:
        waiting.append(rows_of_arrow(batch))
        while sum(map(len, waiting)) >= _SHARD_ROWS:
            everything = concatenate(waiting)
            yield everything.take(np.arange(_SHARD_ROWS))
            waiting = [everything.take(np.arange(_SHARD_ROWS, len(everything)))]
    if sum(map(len, waiting)):
        yield concatenate(waiting)


def judge(rows: Rows, contest: Contest) -> pa.RecordBatch:
    """Lets every ranking order the rows' stored candidates."""
    candidates = rows.candidates
    scores = np.stack([ranking.scores(rows, candidates) for ranking in contest.rankings], axis=1).astype(np.float64)
    target, negatives = scores[:, :, :1], scores[:, :, 1:]
    losses = [
        row_log_loss(scores[:, index]) if isinstance(ranking, ModelRanking) else np.full(len(rows), np.nan)
        for index, ranking in enumerate(contest.rankings)
    ]
    columns = [
        pa.array(rows.user_key),
        list_column(contest.slicer.parts(rows)),
        pa.array(np.full(len(rows), negatives.shape[2], np.int32)),
        list_column((negatives > target).sum(axis=2, dtype=np.int32)),
        list_column((negatives == target).sum(axis=2, dtype=np.int32)),
        list_column(np.stack(losses, axis=1)),
        list_column(top_items(scores, candidates, contest.top_k).reshape(len(rows), -1)),
        list_column(scores.astype(np.float32).reshape(len(rows), -1)),
    ]
    return pa.RecordBatch.from_arrays(columns, names=[part.split()[0] for part in SCHEMA.split(", ")])


def top_items(scores: np.ndarray, candidates: np.ndarray, k: int) -> np.ndarray:
    """int32 [B, K, min(k, N)]: the best candidates of each ranking; tied ones as they stand, the target last."""
    backwards = scores[:, :, ::-1]  # The target stands first, so among ties it must come last.
    order = np.argsort(-backwards, axis=2, kind="stable")[:, :, :k]
    return np.take_along_axis(candidates[:, None, ::-1], order, axis=2).astype(np.int32)


def list_column(values: np.ndarray) -> pa.ListArray:
    """A list column of an array [B, width]."""
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(offsets, np.ascontiguousarray(values).reshape(-1))


def matrix(batch: pa.RecordBatch, name: str) -> np.ndarray:
    """[B, width] of a list column whose lists have one length."""
    column = batch.column(batch.schema.get_field_index(name))
    values = column.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(column), -1) if len(column) else values.reshape(0, 0)
