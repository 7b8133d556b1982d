"""Metrics of single rows, as whole numbers: so that sums do not depend on the order in which rows are added.

Every metric of a row follows from how many negatives score above its target and how many tie with it. In ranks ties
count against the model, in AUC they count half. Means of these are the functions of `core.metrics`.
"""

from typing import NamedTuple

import numpy as np

ONE = 1 << 30  # A metric of 1.0. Metrics are rounded to multiples of 1e-9, and their sums are exact in int64.

AUC = "auc"
GROUP_AUC = "group_auc"
MRR = "mrr"
LOG_LOSS = "log_loss"


class Cutoffs(NamedTuple):
    ndcg: tuple[int, ...]  # The k of NDCG@k.
    hit_rate: tuple[int, ...]  # The k of hit rate@k.


def metric_names(cutoffs: Cutoffs) -> tuple[str, ...]:
    """Names of the metrics of `row_metrics`, in its order."""
    return (GROUP_AUC, MRR, *(f"ndcg@{k}" for k in cutoffs.ndcg), *(f"hit_rate@{k}" for k in cutoffs.hit_rate))


def row_metrics(num_above: np.ndarray, num_tied: np.ndarray, num_negatives: np.ndarray, cutoffs: Cutoffs) -> np.ndarray:
    """float64 [B, K, M]: each row's metrics, in the order of `metric_names`.

    Args:
        num_above: int [B, K], negatives that each ranking puts above the target.
        num_tied: int [B, K], negatives that tie with it.
        num_negatives: int [B], at least 1.
    """
    rank = 1 + num_above + num_tied
    gain = 1.0 / np.log2(rank + 1.0)
    return np.stack(
        [
            1.0 - (num_above + 0.5 * num_tied) / num_negatives[:, None],
            1.0 / rank,
            *(np.where(rank <= k, gain, 0.0) for k in cutoffs.ndcg),
            *((rank <= k).astype(np.float64) for k in cutoffs.hit_rate),
        ],
        axis=2,
    )


def row_log_loss(logits: np.ndarray, clip: float = 1.0e-11) -> np.ndarray:
    """float64 [B]: mean over a row's candidates of the binary cross-entropy of sigmoid(logit), as `core.metrics`.

    Args:
        logits: float [B, N], the target's first.
    """
    signed = logits.astype(np.float64)
    signed[:, 0] *= -1.0
    # -ln(1 - p) of a negative is softplus(logit), -ln(p) of the target softplus(-logit); the clip bounds both.
    loss = np.logaddexp(0.0, signed)
    return np.clip(loss, -np.log1p(-clip), -np.log(clip)).mean(axis=1)


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
    return values / ONE
