"""Pooled AUC of any number of scores, from counts of targets and negatives by score.

A float32 score becomes a 32-bit whole number of the same order. With few scores each number is its own bin and the AUC
is exact. With many the lowest bits are dropped, which leaves 11 bits behind the binary point of each power of two:
scores closer than 1 in 2,048 share a bin and count as ties. The number of bins does not grow with the users.
"""

from typing import NamedTuple

import numpy as np

_EXACT_SCORES = 1 << 18  # Up to here every distinct score is a bin.
_DROPPED_BITS = 12


class ScoreCounts(NamedTuple):
    """Targets and negatives in each bin, bins ascending."""

    bins: np.ndarray  # int64 [bins]
    num_targets: np.ndarray  # int64 [bins]
    num_negatives: np.ndarray  # int64 [bins]


def dropped_bits(num_scores: int) -> int:
    """How many low bits to drop if one ranker has `num_scores` scores."""
    return 0 if num_scores <= _EXACT_SCORES else _DROPPED_BITS


def score_bins(scores: np.ndarray, dropped: int) -> np.ndarray:
    """int64 bins in the order of the scores; -0.0 and 0.0 are the same."""
    bits = (scores.astype(np.float32) + np.float32(0.0)).view(np.int32).astype(np.int64)
    # Negative floats order backwards by their bits.
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits) >> dropped


def auc(counts: ScoreCounts) -> float:
    """P(a random target scores above a random negative), ties counted half; NaN without targets or negatives."""
    pairs = float(counts.num_targets.sum()) * float(counts.num_negatives.sum())
    if not pairs:
        return float("nan")
    below = np.cumsum(counts.num_negatives) - counts.num_negatives
    # Python integers: the number of pairs may pass 2^63.
    double_wins = sum(
        int(t) * (2 * int(b) + int(n))
        for t, b, n in zip(counts.num_targets, below, counts.num_negatives, strict=True)
        if t
    )
    return double_wins / 2.0 / pairs


class ScoreShares(NamedTuple):
    """For each bin, the share of all negatives below it and of all targets above it, ties counted half."""

    bins: np.ndarray  # int64 [bins]
    negatives_below: np.ndarray  # float64 [bins]
    targets_above: np.ndarray  # float64 [bins]


def shares(counts: ScoreCounts) -> ScoreShares:
    """The shares of one ranker's scores, by bin."""
    targets, negatives = counts.num_targets, counts.num_negatives
    below = np.cumsum(negatives) - negatives / 2.0
    above = targets.sum() - np.cumsum(targets) + targets / 2.0
    return ScoreShares(counts.bins, below / max(1, negatives.sum()), above / max(1, targets.sum()))


def row_auc_terms(bins: np.ndarray, by_bin: ScoreShares, pooled: float) -> np.ndarray:
    """float64 [B]: the contribution of each row to the pooled AUC, which is their mean.

    The share of all negatives below the row's target, plus the share of all targets above its negatives, minus the
    AUC: to first order the AUC of a resample is the resample's mean of these (Hoeffding projection), so intervals
    and paired tests of the pooled AUC work like those of any other mean.

    Args:
        bins: int64 [B, N], of all candidates, the target first.
    """
    place = np.searchsorted(by_bin.bins, bins)
    return by_bin.negatives_below[place[:, 0]] + by_bin.targets_above[place[:, 1:]].mean(axis=1) - pooled
