"""From predictions to sums: each task adds up its rows as whole numbers, Spark adds up the tasks, and only the
sums reach the driver. Whole numbers, so the results are the same however the rows are partitioned."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark import Broadcast
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from seqrec.evaluation.intervals import poisson_weights, signs, weighted_sums
from seqrec.evaluation.judging import matrix
from seqrec.evaluation.row_metrics import Cutoffs, metric_names, row_metrics, to_whole
from seqrec.evaluation.rows import USER_KEY
from seqrec.evaluation.score_bins import ScoreCounts, ScoreShares, row_auc_terms, score_bins

_SUMS = "measure string, ranking int, cell long, value long"


@dataclass(frozen=True)
class Sums:
    """Cells and their sums, by measure and ranking (-1 where a measure is not of one ranking)."""

    by_key: dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]

    def sparse(self, measure: str, ranking: int = -1) -> tuple[np.ndarray, np.ndarray]:
        """int64 cells, ascending, and their int64 sums."""
        empty = np.zeros(0, np.int64)
        return self.by_key.get((measure, ranking), (empty, empty))

    def dense(self, measure: str, ranking: int, shape: tuple[int, ...]) -> np.ndarray:
        """int64 array of `shape`; cells are its flat indices, and 0 where there is none."""
        cells, values = self.sparse(measure, ranking)
        array = np.zeros(int(np.prod(shape)), np.int64)
        array[cells] = values
        return array.reshape(shape)


@dataclass(frozen=True)
class Plan:
    """What to add up. Broadcast to the workers."""

    num_rankings: int
    num_labels: tuple[int, ...]  # Labels of each slicing.
    cutoffs: Cutoffs
    seed: int
    num_replicates: int
    paired: bool  # Test ranking 0 against ranking 1.
    pooled: tuple[float, ...] | None = None  # Pooled AUC of each ranking, where it was taken.
    shares: tuple[ScoreShares, ...] | None = None
    dropped_bits: int = 0

    @property
    def num_metrics(self) -> int:
        """Metrics of a row: those of `metric_names`, then log loss, then the term of the pooled AUC."""
        return len(metric_names(self.cutoffs)) + 2


def count_scores(predictions: DataFrame, num_rankings: int, dropped: int) -> tuple[ScoreCounts, ...]:
    """Targets and negatives in each score bin, for each ranking."""

    def count(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            scores = matrix(batch, "scores").reshape(batch.num_rows, num_rankings, -1)
            bins = score_bins(scores, dropped)
            for ranking in range(num_rankings):
                yield _cells("targets", ranking, *_counted(bins[:, ranking, 0]))
                yield _cells("negatives", ranking, *_counted(bins[:, ranking, 1:]))

    sums = collect_sums(predictions.mapInArrow(count, _SUMS))
    return tuple(_score_counts(sums, ranking) for ranking in range(num_rankings))


def add_up(predictions: DataFrame, plan: Broadcast) -> Sums:
    """All sums that the metrics, intervals, slices and tests are made of."""

    def add(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield from sums_of_batch(batch, plan.value)

    return collect_sums(predictions.mapInArrow(add, _SUMS))


def sums_of_batch(batch: pa.RecordBatch, plan: Plan) -> Iterator[pa.RecordBatch]:
    """One batch's share of every sum, as cells."""
    values = whole_metrics(batch, plan)  # int64 [B, K, M]
    users = batch.column(batch.schema.get_field_index(USER_KEY)).to_numpy()
    for ranking in range(plan.num_rankings):
        yield _cells("total", ranking, *_nonzero(values[:, ranking].sum(axis=0)))
        yield _cells("rank", ranking, *_counted(_ranks(batch)[:, ranking]))
        yield _cells("top", ranking, *_counted(_top_items(batch, plan.num_rankings)[:, ranking]))
        yield _cells("slice", ranking, *_nonzero(_slice_sums(batch, values[:, ranking], plan)))
    yield _cells("slice_rows", -1, *_nonzero(_slice_sums(batch, np.ones((batch.num_rows, 1), np.int64), plan)))
    yield _cells("rows", -1, *_nonzero(np.array([batch.num_rows])))
    if plan.num_replicates:
        flat = np.concatenate([np.ones((batch.num_rows, 1), np.int64), values.reshape(batch.num_rows, -1)], axis=1)
        sums = weighted_sums(poisson_weights, users, plan.seed, plan.num_replicates, flat)
        yield _cells("bootstrap", -1, *_nonzero(sums))
    if plan.paired and plan.num_replicates:
        difference = values[:, 0] - values[:, 1]
        yield _cells("flip", -1, *_nonzero(weighted_sums(signs, users, plan.seed, plan.num_replicates, difference)))


