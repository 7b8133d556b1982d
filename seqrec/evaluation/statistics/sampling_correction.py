"""Estimates of the metrics of a ranking of the whole catalogue, from ranks among sampled candidates.

Krichene and Rendle, "On Sampled Metrics for Item Recommendation" (KDD 2020): a metric of the rank among a few sampled
candidates is not an estimate of the same metric of the full rank, and can order models in another way. But the sampled
rank carries information about the full one: given full rank r, the number of sampled negatives above the target is
hypergeometric (the negatives of a row differ), so the metric can be replaced by one whose expectation is near the
full ranking's. This holds only for negatives drawn uniformly. AUC needs no correction.
"""

import numpy as np

from seqrec.core.metrics import Reads, TargetCounts
from seqrec.evaluation.statistics.row_metrics import Cutoffs, metrics_at

_TRADE_OFF = 0.1  # gamma of the paper's section 5.3: weight of the variance against the bias.
_EXACT_RANKS = 4096  # Ranks above this are taken in growing steps.


def corrected_metrics(
    ranks: np.ndarray, counts: np.ndarray, num_negatives: int, num_items: int, cutoffs: Cutoffs
) -> dict[str, float]:
    """Estimates of full-ranking metrics, for every metric of ranks, from the distribution of sampled ranks.

    Args:
        ranks: int [n], sampled ranks, 1 to num_negatives + 1.
        counts: int [n], rows of each.
        num_items: items in the full ranking, the target among them.
        cutoffs: the k of each metric that has cutoffs.
    """
    share = np.zeros(num_negatives + 1)
    share[ranks - 1] = counts / counts.sum()
    full_ranks, weight = _rank_grid(num_items)
    given = sampled_rank_probabilities(full_ranks, num_negatives, num_items)
    places = TargetCounts(full_ranks - 1, np.zeros_like(full_ranks), np.full_like(full_ranks, num_items - 1))
    return {
        metric.at(k): float(share @ _corrected(metric.of_rows(places, k), weight, given))
        for metric, k in metrics_at(cutoffs, Reads.RANKS)
    }


def sampled_rank_probabilities(full_ranks: np.ndarray, num_negatives: int, num_items: int) -> np.ndarray:
    """float64 [full ranks, num_negatives + 1]: P(sampled rank | full rank), hypergeometric."""
    above = (full_ranks - 1.0)[:, None]
    drawn = np.arange(num_negatives + 1.0)
    below = num_items - 1.0 - above
    possible = (drawn <= above) & (num_negatives - drawn <= below)
    with np.errstate(invalid="ignore"):
        log_ways = _log_choose(above, drawn) + _log_choose(below, num_negatives - drawn)
    log_ways = np.where(possible, log_ways, -np.inf)
    return np.exp(log_ways - _log_choose(num_items - 1.0, float(num_negatives)))


def _corrected(metric: np.ndarray, weight: np.ndarray, given: np.ndarray) -> np.ndarray:
    """float64 [num_negatives + 1]: the least-squares trade-off of bias and variance, with a uniform prior of ranks."""
    weighted = given * weight[:, None]
    bias = given.T @ weighted
    variance = np.diag(weighted.sum(axis=0))
    return np.linalg.solve((1.0 - _TRADE_OFF) * bias + _TRADE_OFF * variance, weighted.T @ metric)


def _rank_grid(num_items: int) -> tuple[np.ndarray, np.ndarray]:
    """Full ranks, and the share of all ranks that each stands for; all ranks if there are few."""
    if num_items <= _EXACT_RANKS:
        return np.arange(1, num_items + 1), np.full(num_items, 1.0 / num_items)
    later = np.unique(np.geomspace(_EXACT_RANKS, num_items, _EXACT_RANKS).astype(np.int64))
    ranks = np.concatenate([np.arange(1, _EXACT_RANKS), later])
    steps = np.diff(np.append(ranks, num_items + 1))
    return ranks, steps / num_items


def _log_choose(n: np.ndarray | float, k: np.ndarray | float) -> np.ndarray:
    return _log_factorial(n) - _log_factorial(k) - _log_factorial(n - k)


def _log_factorial(n: np.ndarray | float) -> np.ndarray:
    """ln n! within 1e-12, by a table for small n, else by Stirling's series; not meaningful for n below 0."""
    n = np.maximum(n, 0.0)
    table = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1.0, 257.0)))])
    x = np.maximum(n, 256.0)
    series = x * np.log(x) - x + 0.5 * np.log(2.0 * np.pi * x) + 1.0 / (12.0 * x) - 1.0 / (360.0 * x**3)
    return np.where(n <= 256.0, table[np.minimum(n, 256.0).astype(np.int64)], series)
