"""Ranking metrics: the formula of each, once, and the table `METRICS` that all of the code and the docs read.

A row is one evaluated event: its target and the negatives that it competes with. Where a row has scores, the target's
stands first; scores may be logits or probabilities, as only their order counts. Averages over rows are unweighted.
Everything here is a closed form, so nothing loops over rows. A new metric is a function and an entry of `METRICS`.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Integers = NDArray[np.integer]


class TargetCounts(NamedTuple):
    """Where the targets of some rows stand: three arrays of one shape, or of shapes that broadcast to one."""

    num_above: Integers  # Negatives that score above the target.
    num_tied: Integers  # Negatives that score the same.
    num_negatives: Integers  # All negatives, at least 1.

    @property
    def ranks(self) -> Integers:
        """Rank of each target, 1 is best; ties count against the target."""
        return 1 + self.num_above + self.num_tied


class TopItemCounts(NamedTuple):
    """The items that are among the first k of any row, and in how many rows each is."""

    items: Integers  # int [n], each once, without padding.
    num_rows: Integers  # int64 [n], rows that have the item among their first k.
    train_count: Integers  # int64 [number of items + 1], training events of every item of the catalogue.


class Reads(Enum):
    """What the function of a metric is given."""

    RANKS = "ranks"  # The targets' ranks alone: (ranks) or (ranks, k) -> float64 of the same shape.
    COUNTS = "counts"  # TargetCounts -> float64 of the same shape.
    LOGITS = "logits"  # A row's logits, float [B, N], the target's first -> float64 [B].
    ALL_SCORES = "all scores"  # (scores of all targets, scores of all negatives) -> float. It is not a mean over rows.
    TOP_ITEMS = "top items"  # TopItemCounts -> float.


@dataclass(frozen=True, kw_only=True)
class Metric:
    """An entry of `METRICS`."""

    name: str
    reads: Reads
    function: Callable[..., Any]
    meaning: str  # A phrase for the report and the docs.
    has_cutoff: bool = False  # Computed at one or more k, and named after them: ndcg@10.
    heading: str | None = None  # Column title in the table on the screen, which has 80 columns; None leaves it out.
    less_is_better: bool = False  # Such a metric cannot decide which epoch is best.

    def at(self, k: int | str) -> str:
        """Name of the value at cutoff `k`, such as ndcg@10; without the cutoff if the metric has none."""
        return f"{self.name}@{k}" if self.has_cutoff else self.name

    @property
    def at_any(self) -> str:
        """The name with K for the cutoff, such as ndcg@K."""
        return self.at("K")

    def is_name(self, name: str) -> bool:
        """Whether `name` is this metric, with a cutoff of at least 1 if it has cutoffs."""
        return re.fullmatch(rf"{self.name}@[1-9]\d*" if self.has_cutoff else self.name, name) is not None

    def of_rows(self, counts: TargetCounts, k: int = 0) -> Floats:
        """float64: the value of each row, of the shape that the counts have. Only for RANKS and COUNTS.

        Args:
            k: the cutoff; not used by a metric that has none.
        """
        given = counts.ranks if self.reads is Reads.RANKS else counts
        return self.function(given, k) if self.has_cutoff else self.function(given)


def target_counts(scores: Floats) -> TargetCounts:
    """Where the target of each row stands.

    Args:
        scores: float [..., N], the target's first. A score that is not a number counts as one above the target.
    Returns: int64 [...] each; `num_negatives` is one number for all rows.
    """
    num_below = np.count_nonzero(scores[..., 1:] < scores[..., :1], axis=-1)
    num_tied = np.count_nonzero(scores[..., 1:] == scores[..., :1], axis=-1)
    num_negatives = np.int64(scores.shape[-1] - 1)
    return TargetCounts(num_negatives - num_below - num_tied, num_tied, np.asarray(num_negatives))


def target_ranks(scores: Floats) -> Integers:
    """int64 [rows]: rank of the target in each row of scores [rows, N], each in 1..N; see `target_counts`."""
    return target_counts(scores).ranks


def reciprocal_rank(ranks: Integers) -> Floats:
    return 1.0 / ranks


def ndcg(ranks: Integers, k: int) -> Floats:
    """1 / log2(rank + 1) where rank <= k, else 0: with one target the ideal gain is 1."""
    return np.where(ranks <= k, 1.0 / np.log2(ranks + 1.0), 0.0)


def hit(ranks: Integers, k: int) -> Floats:
    """1 where the target is among the first `k`, else 0; with one target the mean is also recall@k."""
    return (ranks <= k).astype(np.float64)


def row_auc(counts: TargetCounts) -> Floats:
    """AUC within each row: share of its negatives below the target, ties counted half."""
    num_below = counts.num_negatives - counts.num_above - counts.num_tied
    return (num_below + 0.5 * counts.num_tied) / counts.num_negatives


def pooled_auc(target_scores: Floats, negative_scores: Floats) -> float:
    """P(a random target scores above a random negative), all rows pooled, ties counted half; NaN if either is empty.

    O((m + n) log n) by sorting the negatives once.
    """
    targets, negatives = np.ravel(target_scores), np.sort(np.ravel(negative_scores))
    if not len(targets) or not len(negatives):
        return float("nan")
    below = np.searchsorted(negatives, targets, side="left").astype(np.int64)
    not_above = np.searchsorted(negatives, targets, side="right").astype(np.int64)
    return float((below.sum() + not_above.sum()) / 2 / (len(targets) * len(negatives)))


def row_log_loss(logits: Floats, clip: float = 1.0e-11) -> Floats:
    """Mean over a row's candidates of the binary cross-entropy of sigmoid(logit), clipped to [clip, 1 - clip].

    Not meaningful for models trained with a softmax over groups: their logits have no calibrated offset.
    """
    signed = logits.astype(np.float64)
    signed[:, 0] *= -1.0
    # -ln(1 - p) of a negative is softplus(logit), -ln(p) of the target softplus(-logit); the clip bounds both.
    loss = np.logaddexp(0.0, signed)
    return np.clip(loss, -np.log1p(-clip), -np.log(clip)).mean(axis=1)


def coverage(top: TopItemCounts) -> float:
    return float(len(top.items) / max(1, len(top.train_count) - 1))


def average_popularity(top: TopItemCounts) -> float:
    return float((top.train_count[top.items] * top.num_rows).sum() / max(1, top.num_rows.sum()))


def novelty(top: TopItemCounts) -> float:
    """Each item is given one event more than it has, so that the share of an unseen item is not 0."""
    events = top.train_count[top.items]
    share = (events + 1.0) / (top.train_count.sum() + len(top.train_count) - 1.0)
    return float((-np.log2(share) * top.num_rows).sum() / max(1, top.num_rows.sum()))


# In the order of the report.
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            name="auc",
            reads=Reads.ALL_SCORES,
            function=pooled_auc,
            meaning="chance that a target scores above a negative, over all pairs of the split",
            heading="auc",
        ),
        Metric(
            name="group_auc",
            reads=Reads.COUNTS,
            function=row_auc,
            meaning="AUC within each row, unweighted mean over rows",
            heading="gAUC",
        ),
        Metric(
            name="mrr",
            reads=Reads.RANKS,
            function=reciprocal_rank,
            meaning="mean of 1 / rank of the target",
            heading="mrr",
        ),
        Metric(
            name="ndcg",
            reads=Reads.RANKS,
            function=ndcg,
            meaning="mean of 1 / log2(1 + rank) where the target is among the first k, else of 0",
            has_cutoff=True,
            heading="ndcg",
        ),
        Metric(
            name="hit_rate",
            reads=Reads.RANKS,
            function=hit,
            meaning="share of the rows whose target is among the first k",
            has_cutoff=True,
            heading="hit",
        ),
        Metric(
            name="log_loss",
            reads=Reads.LOGITS,
            function=row_log_loss,
            meaning="mean binary cross-entropy of the sigmoid of the logits; the models are not trained for it",
            less_is_better=True,
        ),
        Metric(
            name="coverage",
            reads=Reads.TOP_ITEMS,
            function=coverage,
            meaning="share of the catalogue that is among the first k of any row",
            has_cutoff=True,
        ),
        Metric(
            name="average_popularity",
            reads=Reads.TOP_ITEMS,
            function=average_popularity,
            meaning="mean number of training events of the first k items",
            has_cutoff=True,
        ),
        Metric(
            name="novelty",
            reads=Reads.TOP_ITEMS,
            function=novelty,
            meaning="mean of -log2 of an item's share of the training events, over the first k items",
            has_cutoff=True,
        ),
    )
}


def metrics_that_read(*kinds: Reads) -> tuple[Metric, ...]:
    """The entries of `METRICS` whose functions are given one of `kinds`, in the order of the table."""
    return tuple(metric for metric in METRICS.values() if metric.reads in kinds)


def validation_metrics() -> tuple[Metric, ...]:
    """The metrics that are computed after each epoch, from the scores of the validation rows."""
    return metrics_that_read(Reads.ALL_SCORES, Reads.COUNTS, Reads.RANKS)


CATALOGUE = "catalogue_"  # Begins the names of metrics of targets that compete with the whole catalogue.


def catalogue_metrics() -> tuple[Metric, ...]:
    """The metrics that training can compute from ranks among the whole catalogue, under names of their own."""
    metrics = metrics_that_read(Reads.RANKS)
    return tuple(replace(metric, name=f"{CATALOGUE}{metric.name}", heading=None) for metric in metrics)


def cutoff_of(name: str) -> int | None:
    """The K in the name of a value such as ndcg@K; None if it has none."""
    _, has_cutoff, k = name.partition("@")
    return int(k) if has_cutoff else None


def measure_catalogue_ranks(ranks: Integers, k: int) -> dict[str, float]:
    """Every one of `catalogue_metrics` by name, at the cutoff `k`; NaN where there are no rows.

    Args:
        ranks: int [rows], at least 1.
    """
    values = {}
    for metric in catalogue_metrics():
        of_rows = metric.function(ranks, k) if metric.has_cutoff else metric.function(ranks)
        values[metric.at(k)] = float(np.mean(of_rows)) if len(ranks) else float("nan")
    return values


def measure_scores(scores: Floats, cutoffs: Iterable[int]) -> dict[str, float]:
    """Every one of `validation_metrics` by name: first those without a cutoff, then the others for each of `cutoffs`.

    Args:
        scores: float [rows, N], the target's first.
    """
    counts, metrics = target_counts(scores), validation_metrics()
    values = {}
    for metric in metrics:
        if metric.reads is Reads.ALL_SCORES:
            values[metric.name] = float(metric.function(scores[:, 0], scores[:, 1:]))
        elif not metric.has_cutoff:
            values[metric.name] = float(np.mean(metric.of_rows(counts)))
    for k in cutoffs:
        for metric in metrics:
            if metric.has_cutoff:
                values[metric.at(k)] = float(np.mean(metric.of_rows(counts, k)))
    return values
