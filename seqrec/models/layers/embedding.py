"""Turns item indices into vectors: the item's own row beside the row of its category, with its features."""

from typing import NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf

from seqrec.core import columns as C
from seqrec.core.batch import PADDING_INDEX
from seqrec.events.vocabulary import CATEGORIES, ITEMS, Vocabulary
from seqrec.models.config import ModelConfig
from seqrec.models.layers.fixed_shapes import fixed_shapes
from seqrec.models.layers.initializers import Initializer
from seqrec.models.layers.item_features import FeatureEmbedding
from seqrec.models.layers.training_context import TrainingContext, draw_words

Gradient: TypeAlias = tf.Tensor | tf.IndexedSlices


class EmbeddingTable(NamedTuple):
    """A trained variable whose rows have names: everything that handles such variables reads it from here.

    Row 0 is padding. Rows 1, 2, ... belong to the indices of a vocabulary table, up to the number that a manifest's
    details give under `num_named_rows_key`; rows after these have no name.
    """

    variable: tf.Variable  # float32 [number of rows, width]
    vocabulary: str  # Vocabulary table that names the rows, such as "vocabulary/items".
    index_column: str  # Column of that table that holds the row's number.
    name_column: str  # Column that holds the row's name, by which rows of two runs are matched.
    num_named_rows_key: str  # Key of the number of named rows in the details of prepared data and of runs.
    frozen_rows: tuple[int, ...] = ()  # Rows that training never changes.

    @property
    def name(self) -> str:
        """The variable's name, as in files of weights."""
        return str(self.variable.name).removesuffix(":0")

    def without_frozen_rows(self, gradient: Gradient) -> Gradient:
        """Returns the gradient of `variable` with zeros in the frozen rows, of the same type as `gradient`."""
        for row in self.frozen_rows:
            if isinstance(gradient, tf.IndexedSlices):
                values = tf.where((gradient.indices == row)[:, None], 0.0, gradient.values)
                gradient = type(gradient)(values, gradient.indices, gradient.dense_shape)
            else:
                gradient = tf.tensor_scatter_nd_update(gradient, [[row]], tf.zeros([1, gradient.shape[1]]))
        return gradient


