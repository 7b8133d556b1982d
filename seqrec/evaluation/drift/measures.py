"""How far apart two distributions are: population stability index and Kolmogorov-Smirnov distance, from counts."""

from dataclasses import dataclass

import numpy as np

_SMOOTHING = 0.5  # Added to every bin, so that an empty one does not make the index infinite (Jeffreys' prior).


@dataclass(frozen=True)
class Difference:
    """What differs between the reference and the new events in one respect."""

    name: str
    psi: float  # Population stability index: sum over bins of (q - p) * log(q / p).
    ks: float | None = None  # Largest distance between the cumulative shares, where values have an order.


def stability_index(before: np.ndarray, after: np.ndarray) -> float:
    """The population stability index of two arrays of counts (or weights) per bin."""
    p, q = ((counts + _SMOOTHING) / (counts + _SMOOTHING).sum() for counts in (before, after))
    return float(((q - p) * np.log(q / p)).sum())


def cumulative_distance(before: np.ndarray, after: np.ndarray) -> float:
    """The Kolmogorov-Smirnov distance of two arrays of counts by ascending value; 0 where one of them is empty."""
    if not before.sum() or not after.sum():
        return 0.0
    return float(np.abs(np.cumsum(before) / before.sum() - np.cumsum(after) / after.sum()).max())


def compare_values(name: str, before: np.ndarray, after: np.ndarray, num_bins: int) -> Difference:
    """Compares counts of unordered values: the most frequent ones before have bins of their own, all others one."""
    own = np.argsort(-before, kind="stable")[: num_bins - 1]
    parts = [np.append(counts[own], counts.sum() - counts[own].sum()) for counts in (before, after)]
    return Difference(name, stability_index(*parts))


def compare_ordered(name: str, before: np.ndarray, after: np.ndarray) -> Difference:
    """Compares counts of ordered values, which are few."""
    return Difference(name, stability_index(before, after), cumulative_distance(before, after))


def compare_numbers(
    name: str, before: tuple[np.ndarray, np.ndarray], after: tuple[np.ndarray, np.ndarray], num_bins: int
) -> Difference:
    """Compares numbers with weights, NaN for a missing one, which has a bin of its own.

    Args:
        before, after: float64 values and their weights, of equal lengths.
    """
    known = [(values[~np.isnan(values)], weights[~np.isnan(values)]) for values, weights in (before, after)]
    missing = [weights[np.isnan(values)].sum() for values, weights in (before, after)]
    order = np.argsort(known[0][0], kind="stable")
    until = np.cumsum(known[0][1][order])
    if not len(until) or not until[-1]:
        return Difference(
            name, stability_index(*(np.array([w.sum(), m]) for (_, w), m in zip(known, missing, strict=True)))
        )
    shares = np.arange(1, num_bins) / num_bins * until[-1]
    edges = np.unique(known[0][0][order][np.searchsorted(until, shares)])
    binned = [
        np.append(np.bincount(np.searchsorted(edges, v, side="right"), weights=w, minlength=len(edges) + 1), m)
        for (v, w), m in zip(known, missing, strict=True)
    ]
    every = np.unique(np.concatenate([values for values, _ in known]))
    counts = [np.bincount(np.searchsorted(every, v), weights=w, minlength=len(every)) for v, w in known]
    return Difference(name, stability_index(*binned), cumulative_distance(*counts))
