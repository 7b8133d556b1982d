"""A sample of the items, drawn by popularity without replacement, as the reference does by rejection."""

import numpy as np

from seqrec.core.keyed_random import keyed, uniforms

_SALT = 3_000_017


def sample_items(counts: np.ndarray, keys: np.ndarray, rate: float, seed: int) -> np.ndarray:
    """bool [items]: True for the int(rate * items) items in the sample.

    Drawing random interactions and taking their items until there are enough is an exponential race: each item arrives
    after a random time, which is shorter the more interactions the item has, and the earliest items are taken.

    Args:
        counts: int64 [items], interactions of each item; an item without any is never taken and does not count.
        keys: int64 [items], a hash of each item's id, which its random time depends on.
        rate: share of the items to take, above 0 and at most 1.
    """
    present = counts > 0
    num_sampled = int(present.sum() * rate)
    if rate == 1:
        return present
    uniform = uniforms(keyed(keys, seed, _SALT), 0, 1)[:, 0]
    with np.errstate(divide="ignore"):
        arrival = np.where(present, -np.log1p(-uniform) / counts, np.inf)
    sampled = np.zeros(len(counts), bool)
    sampled[np.lexsort((keys, arrival))[:num_sampled]] = True
    return sampled
