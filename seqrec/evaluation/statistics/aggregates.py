"""The sums that metrics, intervals, slices and tests are made of, and what each batch of predictions adds to them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark import Broadcast
from pyspark.sql import DataFrame

from seqrec.evaluation.rows import USER_KEY
from seqrec.evaluation.statistics.exact_sums import Part, Sums, collect_sums, counted_part, dense_part
from seqrec.evaluation.statistics.prediction_batch import counts_of, matrix
from seqrec.evaluation.statistics.row_metrics import Cutoffs, logit_metric_names, metric_names, row_metrics, to_whole
from seqrec.evaluation.statistics.score_bins import ScoreCounts, ScoreShares, row_auc_terms, score_bins
from seqrec.scoring.intervals import poisson_weights, signs, weighted_sums


@dataclass(frozen=True)
class Plan:
    """Which sums to take, and how; broadcast to the workers."""

    num_rankers: int
    num_labels: tuple[int, ...]  # How many labels each slicing has.
    cutoffs: Cutoffs
    seed: int
    num_replicates: int
    paired: bool  # Whether ranker 0 is tested against ranker 1.
    pooled: tuple[float, ...] | None = None  # Pooled AUC of each ranker; None if it is not measured.
    shares: tuple[ScoreShares, ...] | None = None  # Each ranker's score bins; None without intervals of that AUC.
    dropped_bits: int = 0  # Low bits that the score bins leave out.

    @property
    def num_metrics(self) -> int:
        """Metrics per row: those of `metric_names` and `logit_metric_names`, and the term of the pooled AUC."""
        return len(metric_names(self.cutoffs)) + len(logit_metric_names()) + 1


def count_scores(predictions: DataFrame, num_rankers: int, dropped: int) -> tuple[ScoreCounts, ...]:
    """Targets and negatives in each score bin, for each ranker."""

    def count(batch: pa.RecordBatch) -> Iterator[Part]:
        bins = score_bins(matrix(batch, "scores"), dropped).reshape(batch.num_rows, num_rankers, -1)
        for ranker in range(num_rankers):
            yield counted_part("targets", ranker, bins[:, ranker, 0])
            yield counted_part("negatives", ranker, bins[:, ranker, 1:])

    sums = collect_sums(predictions, count)
    return tuple(_score_counts(sums, ranker) for ranker in range(num_rankers))


def add_up(predictions: DataFrame, plan: Broadcast) -> Sums:
    """All sums that the metrics, intervals, slices and tests are made of."""
    return collect_sums(predictions, lambda batch: sums_of_batch(batch, plan.value))


def sums_of_batch(batch: pa.RecordBatch, plan: Plan) -> Iterator[Part]:
    """One batch's share of every sum."""
    values = whole_metrics(batch, plan)  # int64 [B, K, M]
    users = batch.column(batch.schema.get_field_index(USER_KEY)).to_numpy()
    ranks, top_items = counts_of(batch).ranks, _top_items(batch, plan.num_rankers)
    for ranker in range(plan.num_rankers):
        yield dense_part("total", ranker, values[:, ranker].sum(axis=0))
        yield counted_part("rank", ranker, ranks[:, ranker])
        yield counted_part("top", ranker, top_items[:, ranker])
        yield dense_part("slice", ranker, _slice_sums(batch, values[:, ranker], plan))
    yield dense_part("slice_rows", -1, _slice_sums(batch, np.ones((batch.num_rows, 1), np.int64), plan))
    yield dense_part("rows", -1, np.array([batch.num_rows]))
    if plan.pooled is None:
        # The full protocol may leave out rows, and then users; they are few enough to count one by one.
        yield counted_part("users", -1, users)
    if plan.num_replicates:
        flat = np.concatenate([np.ones((batch.num_rows, 1), np.int64), values.reshape(batch.num_rows, -1)], axis=1)
        yield dense_part("bootstrap", -1, weighted_sums(poisson_weights, users, plan.seed, plan.num_replicates, flat))
    if plan.paired and plan.num_replicates:
        difference = values[:, 0] - values[:, 1]
        yield dense_part("flip", -1, weighted_sums(signs, users, plan.seed, plan.num_replicates, difference))


def whole_metrics(batch: pa.RecordBatch, plan: Plan) -> np.ndarray:
    """int64 [B, K, M]: every metric of every row in multiples of 1 / ONE; 0 where a ranker has none."""
    ranked = row_metrics(counts_of(batch), plan.cutoffs)
    terms = np.zeros(ranked.shape[:2])
    if plan.shares is not None and plan.pooled is not None:
        bins = score_bins(matrix(batch, "scores"), plan.dropped_bits).reshape(batch.num_rows, plan.num_rankers, -1)
        for ranker, (by_bin, pooled) in enumerate(zip(plan.shares, plan.pooled, strict=True)):
            terms[:, ranker] = row_auc_terms(bins[:, ranker], by_bin, pooled)
    of_logits = np.nan_to_num(matrix(batch, "of_logits")).reshape(*ranked.shape[:2], -1)
    return to_whole(np.concatenate([ranked, of_logits, terms[:, :, None]], axis=2))


def _score_counts(sums: Sums, ranker: int) -> ScoreCounts:
    target_bins, targets = sums.sparse("targets", ranker)
    negative_bins, negatives = sums.sparse("negatives", ranker)
    bins = np.union1d(target_bins, negative_bins)
    counts = ScoreCounts(bins, np.zeros(len(bins), np.int64), np.zeros(len(bins), np.int64))
    counts.num_targets[np.searchsorted(bins, target_bins)] = targets
    counts.num_negatives[np.searchsorted(bins, negative_bins)] = negatives
    return counts


def _slice_sums(batch: pa.RecordBatch, values: np.ndarray, plan: Plan) -> np.ndarray:
    """int64 [all labels of all slicings, columns of values]."""
    parts = matrix(batch, "parts")
    sums = [
        # The sums are exact, for the reason given in `weighted_sums`.
        (parts[:, index] == np.arange(num_labels)[:, None]).astype(np.float64) @ values.astype(np.float64)
        for index, num_labels in enumerate(plan.num_labels)
    ]
    return np.concatenate(sums).astype(np.int64)


def _top_items(batch: pa.RecordBatch, num_rankers: int) -> np.ndarray:
    return matrix(batch, "top_items").reshape(batch.num_rows, num_rankers, -1)
