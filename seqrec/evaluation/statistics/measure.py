"""From sums to an evaluation's numbers: plain NumPy on the driver, whose cost does not grow with the rows."""

from dataclasses import replace

import numpy as np

from seqrec.core.batch import PADDING_INDEX
from seqrec.core.metrics import Reads, TopItemCounts, metrics_that_read
from seqrec.evaluation.results import BASELINE, MODEL, RankerResult, SliceResult
from seqrec.evaluation.statistics.aggregates import Plan
from seqrec.evaluation.statistics.exact_sums import Sums
from seqrec.evaluation.statistics.row_metrics import from_whole, logit_metric_names, metric_names
from seqrec.evaluation.statistics.sampling_correction import corrected_metrics
from seqrec.evaluation.statistics.slices import Slicing
from seqrec.scoring.intervals import interval, sign_flip_p_value

_AUC = "auc"  # The only metric of all scores together: it is taken from counts of score bins.
_RANK_BINS = 40  # Bins of a stored rank distribution; twice as many if each holds a single rank.


def all_metric_names(plan: Plan) -> tuple[str, ...]:
    """Names of the summed metrics, in the order of their columns; results leave out those that were not measured."""
    return (*metric_names(plan.cutoffs), *logit_metric_names(), _AUC)


def ranker_results(
    sums: Sums,
    plan: Plan,
    names: tuple[str, ...],
    kinds: tuple[str, ...],
    *,
    confidence: float,
    train_count: np.ndarray,
    top_k: int,
) -> list[RankerResult]:
    """Every ranker's metrics with intervals, and how far ranker 0, the model, is ahead of it."""
    shape = (plan.num_rankers, plan.num_metrics)
    num_rows = int(sums.dense("rows", -1, (1,))[0])
    means = np.stack([from_whole(sums.dense("total", k, (plan.num_metrics,))) for k in range(len(names))]) / num_rows
    if plan.pooled is not None:
        means[:, -1] = plan.pooled
    replicates = _replicate_means(sums, plan, shape)
    results = []
    for ranker, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        own = _taken(plan, kind)
        metrics = {metric: float(means[ranker, column]) for metric, column in own.items()}
        metrics |= top_item_metrics(*sums.sparse("top", ranker), train_count, top_k)
        intervals, ahead_by = {}, {}
        if replicates is not None:
            intervals = {m: interval(replicates[:, ranker, c], confidence) for m, c in own.items()}
            if ranker:
                leads = replicates[:, 0] - replicates[:, ranker]
                ahead_by = {
                    m: (float(means[0, c] - means[ranker, c]), *interval(leads[:, c], confidence))
                    for m, c in own.items()
                }
        ranks = _rank_bins(*sums.sparse("rank", ranker))
        results.append(
            RankerResult(name=name, kind=kind, metrics=metrics, intervals=intervals, ahead_by=ahead_by, ranks=ranks)
        )
    return results


def with_correction(
    sums: Sums, plan: Plan, results: list[RankerResult], num_negatives: int, num_items: int
) -> list[RankerResult]:
    """The results, with estimates of the full ranking's metrics from the sampled ones."""
    return [
        replace(
            result,
            corrected=corrected_metrics(*sums.sparse("rank", ranker), num_negatives, num_items, plan.cutoffs),
        )
        for ranker, result in enumerate(results)
    ]


def slice_results(
    sums: Sums, plan: Plan, names: tuple[str, ...], kinds: tuple[str, ...], slicings: tuple[Slicing, ...]
) -> list[SliceResult]:
    """Each ranker's metrics in each part of the rows that is not empty. The pooled AUC, not a mean, has none."""
    num_labels = sum(len(slicing.labels) for slicing in slicings)
    rows = sums.dense("slice_rows", -1, (num_labels,))
    totals = [from_whole(sums.dense("slice", k, (num_labels, plan.num_metrics))) for k in range(len(names))]
    results = []
    labels = [(slicing.name, label) for slicing in slicings for label in slicing.labels]
    for cell, (slicing, label) in enumerate(labels):
        if not rows[cell]:
            continue
        metrics = {
            name: {
                metric: float(totals[k][cell, column] / rows[cell])
                for metric, column in _taken(plan, kind).items()
                if metric != _AUC
            }
            for k, (name, kind) in enumerate(zip(names, kinds, strict=True))
        }
        results.append(SliceResult(slicing=slicing, label=label, num_rows=int(rows[cell]), metrics=metrics))
    return results


