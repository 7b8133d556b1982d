"""A sample of the items, drawn by popularity without replacement, as the reference does by rejection."""

import numpy as np

from seqrec.core.keyed_random import keyed, uniforms

_SALT = 3_000_017


def sample_items(counts: np.ndarray, keys: np.ndarray, rate: float, seed: int) -> np.ndarray:
    """Which items are in the sample: bool, int(rate * items) of them True.

    Drawing a random interaction and taking its item, until there are enough, is an exponential race: each item
    arrives after a time that is the shorter the more interactions it has, and the earliest are taken.

    Args:
        counts: interactions of each item; an item without any is never taken and does not count.
        keys: what the draw of each item hangs on: a hash of its id.
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
