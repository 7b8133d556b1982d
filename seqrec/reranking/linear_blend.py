"""A weighted sum of the features, fitted as a conditional logit (McFadden, 1974): a softmax over each user's list.

Features are put on a like scale first: sign(x) ln(1 + |x|), then mean 0 and variance 1.
"""

import json
from dataclasses import dataclass

import numpy as np

from seqrec.reranking.fit_rows import FitRows, mean_ndcg

_PENALTIES = (1.0, 10.0, 100.0, 1000.0)  # Tried on the users held out; of the squares of the weights.
_STEPS = 30
_TOLERANCE = 1e-6
_CUTOFF = 10
_FINITE = 1e6  # Infinite values, such as a logit that is missing, are cut to this.


@dataclass(frozen=True)
class LinearBlend:
    """Weights of the features on a like scale."""

    names: tuple[str, ...]
    means: np.ndarray  # float64 [F]
    scales: np.ndarray  # float64 [F]
    weights: np.ndarray  # float64 [F]

    @classmethod
    def from_text(cls, text: str) -> "LinearBlend":
        values = json.loads(text)
        arrays = (np.array(values[name], np.float64) for name in ("means", "scales", "weights"))
        return cls(tuple(values["names"]), *arrays)

    def scores(self, values: np.ndarray) -> np.ndarray:
        """float32 [P] of values float32 [P, F]."""
        return (((_on_log_scale(values) - self.means) / self.scales) @ self.weights).astype(np.float32)

    def importances(self) -> dict[str, float]:
        """Share of each feature in the sum of the absolute weights."""
        size = np.abs(self.weights)
        return dict(zip(self.names, (size / max(size.sum(), 1e-12)).tolist(), strict=True))

    def to_text(self) -> str:
        arrays = {name: getattr(self, name).tolist() for name in ("means", "scales", "weights")}
        return json.dumps({"names": list(self.names), **arrays}, indent=1) + "\n"


def fit_linear(names: tuple[str, ...], rows: FitRows, held_out: FitRows) -> LinearBlend:
    """The weights of most likelihood, less a penalty that is chosen by NDCG@10 of the users held out."""
    values = _on_log_scale(rows.values)
    means, scales = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-6)
    scaled = (values - means) / scales
    best: tuple[float, LinearBlend] | None = None
    weights = np.zeros(len(names))
    for penalty in sorted(_PENALTIES, reverse=True):  # From strong to weak, each from where the one before ended.
        weights = _newton(scaled, rows, penalty, weights)
        blend = LinearBlend(names, means, scales, weights)
        value = mean_ndcg(held_out.ranks(blend.scores(held_out.values)), _CUTOFF)
        if best is None or value > best[0]:
            best = value, blend
    assert best is not None
    return best[1]


def _newton(values: np.ndarray, rows: FitRows, penalty: float, weights: np.ndarray) -> np.ndarray:
    """Newton's method on the penalised negative log-likelihood, which is convex; a step is halved until it helps."""
    starts, targets = rows.starts, values[rows.is_target].sum(axis=0)

    def shares(weights: np.ndarray) -> tuple[np.ndarray, float]:
        """Softmax of each group, [P], and the objective."""
        logits = values @ weights
        logits -= np.repeat(np.maximum.reduceat(logits, starts), rows.sizes)
        exponential = np.exp(logits)
        sums = np.add.reduceat(exponential, starts)
        loss = np.log(sums).sum() - logits[rows.is_target].sum() + penalty / 2 * weights @ weights
        return exponential / np.repeat(sums, rows.sizes), float(loss)

    share, loss = shares(weights)
    for _ in range(_STEPS):
        weighted = values * share[:, None]
        means = np.add.reduceat(weighted, starts, axis=0)
        gradient = means.sum(axis=0) - targets + penalty * weights
        hessian = weighted.T @ values - means.T @ means + penalty * np.eye(len(weights))
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-4:
            new_share, new_loss = shares(weights - size * step)
            if new_loss <= loss:
                break
            size /= 2
        else:
            return weights
        weights, share, gain, loss = weights - size * step, new_share, loss - new_loss, new_loss
        if gain < _TOLERANCE * max(1.0, abs(loss)):
            break
    return weights


def _on_log_scale(values: np.ndarray) -> np.ndarray:
    """float64 [P, F]: sign(x) ln(1 + |x|)."""
    cut = np.clip(np.nan_to_num(values.astype(np.float64), posinf=_FINITE, neginf=-_FINITE), -_FINITE, _FINITE)
    return np.sign(cut) * np.log1p(np.abs(cut))
