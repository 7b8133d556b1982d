"""The last layer of a retrieval model: vectors of items, and states to multiply them by."""

from dataclasses import dataclass
from typing import Literal

import tensorflow as tf

from seqrec.events.vocabulary import Vocabulary
from seqrec.models.config import ModelConfig
from seqrec.models.layers.embedding import EmbeddingTable, EventEmbedding
from seqrec.models.layers.initializers import Initializer


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Settings that all retrieval models have under `model.options.<name>`."""

    tied_output: bool = True  # Items have one vector as an event and as an answer, else one for each.
    output_bias: bool = False  # Learn a term per item that is added to its logit after any history.
    similarity: Literal["dot", "cosine"] = "dot"  # Multiply vectors as they are, or scaled to a length of 1.
    temperature: float = 0.1  # With the similarity cosine, logits are divided by this.

    def __post_init__(self) -> None:
        if self.temperature <= 0.0:
            raise ValueError(f"temperature is {self.temperature}: give more than 0.")


class ItemOutput(tf.Module):
    """Gives states and item vectors whose product is the logit, whatever the similarity and with or without a bias.

    A bias is one more column: 1 in states, the item's bias in its vector. So a product is all that an index needs.
    """

    def __init__(
        self,
        options: OutputOptions,
        embedding: EventEmbedding,
        config: ModelConfig,
        vocabulary: Vocabulary,
        initializer: Initializer,
    ) -> None:
        super().__init__(None)
        self._options = options
        self._is_apart = not options.tied_output
        self.vectors = EventEmbedding(config, vocabulary, initializer, "output") if self._is_apart else embedding
        num_rows = self.vectors.items.shape[0]
        self.bias = initializer.constant("output/bias", (num_rows, 1), 0.0) if options.output_bias else None

    @property
    def tables(self) -> tuple[EmbeddingTable, ...]:
        """The tables that belong to this layer alone."""
        own = self.vectors.tables if self._is_apart else ()
        return own if self.bias is None else (*own, self.vectors.declare_items(self.bias))

    def states(self, x: tf.Tensor) -> tf.Tensor:
        """Returns float32 [P, V] for states x [P, D] of a network."""
        if self._options.similarity == "cosine":
            x = tf.math.l2_normalize(x, axis=-1) / self._options.temperature
        return x if self.bias is None else tf.concat([x, tf.ones_like(x[:, :1])], axis=1)

    def item_vectors(self, items: tf.Tensor | None) -> tf.Tensor:
        """Returns float32 [..., V] for item indices int32 [...]; [num_trained_items, V] for None."""
        vectors = self.vectors.trained_items() if items is None else self.vectors(items)
        if self._options.similarity == "cosine":
            vectors = tf.math.l2_normalize(vectors, axis=-1)
        if self.bias is None:
            return vectors
        if items is None:
            bias = self.bias[1 : vectors.shape[0] + 1]
        else:
            bias = tf.gather(self.bias, self.vectors.item_rows(items))
        return tf.concat([vectors, bias], axis=-1)
