"""Initial values of variables; each tensor is drawn from a seed of its own."""

import math
import zlib

import numpy as np
import tensorflow as tf

_BLOCK_ROWS = 1_000_000
_TRUNCATED_STD = 0.8796  # Standard deviation of a normal of 1 that is redrawn beyond 2.


class Initializer:
    """Draws initial values. Every name has its own random numbers, so no two weights are equal.

    Args:
        seed: None leaves tables at zero, for weights that are loaded next: to draw 15 million rows takes seconds.
        std: standard deviation of `normal` and `table`.
    """

    def __init__(self, seed: int | None, std: float) -> None:
        self._draws_tables = seed is not None
        self._seed = seed or 0
        self._std = std

    @classmethod
    def xavier(cls, seed: int | None, num_rows: int, width: int) -> "Initializer":
        """Returns one whose `normal` and `table` have the variance that Xavier gives a table of this size."""
        return cls(seed, math.sqrt(2.0 / (num_rows + width)) / _TRUNCATED_STD)

    def _key(self, name: str, block: int = 0) -> list[int]:
        return [(self._seed * 2**32 + zlib.crc32(name.encode())) % 2**63, block]

    def normal(self, name: str, shape: tuple[int, ...]) -> tf.Variable:
        """Draws from a normal distribution, again for values beyond two standard deviations."""
        value = tf.random.stateless_truncated_normal(shape, self._key(name), stddev=self._std)
        return tf.Variable(value, name=name)

    def glorot(self, name: str, shape: tuple[int, ...]) -> tf.Variable:
        """Draws uniformly within the limit of Glorot; for a vector both fans are its length."""
        return self.uniform(name, shape, math.sqrt(6.0 / (shape[0] + shape[-1])))

    def uniform(self, name: str, shape: tuple[int, ...], limit: float) -> tf.Variable:
        """Draws uniformly between -limit and limit."""
        value = tf.random.stateless_uniform(shape, self._key(name), minval=-limit, maxval=limit)
        return tf.Variable(value, name=name)

    def constant(self, name: str, shape: tuple[int, ...], value: float, trainable: bool = True) -> tf.Variable:
        return tf.Variable(tf.fill(shape, np.float32(value)), name=name, trainable=trainable)

    def table(self, name: str, num_rows: int, width: int) -> tf.Variable:
        """Draws like `normal`, block by block, so that a table of gigabytes is held in memory once, not twice."""
        table = tf.Variable(tf.zeros([num_rows, width]), name=name)
        for block, start in enumerate(range(0, num_rows if self._draws_tables else 0, _BLOCK_ROWS)):
            rows = tf.range(start, min(start + _BLOCK_ROWS, num_rows))
            shape = [rows.shape[0], width]
            values = tf.random.stateless_truncated_normal(shape, self._key(name, block), stddev=self._std)
            table.scatter_update(tf.IndexedSlices(values, rows))
        return table
