"""Metrics of single rows, as whole numbers: so that sums do not depend on the order in which rows are added.

The formulas are those of `core.metrics`. In ranks ties count against the ranker, in AUC they count half.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from seqrec.core.metrics import Metric, Reads, TargetCounts, metrics_that_read

ONE = 1 << 30  # A metric of 1.0. Metrics are rounded to multiples of 1e-9, and their sums are exact in int64.
_OF_TARGETS = (Reads.COUNTS, Reads.RANKS)

Cutoffs = Mapping[str, Sequence[int]]  # The k of each metric that has cutoffs, by its name.


def metrics_at(cutoffs: Cutoffs, *kinds: Reads) -> Iterator[tuple[Metric, int]]:
    """Each metric that reads one of `kinds`, with each of its cutoffs in turn; with 0 if it has none."""
    for metric in metrics_that_read(*kinds):
        for k in cutoffs[metric.name] if metric.has_cutoff else (0,):
            yield metric, k


def metric_names(cutoffs: Cutoffs) -> tuple[str, ...]:
    """Names of the metrics of `row_metrics`, in its order."""
    return tuple(metric.at(k) for metric, k in metrics_at(cutoffs, *_OF_TARGETS))


def row_metrics(counts: TargetCounts, cutoffs: Cutoffs) -> np.ndarray:
    """float64 [B, K, M]: each row's metrics, in the order of `metric_names`.

    Args:
        counts: int [B, K], or arrays that broadcast to this shape.
    """
    return np.stack([metric.of_rows(counts, k) for metric, k in metrics_at(cutoffs, *_OF_TARGETS)], axis=2)


def logit_metric_names() -> tuple[str, ...]:
    """Names of the metrics of `logit_metrics`, in its order."""
    return tuple(metric.name for metric in metrics_that_read(Reads.LOGITS))


def logit_metrics(logits: np.ndarray) -> np.ndarray:
    """float64 [B, metrics]: what is computed from all logits of a row.

    Args:
        logits: float [B, N], the target's first.
    """
    return np.stack([metric.function(logits) for metric in metrics_that_read(Reads.LOGITS)], axis=1)


def to_whole(values: np.ndarray) -> np.ndarray:
    """int64 multiples of 1 / ONE, rounded.

    Raises:
        ValueError: a value is not a finite number, which would become a whole number that looks like one.
    """
    finite = np.isfinite(values)
    if not finite.all():
        raise ValueError(
            f"{np.count_nonzero(~finite)} of {finite.size} metrics of rows are not finite numbers, the first is "
            f"{values[~finite][0]}: check the scores that they come from."
        )
    return np.rint(values * ONE).astype(np.int64)


def from_whole(values: np.ndarray) -> np.ndarray:
    """float64: the values that were rounded by `to_whole`, or their sums."""
    return values / ONE
