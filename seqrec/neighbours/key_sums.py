"""Adds up integer weights by key, as every count of pairs or items does."""

import numpy as np


def add_up(keys: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each key once, sorted, with the sum of its weights; sums of 0 are left out.

    Args:
        keys: int64 [n]
        weights: int64 [n], at least 0.
    """
    if not len(keys):
        return keys, weights
    order = np.argsort(keys, kind="stable")
    keys, weights = keys[order], weights[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    sums = np.add.reduceat(weights, starts)
    return keys[starts][sums > 0], sums[sums > 0]