class EventEmbedding(tf.Module):
    """Embeds items, with their categories, as [item ; category]; with a `category_dim` of 0 as the item alone.

    Row 0 of the item table is padding, and rows 1 to `num_trained_items` belong to the items trained on. With
    `separate_unknown_item` a last row stands for all other items. It is zero and never trained, as nothing is known
    about them but the category. Without it (the reference) they share row 0 with padding. Either way they use their own
    category, and their own features, which are added to the whole vector or put behind it.

    `training` is the context of the step that is being traced, None otherwise: in a step, items' own rows are dropped.
    All streams and workers drop the same items, as an item that is new has no row anywhere.
    """

    training: TrainingContext | None = None

    def __init__(
        self, config: ModelConfig, vocabulary: Vocabulary, initializer: Initializer, name: str = "embedding"
    ) -> None:
        super().__init__(name)
        self._num_trained = vocabulary.num_trained_items
        self.num_items = vocabulary.num_items
        self._kept_categories: tf.Variable | None = None
        self.num_comparable = config.num_comparable(vocabulary)  # Items 1 up to this one have a vector worth comparing.
        separate = config.corrects("separate_unknown_item")
        self._unknown_row = self._num_trained + 1 if separate else PADDING_INDEX
        self.items = initializer.table(f"{name}/items", self._num_trained + 1 + separate, config.item_dim)
        if separate:
            self.items.scatter_update(tf.IndexedSlices(tf.zeros([1, config.item_dim]), [self._unknown_row]))
        self.categories = None
        if config.category_dim > 0:
            num_rows = vocabulary.num_categories + 1
            self.categories = initializer.table(f"{name}/categories", num_rows, config.category_dim)
            self._category_of_item = tf.Variable(vocabulary.item_category, trainable=False, name="item_category")
        self.features = None
        self._adds_features = config.features == "sum"
        self._id_dropout = config.id_dropout
        if config.features != "none" and vocabulary.features is not None:
            width = config.event_dim if self._adds_features else config.feature_dim
            self.features = FeatureEmbedding(
                vocabulary.features, self._num_trained, width, initializer, f"{name}/features"
            )

    @property
    def tables(self) -> tuple[EmbeddingTable, ...]:
        """Every table, in an order that never changes."""
        items = self.declare_items(self.items)
        others = []
        if self.categories is not None:
            others = [EmbeddingTable(self.categories, CATEGORIES, C.CATEGORY_INDEX, C.CATEGORY, "num_categories")]
        if self.features is not None:
            others.append(EmbeddingTable(*self.features.declaration))
        return (items, *others)

    def declare_items(self, variable: tf.Variable) -> EmbeddingTable:
        """Declares a variable whose rows are those of the item table."""
        frozen = () if self._unknown_row == PADDING_INDEX else (self._unknown_row,)
        return EmbeddingTable(variable, ITEMS, C.ITEM_INDEX, C.ITEM, "num_trained_items", frozen)

    def item_rows(self, items: tf.Tensor) -> tf.Tensor:
        """Returns the row of the item table for each item index."""
        return tf.where(items <= self._num_trained, items, self._unknown_row)

    def category_rows(self, items: tf.Tensor) -> tf.Tensor:
        """Returns the row of the category table for each item index."""
        return tf.gather(self._category_of_item, items)

    def __call__(self, items: tf.Tensor) -> tf.Tensor:
        """Returns vectors float32 [..., D] for item indices int32 [...]."""
        item = self._without_dropped(tf.gather(self.items, self.item_rows(items)), items)
        vector = item
        if self.categories is not None:
            vector = tf.concat([item, tf.gather(self.categories, self.category_rows(items))], axis=-1)
        return vector if self.features is None else self._with_features(vector, self.features(items))

    def trained_items(self) -> tf.Tensor:
        """Returns the vectors float32 [num_trained_items, D] of the items trained on.

        The gradient of the item table is then dense; that of a call is a list of rows, even for all items.
        """
        # Not as a Python slice, the gradient of which takes 9 times as long.
        vectors = tf.slice(self.items, [1, 0], [self._num_trained, -1])
        vectors = self._without_dropped(vectors, tf.range(1, self._num_trained + 1))
        if self.categories is not None:
            rows = self._category_of_item[1 : self._num_trained + 1]
            vectors = tf.concat([vectors, tf.gather(self.categories, rows)], axis=-1)
        return vectors if self.features is None else self._with_features(vectors, self.features.trained_items())

    def has_vector(self, items: tf.Tensor) -> tf.Tensor:
        """Returns bool [...]: True for an item index whose vector is worth comparing: trained, or known by features."""
        return (items > PADDING_INDEX) & (items <= self.num_comparable)

    def deal_anew(self, feature: str | None, order: np.ndarray) -> None:
        """Gives each item the feature, or the category for None, of item order[item]; until `deal_back`."""
        if feature is not None and self.features is not None:
            self.features.deal_anew(feature, order)
        elif feature is None and self.categories is not None:
            self._kept_categories = self._category_of_item
            self._category_of_item = tf.Variable(self._kept_categories.numpy()[order], trainable=False)

    def deal_back(self) -> None:
        """Undoes `deal_anew`."""
        if self.features is not None:
            self.features.deal_back()
        if self._kept_categories is not None:
            self._category_of_item, self._kept_categories = self._kept_categories, None

    def _with_features(self, vector: tf.Tensor, features: tf.Tensor) -> tf.Tensor:
        return vector + features if self._adds_features else tf.concat([vector, features], axis=-1)

    def _without_dropped(self, rows: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Returns item rows [..., D], with zeros for the items that this step drops."""
        if self.training is None or self.features is None or self._id_dropout == 0.0:
            return rows
        kept = keep_items(items, self._id_dropout, self.training.shared_key("id_dropout"))
        return tf.where(kept[..., None], rows, 0.0)

    def half_square_norm(self, used: tf.Tensor) -> tf.Tensor:
        """Returns half the squared norm of the rows that a stream uses, each counted once, as a mean over streams.

        The result is float32 [].

        Args:
            used: int32 [S, n], item indices.
        """
        num_streams = tf.shape(used)[0]
        total = tf.zeros([])
        tables = [(self.items, self.item_rows(used))]
        if self.categories is not None:
            tables.append((self.categories, self.category_rows(used)))
        for table, rows in tables:
            height = table.shape[0]
            keys = tf.range(num_streams, dtype=tf.int64)[:, None] * height + tf.cast(rows, tf.int64)
            if fixed_shapes() is None:
                unique = tf.unique(tf.reshape(keys, [-1])).y
                total += tf.nn.l2_loss(tf.gather(table, unique % height))
            else:  # The number of unique keys is data.
                ordered = tf.sort(tf.reshape(keys, [-1]))
                is_first = tf.concat([[True], ordered[1:] != ordered[:-1]], axis=0)
                total += tf.nn.l2_loss(tf.where(is_first[:, None], tf.gather(table, ordered % height), 0.0))
        return total / tf.cast(num_streams, tf.float32)


def keep_items(items: tf.Tensor, rate: float, key: tf.Tensor) -> tf.Tensor:
    """Returns bool like `items`, False for a share `rate` of the item indices, drawn anew for each key, int64 [2].

    An item is hashed with the key, so only the items asked for are drawn, and an item gets the same wherever it occurs.
    """
    salt = draw_words([], key)
    mixed = tf.bitcast(tf.bitwise.bitwise_xor(items * -1_640_531_527, salt), tf.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):  # The last steps of MurmurHash3, public domain.
        mixed = tf.bitwise.bitwise_xor(mixed, tf.bitwise.right_shift(mixed, tf.constant(shift, tf.uint32)))
        mixed *= tf.constant(factor, tf.uint32)
    mixed = tf.bitwise.bitwise_xor(mixed, tf.bitwise.right_shift(mixed, tf.constant(16, tf.uint32)))
    return mixed >= tf.constant(round(rate * 2**32), tf.uint32)