def whole_metrics(batch: pa.RecordBatch, plan: Plan) -> np.ndarray:
    """int64 [B, K, M]: every metric of every row in multiples of 1 / ONE; 0 where a ranking has none."""
    num_negatives = batch.column(batch.schema.get_field_index("num_negatives")).to_numpy()
    ranked = row_metrics(matrix(batch, "num_above"), matrix(batch, "num_tied"), num_negatives, plan.cutoffs)
    terms = np.zeros(ranked.shape[:2])
    if plan.shares is not None and plan.pooled is not None:
        bins = score_bins(matrix(batch, "scores"), plan.dropped_bits).reshape(batch.num_rows, plan.num_rankings, -1)
        for ranking, (by_bin, pooled) in enumerate(zip(plan.shares, plan.pooled, strict=True)):
            terms[:, ranking] = row_auc_terms(bins[:, ranking], by_bin, pooled)
    losses = np.nan_to_num(matrix(batch, "log_loss"))
    return to_whole(np.concatenate([ranked, losses[:, :, None], terms[:, :, None]], axis=2))


def collect_sums(cells: DataFrame) -> Sums:
    """Adds up the cells of all tasks, and brings the sums to the driver as one packed row."""
    names = ("measure", "ranking", "cell")
    summed = cells.groupBy(*names).agg(F.sum("value").alias("value")).coalesce(1).sortWithinPartitions(*names)

    def pack(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        # As Arrow bytes: turning a million cells into Row objects would take longer than everything before.
        sink = pa.BufferOutputStream()
        writer = None
        for batch in batches:
            writer = writer or pa.ipc.new_stream(sink, batch.schema)
            writer.write_batch(batch)
        if writer is not None:
            writer.close()
            yield pa.RecordBatch.from_pydict({"packed": pa.array([sink.getvalue().to_pybytes()], pa.binary())})

    packed = summed.mapInArrow(pack, "packed binary").collect()
    return Sums(_unpack(bytes(packed[0][0])) if packed else {})


def _unpack(content: bytes) -> dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]:
    table = pa.ipc.open_stream(content).read_all().combine_chunks()
    measures = table.column("measure").combine_chunks().dictionary_encode()
    measure, ranking = measures.indices.to_numpy(), table.column("ranking").to_numpy()
    cell, value = table.column("cell").to_numpy(), table.column("value").to_numpy()
    starts = np.flatnonzero(np.r_[True, (np.diff(measure) != 0) | (np.diff(ranking) != 0)])
    ends = np.r_[starts[1:], len(cell)]
    return {
        (measures.dictionary[int(measure[start])].as_py(), int(ranking[start])): (cell[start:end], value[start:end])
        for start, end in zip(starts, ends, strict=True)
    }


def _score_counts(sums: Sums, ranking: int) -> ScoreCounts:
    target_bins, targets = sums.sparse("targets", ranking)
    negative_bins, negatives = sums.sparse("negatives", ranking)
    bins = np.union1d(target_bins, negative_bins)
    counts = ScoreCounts(bins, np.zeros(len(bins), np.int64), np.zeros(len(bins), np.int64))
    counts.num_targets[np.searchsorted(bins, target_bins)] = targets
    counts.num_negatives[np.searchsorted(bins, negative_bins)] = negatives
    return counts


def _slice_sums(batch: pa.RecordBatch, values: np.ndarray, plan: Plan) -> np.ndarray:
    """int64 [all labels of all slicings, columns of values]."""
    parts = matrix(batch, "parts")
    sums = np.zeros((sum(plan.num_labels), values.shape[1]), np.int64)
    for index, first in enumerate(np.cumsum((0, *plan.num_labels[:-1]))):
        np.add.at(sums, first + parts[:, index], values)
    return sums


def _ranks(batch: pa.RecordBatch) -> np.ndarray:
    return 1 + matrix(batch, "num_above") + matrix(batch, "num_tied")


def _top_items(batch: pa.RecordBatch, num_rankings: int) -> np.ndarray:
    return matrix(batch, "top_items").reshape(batch.num_rows, num_rankings, -1)


def _counted(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    cells, counts = np.unique(values, return_counts=True)
    return cells.astype(np.int64), counts.astype(np.int64)


def _nonzero(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat = sums.reshape(-1)
    cells = np.flatnonzero(flat)
    return cells, flat[cells]


def _cells(measure: str, ranking: int, cells: np.ndarray, values: np.ndarray) -> pa.RecordBatch:
    columns = {
        "measure": pa.array([measure] * len(cells), pa.string()),
        "ranking": pa.array(np.full(len(cells), ranking, np.int32)),
        "cell": pa.array(cells.astype(np.int64)),
        "value": pa.array(values.astype(np.int64)),
    }
    return pa.RecordBatch.from_pydict(columns)
