"""Turns item indices into the vectors of their features: a weighted sum of rows of one table.

Legend: P rows of an item at most, W width of the vectors, I trained items.
"""

import numpy as np
import tensorflow as tf

from seqrec.core import columns as C
from seqrec.events.features import FEATURE_NAMES, NUM_FEATURE_ROWS, ItemFeatures
from seqrec.models.layers.fixed_shapes import fixed_shapes
from seqrec.models.layers.initializers import Initializer


class FeatureEmbedding(tf.Module):
    """The sum over an item's rows of weight times vector; `seqrec/events/features.py` says how values become rows."""

    def __init__(
        self, features: ItemFeatures, num_trained: int, width: int, initializer: Initializer, name: str
    ) -> None:
        super().__init__(None)
        self._num_trained = num_trained
        self.blocks = features.blocks
        self.table = initializer.table(name, features.num_rows, width)
        # Plain variables, so that importance can be measured with the values of other items in their place.
        self.rows = tf.Variable(features.rows(), trainable=False, name="feature_rows")
        self.weights = tf.Variable(features.weights(), trainable=False, name="feature_weights")
        self._kept: tuple[tf.Variable, tf.Variable] | None = None

    @property
    def declaration(self) -> tuple[tf.Variable, str, str, str, str]:
        """The table, and what its rows mean: the fields of an `EmbeddingTable`."""
        return self.table, FEATURE_NAMES, C.FEATURE_ROW, C.FEATURE_VALUE, NUM_FEATURE_ROWS

    def deal_anew(self, name: str, order: np.ndarray) -> None:
        """Gives each item the feature `name` of item order[item]; until `deal_back`. Traced graphs do not see it."""
        block = next(block for block in self.blocks if block.name == name)
        rows, weights = self.rows.numpy(), self.weights.numpy()
        is_own = (rows >= block.start) & (rows < block.end)
        self._kept = (self.rows, self.weights)
        new_rows = np.concatenate([np.where(is_own, 0, rows), np.where(is_own, rows, 0)[order]], axis=1)
        new_weights = np.concatenate([np.where(is_own, 0, weights), np.where(is_own, weights, 0)[order]], axis=1)
        self.rows = tf.Variable(new_rows, trainable=False)
        self.weights = tf.Variable(new_weights, trainable=False)

    def deal_back(self) -> None:
        """Undoes `deal_anew`."""
        if self._kept is not None:
            (self.rows, self.weights), self._kept = self._kept, None

    def __call__(self, items: tf.Tensor) -> tf.Tensor:
        """Returns float32 [..., W] for item indices int32 [...]; zeros for padding."""
        flat = tf.reshape(items, [-1])
        rows, weights = tf.gather(self.rows, flat), tf.cast(tf.gather(self.weights, flat), tf.float32)  # [n, P]
        # Place by place: all at once would hold [n, P, W].
        total = tf.zeros([tf.size(flat), self.table.shape[1]])
        for place in range(self.rows.shape[1]):
            total += tf.gather(self.table, rows[:, place]) * weights[:, place, None]
        return tf.reshape(total, tf.concat([tf.shape(items), [self.table.shape[1]]], axis=0))

    def trained_items(self) -> tf.Tensor:
        """Returns float32 [I, W] for the items trained on; its gradient is dense but with fixed shapes."""
        if fixed_shapes() is not None:  # The number of rows that have a weight is data.
            return self(tf.range(1, self._num_trained + 1))
        rows = tf.slice(self.rows, [1, 0], [self._num_trained, -1])
        weights = tf.cast(tf.slice(self.weights, [1, 0], [self._num_trained, -1]), tf.float32)
        place = tf.where(weights != 0.0)
        matrix = tf.SparseTensor(
            tf.stack([place[:, 0], tf.cast(tf.gather_nd(rows, place), tf.int64)], axis=1),
            tf.gather_nd(weights, place),
            [self._num_trained, self.table.shape[0]],
        )
        return tf.sparse.sparse_dense_matmul(matrix, self.table)
