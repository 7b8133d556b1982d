"""Draws of items for the targets of one stream: from all items alike, by popularity, from the stream's own targets.

Unlike `negatives.py` it does not step over a target: whoever uses the draws leaves out accidental hits. So one draw can
serve all targets of a stream, and the probability of each drawn item is known exactly.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from seqrec.models.layers.training_context import draw_uniform


class Shares(NamedTuple):
    """How likely each source is for a draw; together 1."""

    uniform: float
    popularity: float
    in_batch: float


class ItemDraws(tf.Module):
    """Draws items from a mixture of sources, with replacement.

    Args:
        train_count: int64 [num_items + 1], training events of each item index; [0] is padding's.
        exponent: an item's popularity is its training events raised to this.
    """

    def __init__(self, shares: Shares, train_count: np.ndarray, exponent: float) -> None:
        super().__init__("item_draws")
        self._shares = shares
        self._num_items = len(train_count) - 1
        if shares.popularity:
            weights = np.asarray(train_count, np.float64) ** exponent
            weights[0] = 0.0
            # float64: exact for counts up to 2 ** 53.
            ends = tf.constant(np.cumsum(weights) / weights.sum())
            self._ends = tf.Variable(ends, trainable=False, name="cumulative_share")

    def draw(self, shape: list, targets: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """int32 of `shape`: item indices.

        Args:
            targets: int32 [T], the targets of the stream; at least one.
            key: int64 [2], as for `draw_uniform`.
        """
        source, place = tf.unstack(draw_uniform([2, *shape], key))
        items = 1 + _below(place, self._num_items)
        if self._shares.popularity:
            flat = tf.searchsorted(self._ends, tf.reshape(place, [-1]), side="right")
            popular = tf.minimum(tf.reshape(flat, tf.shape(place)), self._num_items)
            items = tf.where(source < self._shares.uniform, items, popular)
        if self._shares.in_batch:
            own = tf.gather(targets, _below(place, tf.size(targets)))
            items = tf.where(source < self._shares.uniform + self._shares.popularity, items, own)
        return items

    def log_probability(self, items: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """float32 like `items` [...]: the logarithm of the probability that one draw gives the item."""
        total = tf.fill(tf.shape(items), tf.constant(self._shares.uniform / self._num_items, tf.float64))
        if self._shares.popularity:
            total += self._shares.popularity * (tf.gather(self._ends, items) - tf.gather(self._ends, items - 1))
        if self._shares.in_batch:
            ordered, flat = tf.sort(targets), tf.reshape(items, [-1])
            count = tf.searchsorted(ordered, flat, side="right") - tf.searchsorted(ordered, flat, side="left")
            share = tf.cast(tf.reshape(count, tf.shape(items)), tf.float64) / tf.cast(tf.size(targets), tf.float64)
            total += self._shares.in_batch * share
        return tf.cast(tf.math.log(total), tf.float32)


def _below(uniform: tf.Tensor, limit: int | tf.Tensor) -> tf.Tensor:
    """int32 in 0 .. limit - 1 from float64 in [0, 1)."""
    return tf.minimum(tf.cast(uniform * tf.cast(limit, tf.float64), tf.int32), limit - 1)
