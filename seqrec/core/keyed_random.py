"""Random numbers that depend only on a key and a position, so not on the partitioning or the batch.

The mixing function is the finalizer of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
generators", OOPSLA 2014), which passes BigCrush as a counter-based generator.
"""

import numpy as np

_STEP = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, the increment of SplitMix64.
_TO_UNIT = 2.0**-53


def mix(values: np.ndarray) -> np.ndarray:
    """Scrambles 64-bit integers, one to one; returns uint64 of the same shape."""
    mixed = values.astype(np.uint64, copy=True)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def keyed(keys: np.ndarray, *salts: int | np.ndarray) -> np.ndarray:
    """One uint64 per key, made from the key and the salts (integers, or arrays of the keys' shape) in this order."""
    mixed = mix(keys)
    for salt in salts:
        salted = np.asarray(salt).astype(np.int64).astype(np.uint64)
        mixed = mix((mixed ^ salted) + _STEP)
    return mixed


def uniforms(keys: np.ndarray, start: int, count: int) -> np.ndarray:
    """Draws number `start` to `start + count` of each key: float64 [len(keys), count], in [0, 1)."""
    position = np.arange(start + 1, start + count + 1, dtype=np.uint64) * _STEP
    bits = mix(keys.astype(np.uint64)[:, None] + position[None, :])
    return in_unit(bits)


def in_unit(bits: np.ndarray) -> np.ndarray:
    """float64 in [0, 1), of the shape of `bits`, uint64: their upper 53 bits."""
    return (bits >> np.uint64(11)).astype(np.float64) * _TO_UNIT