def paired_test(sums: Sums, plan: Plan, results: list[RankerResult]) -> dict[str, object]:
    """Compares ranker 0 with ranker 1 on the same rows: the lead, its interval, and a sign-flip test over users."""
    flips = sums.dense("flip", -1, (plan.num_replicates, plan.num_metrics))
    observed = sums.dense("total", 0, (plan.num_metrics,)) - sums.dense("total", 1, (plan.num_metrics,))
    metrics = {
        metric: {
            "difference": lead[0],
            "interval": [lead[1], lead[2]],
            "p_value": sign_flip_p_value(float(observed[column]), flips[:, column].astype(np.float64)),
        }
        for metric, column in _taken(plan, MODEL).items()
        for lead in [results[1].ahead_by[metric]]
    }
    return {
        "other": results[1].name,
        "test": f"two-sided sign-flip test over users, {plan.num_replicates} draws",
        "metrics": metrics,
    }


def top_item_metrics(items: np.ndarray, counts: np.ndarray, train_count: np.ndarray, k: int) -> dict[str, float]:
    """The metrics of the k best items of every row: how much of the catalogue they cover, how popular they are.

    Args:
        items: int [n], each item once, and how many rows have it: `counts`. Item 0 fills up rows of fewer than k
            candidates and counts for nothing.
    """
    real = items != PADDING_INDEX
    top = TopItemCounts(items[real], counts[real], train_count)
    return {metric.at(k): metric.function(top) for metric in metrics_that_read(Reads.TOP_ITEMS)}


def _taken(plan: Plan, kind: str) -> dict[str, int]:
    """The metrics that a ranker has, with their columns: a baseline has no logits."""
    columns = {name: column for column, name in enumerate(all_metric_names(plan))}
    if plan.pooled is None or kind == BASELINE:
        for name in logit_metric_names():
            columns.pop(name)
    if plan.pooled is None:
        columns.pop(_AUC)
    first = [_AUC] if _AUC in columns else []
    return {name: columns[name] for name in [*first, *(name for name in columns if name != _AUC)]}


def _replicate_means(sums: Sums, plan: Plan, shape: tuple[int, int]) -> np.ndarray | None:
    """float64 [R, K, M]: the mean of every metric in every bootstrap replicate."""
    if not plan.num_replicates:
        return None
    flat = sums.dense("bootstrap", -1, (plan.num_replicates, 1 + shape[0] * shape[1]))
    weights = np.maximum(flat[:, 0], 1)  # A replicate of very few users may have no row.
    return from_whole(flat[:, 1:]).reshape(-1, *shape) / weights[:, None, None]


def _rank_bins(ranks: np.ndarray, counts: np.ndarray) -> list[tuple[int, int]]:
    """The rank distribution in bins: (highest rank, rows). Each rank is a bin if they are few, else bins grow."""
    if not len(ranks):
        return []
    edges = np.unique(np.rint(np.geomspace(1, ranks[-1], _RANK_BINS)).astype(np.int64))
    if ranks[-1] <= 2 * _RANK_BINS:
        edges = np.arange(1, ranks[-1] + 1)
    places = np.searchsorted(edges, ranks)
    rows = np.bincount(places, weights=counts, minlength=len(edges)).astype(np.int64)
    return [(int(edge), int(number)) for edge, number in zip(edges, rows, strict=True)]
