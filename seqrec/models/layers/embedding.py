"""From item indices to vectors: an item's own row beside that of its category."""

import tensorflow as tf

from seqrec.core.batch import PADDING_INDEX, History
from seqrec.events.vocabulary import Vocabulary
from seqrec.models.config import ModelConfig
from seqrec.models.layers.initializers import Initializer


class EventEmbedding(tf.Module):
    """Embeds items, with their categories, as [item ; category].

    Rows of the item table: 0 for padding, 1 to `num_trained_items`, and, if `separate_unknown_item`, a last one
    for every item not trained on. It is never trained, so it starts at zero: nothing is known but the category.
    Otherwise (the reference) such items share row 0 with padding. Either way they use their own category.
    """

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary, initializer: Initializer) -> None:
        super().__init__("embedding")
        self._num_trained = vocabulary.num_trained_items
        separate = config.corrects("separate_unknown_item")
        self._unknown_row = self._num_trained + 1 if separate else PADDING_INDEX
        self.items = initializer.table("embedding/items", self._num_trained + 1 + separate, config.item_dim)
        if separate:
            self.items.scatter_update(tf.IndexedSlices(tf.zeros([1, config.item_dim]), [self._unknown_row]))
        self.categories = initializer.table("embedding/categories", vocabulary.num_categories + 1, config.category_dim)
        self._category_of_item = tf.Variable(vocabulary.item_category, trainable=False, name="item_category")

    @property
    def tables(self) -> tuple[tf.Variable, ...]:
        return (self.items, self.categories)

    def without_unknown_row(self, gradient: tf.IndexedSlices) -> tf.IndexedSlices:
        """A gradient of `items` that leaves the row of items not trained on alone, unless that is padding's too."""
        if self._unknown_row == PADDING_INDEX:
            return gradient
        values = tf.where((gradient.indices == self._unknown_row)[:, None], 0.0, gradient.values)
        return type(gradient)(values, gradient.indices, gradient.dense_shape)

    def item_rows(self, items: tf.Tensor) -> tf.Tensor:
        """The row of the item table of each item index."""
        return tf.where(items <= self._num_trained, items, self._unknown_row)

    def category_rows(self, items: tf.Tensor) -> tf.Tensor:
        """The row of the category table of each item index."""
        return tf.gather(self._category_of_item, items)

    def __call__(self, items: tf.Tensor) -> tf.Tensor:
        """float32 [..., D] of int32 items [...]."""
        item = tf.gather(self.items, self.item_rows(items))
        category = tf.gather(self.categories, self.category_rows(items))
        return tf.concat([item, category], axis=-1)

    def half_square_norm(self, history: History, candidates: tf.Tensor, max_history_length: int) -> tf.Tensor:
        """Half the squared norm of the rows that a stream uses, each counted once; the mean over streams, [].

        The reference pads every history to `max_history_length`, so row 0 is in use as soon as one is shorter.
        """
        num_streams = tf.shape(history.items)[0]
        shorter = tf.reduce_any(history.length < max_history_length, axis=1, keepdims=True)
        padding = tf.where(shorter, PADDING_INDEX, candidates[:, 0, :1])
        used = tf.concat([tf.reshape(part, [num_streams, -1]) for part in (history.items, candidates, padding)], axis=1)
        total = tf.zeros([])
        for table, rows in ((self.items, self.item_rows(used)), (self.categories, self.category_rows(used))):
            height = table.shape[0]
            keys = tf.range(num_streams, dtype=tf.int64)[:, None] * height + tf.cast(rows, tf.int64)
            unique = tf.unique(tf.reshape(keys, [-1])).y
            total += tf.nn.l2_loss(tf.gather(table, unique % height))
        return total / tf.cast(num_streams, tf.float32)
