"""Ranking metrics of groups of scores: one target and its negatives per row.

A row is one evaluated event: its target's score stands first, the scores of its N - 1 negatives behind it. Scores may
be logits or probabilities; only their order counts. Averages over rows are unweighted. Everything here is a closed
form of `target_ranks` or of sorted scores, so nothing loops over rows.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Integers = NDArray[np.integer]


def target_ranks(scores: Floats) -> Integers:
    """Rank of the target in each row, 1 is best; ties count against the target.

    Args:
        scores: float [rows, N], the target's first. A score that is not a number counts as a tie.
    Returns: int64 [rows], each in 1..N.
    """
    return 1 + np.count_nonzero(~(scores[:, 1:] < scores[:, :1]), axis=1)


def hit_rate(ranks: Integers, k: int) -> float:
    """Share of rows with the target among the first `k`; with one target the same as recall@k."""
    return float(np.mean(ranks <= k))


def ndcg(ranks: Integers, k: int) -> float:
    """Mean of 1 / log2(rank + 1) where rank <= k, else 0: with one target the ideal gain is 1."""
    return float(np.mean(np.where(ranks <= k, 1.0 / np.log2(ranks + 1.0), 0.0)))


def mrr(ranks: Integers) -> float:
    """Mean of 1 / rank."""
    return float(np.mean(1.0 / ranks))


def row_aucs(scores: Floats) -> Floats:
    """AUC within each row: share of its negatives below the target, ties counted half.

    Args:
        scores: float [rows, N], the target's first, N at least 2.
    Returns: float64 [rows]
    """
    below = np.count_nonzero(scores[:, 1:] < scores[:, :1], axis=1)
    tied = np.count_nonzero(scores[:, 1:] == scores[:, :1], axis=1)
    return (below + 0.5 * tied) / (scores.shape[1] - 1)


def group_auc(scores: Floats) -> float:
    """Unweighted mean over rows of the AUC within the row (the reference's `group_auc`)."""
    return float(np.mean(row_aucs(scores)))


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


def log_loss(labels: Integers, probabilities: Floats, clip: float = 1.0e-11) -> float:
    """Mean binary cross-entropy of probabilities clipped to [clip, 1 - clip], in float64.

    Not meaningful for models trained with a softmax over groups: their logits have no calibrated offset.
    """
    inside = np.clip(np.asarray(probabilities, np.float64), clip, 1.0 - clip)
    return float(-np.mean(np.where(np.asarray(labels) == 1, np.log(inside), np.log1p(-inside))))
