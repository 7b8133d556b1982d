"""Bootstrap intervals over users, and a paired test: every draw is a function of (seed, user, replicate).

The Poisson bootstrap gives each user in each replicate an independent weight, Poisson with mean 1. So a task needs only
its own rows and weights do not depend on partitioning. A user's rows (a temporal split has several) and all rankers
share the weights, so differences between rankers are paired.
"""

import math
from collections.abc import Callable

import numpy as np

from seqrec.core.keyed_random import mix

Draw = Callable[[np.ndarray, int, int], np.ndarray]  # (user keys [B], seed, R) -> numbers [B, R]

_LANES = 4  # 16-bit numbers in one 64-bit hash.
_CHUNK = 2048  # Rows whose weights are held at once.


def _poisson_table() -> np.ndarray:
    """uint8 [65536]: the Poisson(1) quantile of each 16-bit uniform number."""
    probabilities = np.array([math.exp(-1.0) / math.factorial(k) for k in range(10)])
    edges = np.rint(np.cumsum(probabilities) * 65536).astype(np.int64)
    return np.searchsorted(edges, np.arange(65536), side="right").astype(np.uint8)


_POISSON = _poisson_table()


def poisson_weights(user_keys: np.ndarray, seed: int, num_replicates: int) -> np.ndarray:
    """uint8 [B, R]: how often each user counts in each replicate."""
    return _POISSON[_uniform(user_keys, seed, num_replicates)]


def signs(user_keys: np.ndarray, seed: int, num_replicates: int) -> np.ndarray:
    """int8 [B, R]: +1 or -1 for each user in each replicate."""
    return (_uniform(user_keys, seed + 0x5EED, num_replicates) & 1).astype(np.int8) * 2 - 1


def weighted_sums(draw: Draw, user_keys: np.ndarray, seed: int, num_replicates: int, values: np.ndarray) -> np.ndarray:
    """int64 [R, C]: sums over rows of values times the row's draw, exactly.

    Args:
        draw: `poisson_weights` or `signs`.
        values: int64 [B, C], each below 2^36 or so.
    """
    total = np.zeros((num_replicates, values.shape[1]), np.int64)
    for start in range(0, len(user_keys), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        weights = draw(user_keys[chunk], seed, num_replicates)
        # Whole numbers whose sums stay below 2^53 are exact in float64, whatever the order; and BLAS is fast.
        total += (weights.T.astype(np.float64) @ values[chunk].astype(np.float64)).astype(np.int64)
    return total


def interval(replicates: np.ndarray, confidence: float) -> tuple[float, float]:
    """The central share `confidence` of the replicates."""
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(replicates, [tail, 1.0 - tail])
    return float(low), float(high)


def sign_flip_p_value(observed: float, flipped: np.ndarray) -> float:
    """Two-sided p-value of a sum of paired differences against the same sum with random signs."""
    at_least = np.count_nonzero(np.abs(flipped) >= abs(observed))
    return float((1 + at_least) / (1 + len(flipped)))


def _uniform(user_keys: np.ndarray, seed: int, num_replicates: int) -> np.ndarray:
    """uint16 [B, R], independent uniform numbers."""
    num_hashes = -(-num_replicates // _LANES)
    seed_hash = _scrambled(np.array([seed % 2**64], np.uint64))
    row = _scrambled(user_keys.astype(np.int64).view(np.uint64) ^ seed_hash)
    column = _scrambled(np.arange(1, num_hashes + 1, dtype=np.uint64) + seed_hash)
    hashes = _scrambled(row[:, None] + column)
    return hashes.view(np.uint16)[:, :num_replicates]


def _scrambled(values: np.ndarray) -> np.ndarray:
    return mix(values + np.uint64(1))  # mix(0) is 0.
