"""GRU4Rec: the state of a gated recurrent unit after every event; its product with an item's vector is the logit.

Hidasi, Karatzoglou, Baltrunas, Tikk: Session-based Recommendations with Recurrent Neural Networks, ICLR 2016,
arXiv:1511.06939. It shares the encoder with the ranking model `gru`. It does not use times. The legend of the shapes is
in `contract.py`.
"""

import math
from dataclasses import dataclass
from typing import Literal

import tensorflow as tf

from seqrec.core.batch import EventRuns
from seqrec.events.vocabulary import Vocabulary
from seqrec.models.config import ModelConfig
from seqrec.models.contract import RetrievalModel
from seqrec.models.layers.dense import Dense
from seqrec.models.layers.dropout import dropout
from seqrec.models.layers.embedding import EmbeddingTable, EventEmbedding
from seqrec.models.layers.initializers import Initializer
from seqrec.models.layers.item_output import ItemOutput, OutputOptions
from seqrec.models.layers.packing import PackedEvents, pack_events, take_packed
from seqrec.models.layers.recurrent.gru_recurrence import gru_recurrence
from seqrec.models.layers.recurrent.time_order import TimeOrder, in_packed_order, order_by_time, packed_place
from seqrec.models.layers.training_context import TrainingContext


@dataclass(frozen=True, kw_only=True)
class Gru4recOptions(OutputOptions):
    """Settings under `model.options.gru4rec`."""

    hidden_size: int = 128  # Width of the recurrent state.
    num_layers: int = 1  # Recurrent layers, each of which reads the states of the one before.
    embedding_dropout: float = 0.3  # Share of the values of embedded events that is dropped.
    hidden_dropout: float = 0.3  # Share of the values of each layer's states that is dropped.
    # xavier: the table of items starts at a width that follows from its size; normal: at model.initial_std.
    initialization: Literal["xavier", "normal"] = "xavier"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("hidden_size", "num_layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least 1.")
        for name in ("embedding_dropout", "hidden_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}: give a rate from 0 up to, not including, 1.")


class Gru4rec(RetrievalModel):
    """A linear layer brings the last layer's states to the width of an item's vector."""

    options_class = Gru4recOptions

    def __init__(self, config: ModelConfig, options: Gru4recOptions, vocabulary: Vocabulary, seed: int | None) -> None:
        super().__init__("gru4rec")
        self.config = config
        self._options = options
        width, size = config.event_dim, options.hidden_size
        initializer = Initializer(seed, config.initial_std)
        items = initializer
        if options.initialization == "xavier":
            items = Initializer.xavier(seed, vocabulary.num_trained_items, width)
        self.embedding = EventEmbedding(config, vocabulary, items)
        self.item_output = ItemOutput(options, self.embedding, config, vocabulary, items)
        self.layers = [
            GruLayer(f"layer_{number}", width if number == 0 else size, size, initializer)
            for number in range(options.num_layers)
        ]
        limit = math.sqrt(6.0 / (size + width))
        self.projection = Dense("projection", size, width, initializer, limit, mixed_precision=config.mixed_precision)

    @property
    def tables(self) -> tuple[EmbeddingTable, ...]:
        return (*self.embedding.tables, *self.item_output.tables)

    def encode_positions(self, runs: EventRuns, training: TrainingContext | None = None) -> tf.Tensor:
        events = pack_events(runs.length, None)
        order = order_by_time(tf.reshape(runs.length, [-1]), tf.shape(runs.items)[2])
        x = self.embedding(take_packed(runs.items, events))  # [P, D]
        x = self._drop(x, self._options.embedding_dropout, "embedding", events, training)
        for number, layer in enumerate(self.layers):
            x = layer(x, events, order)  # [P, H]
            x = self._drop(x, self._options.hidden_dropout, f"layer_{number}", events, training)
        return self.item_output.states(self.projection(x))

    def item_vectors(self, items: tf.Tensor | None = None) -> tf.Tensor:
        return self.item_output.item_vectors(items)

    def _drop(
        self, x: tf.Tensor, rate: float, place: str, events: PackedEvents, training: TrainingContext | None
    ) -> tf.Tensor:
        return dropout(x, rate, f"{place}/dropout", events.num_per_stream * x.shape[1], training)


class GruLayer(tf.Module):
    """One recurrent layer over packed events; every run begins with a state of zeros."""

    def __init__(self, name: str, num_inputs: int, hidden_size: int, initializer: Initializer) -> None:
        super().__init__(None)
        self.input_kernel = initializer.glorot(f"{name}/input_kernel", (num_inputs, 3 * hidden_size))
        self.gate_kernel = initializer.glorot(f"{name}/gate_kernel", (hidden_size, 2 * hidden_size))
        self.state_kernel = initializer.glorot(f"{name}/state_kernel", (hidden_size, hidden_size))
        self.bias = initializer.constant(f"{name}/bias", (3 * hidden_size,), 0.0)

    def __call__(self, x: tf.Tensor, events: PackedEvents, order: TimeOrder) -> tf.Tensor:
        """Returns states float32 [P, H] after packed events x [P, I]."""
        inputs = tf.gather(tf.matmul(x, self.input_kernel) + self.bias, packed_place(order, events))
        gate_kernel, state_kernel = tf.convert_to_tensor(self.gate_kernel), tf.convert_to_tensor(self.state_kernel)
        return in_packed_order(gru_recurrence(inputs, gate_kernel, state_kernel, order.starts), order, events)
