"""SASRec: causal self-attention gives a state after every event, and its product with an item's vector is the logit.

Kang, McAuley: Self-Attentive Sequential Recommendation, ICDM 2018, arXiv:1808.09781, with a choice of block, and with
additions that others published. The legend of the shapes is in `contract.py`.
"""

import math
from dataclasses import dataclass
from typing import Literal

import tensorflow as tf

from seqrec.core.batch import EventRuns
from seqrec.core.errors import ConfigError
from seqrec.events.vocabulary import Vocabulary
from seqrec.models.config import ModelConfig
from seqrec.models.contract import RetrievalModel
from seqrec.models.layers.attention.causal_attention import AttentionSettings, pack_runs
from seqrec.models.layers.attention.causal_filters import EarlierEvents
from seqrec.models.layers.attention.transformer import Transformer, TransformerSettings
from seqrec.models.layers.dense import LayerNorm
from seqrec.models.layers.dropout import dropout
from seqrec.models.layers.embedding import EmbeddingTable, EventEmbedding
from seqrec.models.layers.fixed_shapes import fixed_shapes
from seqrec.models.layers.initializers import Initializer
from seqrec.models.layers.item_output import ItemOutput, OutputOptions
from seqrec.models.layers.packing import take_packed
from seqrec.models.layers.training_context import TrainingContext


@dataclass(frozen=True, kw_only=True)
class SasrecOptions(OutputOptions):
    """Settings under `model.options.sasrec`."""

    num_blocks: int = 2  # Blocks of attention and feed-forward layer.
    num_heads: int = 1  # Heads of the attention; they divide item_dim + category_dim.
    # sasrec: that of the original code; pre_norm and post_norm: those of other transformers.
    block: Literal["sasrec", "pre_norm", "post_norm"] = "sasrec"
    feed_forward_size: int = 0  # Width of the feed-forward layer; 0 is item_dim + category_dim.
    activation: Literal["relu", "gelu"] = "relu"  # Function between the two products of the feed-forward layer.
    embedding_dropout: float = 0.6  # Share of the values of embedded events that is dropped.
    event_dropout: float = 0.0  # Share of the embedded events that are dropped whole, their places kept.
    attention_dropout: float = 0.6  # Share of the attention's weights that is dropped.
    hidden_dropout: float = 0.6  # Share of the values that is dropped in the feed-forward layer.
    scale_input: bool = True  # Multiply embedded events by the square root of their width.
    # xavier: by the sizes of each weight, the table of items included; normal: all by model.initial_std.
    initialization: Literal["xavier", "normal"] = "xavier"
    # from_end: learn a vector per place, counted from the end of a run; none: no such vectors, so that every event has
    # the state that a history which ends there has, in training too.
    positions: Literal["from_end", "none"] = "from_end"
    absent_events: bool = True  # Fill short histories with events that take weight and give nothing.
    distance_bias: bool = True  # Learn how much attention depends on the number of events in between.
    time_bias: bool = False  # Learn how much attention depends on the time in between, as HSTU does.
    num_earlier_events: int = 2  # Add so many events before each event to it, each value times a learned factor.
    frequency_share: float = 0.0  # Share of a frequency filter beside the attention, as in BSARec (0.7 there).
    num_frequencies: int = 3  # Lowest frequencies that the filter counts as slow.
    norm_epsilon: float = 1.0e-8  # Added to the variance of layer norms.

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("num_blocks", 1), ("num_heads", 1), ("feed_forward_size", 0), ("num_earlier_events", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least {least}.")
        for name in ("embedding_dropout", "event_dropout", "attention_dropout", "hidden_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}: give a rate from 0 up to, not including, 1.")
        if not 0.0 <= self.frequency_share <= 1.0:
            raise ValueError(f"frequency_share is {self.frequency_share}: give a share from 0 to 1.")
        if self.num_frequencies < 1:
            raise ValueError(f"num_frequencies is {self.num_frequencies}: give at least 1.")
        if self.norm_epsilon <= 0.0:
            raise ValueError(f"norm_epsilon is {self.norm_epsilon}: give more than 0.")


class Sasrec(RetrievalModel):
    """Positions, if any, are learned and counted from the end of a run, so that the last event always has the same."""

    options_class = SasrecOptions

    def __init__(self, config: ModelConfig, options: SasrecOptions, vocabulary: Vocabulary, seed: int | None) -> None:
        super().__init__("sasrec")
        self.config = config
        self._options = options
        width, length = config.event_dim, config.max_history_length
        initializer = Initializer(seed, config.initial_std)
        items = positions = initializer
        if options.initialization == "xavier":
            items = Initializer.xavier(seed, vocabulary.num_trained_items, width)
            positions = Initializer.xavier(seed, length, width)
        self.embedding = EventEmbedding(config, vocabulary, items)
        self.item_output = ItemOutput(options, self.embedding, config, vocabulary, items)
        self.positions = None
        if options.positions == "from_end":
            self.positions = positions.normal("positions", (length, width))
        self.input_norm = None
        if options.block == "post_norm":
            self.input_norm = LayerNorm("input_norm", width, options.norm_epsilon, initializer)
        self.earlier_events = None
        if options.num_earlier_events:
            self.earlier_events = EarlierEvents("earlier_events", width, options.num_earlier_events, initializer)
        self.transformer = Transformer(transformer_settings(config, options), initializer)

    @staticmethod
    def check_settings(config: ModelConfig, options: SasrecOptions) -> None:
        if config.event_dim % options.num_heads:
            raise ConfigError(
                f"model.options.sasrec.num_heads is {options.num_heads}, but item_dim + category_dim is "
                f"{config.event_dim}, which the heads share evenly: give a number that divides it."
            )

    @property
    def tables(self) -> tuple[EmbeddingTable, ...]:
        return (*self.embedding.tables, *self.item_output.tables)

    def encode_positions(self, runs: EventRuns, training: TrainingContext | None = None) -> tf.Tensor:
        packed = pack_runs(runs, self.config.max_history_length)
        events = packed.events
        x = self.embedding(take_packed(runs.items, events))  # [P, D]
        if self._options.scale_input:
            x *= math.sqrt(self.config.event_dim)
        if self.positions is not None:
            own_length = tf.gather(tf.reshape(runs.length, [-1]), events.row)
            place = self.config.max_history_length - own_length + events.position
            if fixed_shapes() is not None:  # An empty slot may belong to an empty run.
                place = tf.minimum(place, self.config.max_history_length - 1)
            x += tf.gather(self.positions, place)
        if self.input_norm is not None:
            x = self.input_norm(x)
        x = self._drop(x, events.num_per_stream, training)
        if self.earlier_events is not None:
            x = self.earlier_events(x, events)
        return self.item_output.states(self.transformer(x, packed, training))

    def _drop(self, x: tf.Tensor, num_events: tf.Tensor, training: TrainingContext | None) -> tf.Tensor:
        """Drops values and whole events of x [P, D], float32; `num_events` is int32 [S]."""
        options = self._options
        x = dropout(x, options.embedding_dropout, "embedding_dropout", num_events * x.shape[1], training)
        if options.event_dropout:
            x *= dropout(tf.ones_like(x[:, :1]), options.event_dropout, "event_dropout", num_events, training)
        return x

    def item_vectors(self, items: tf.Tensor | None = None) -> tf.Tensor:
        return self.item_output.item_vectors(items)


def transformer_settings(config: ModelConfig, options: SasrecOptions) -> TransformerSettings:
    """Returns the settings of the layers that follow from those of the model."""
    attention = AttentionSettings(
        width=config.event_dim,
        num_heads=options.num_heads,
        max_length=config.max_history_length,
        absent_events=options.absent_events,
        absent_from_end=options.positions == "from_end",
        distance_bias=options.distance_bias,
        time_bias=options.time_bias,
        dropout=options.attention_dropout,
        is_uniform=options.initialization == "xavier",
        mixed_precision=config.mixed_precision,
    )
    return TransformerSettings(
        attention=attention,
        kind=options.block,
        num_blocks=options.num_blocks,
        feed_forward_size=options.feed_forward_size or config.event_dim,
        activation=options.activation,
        dropout=options.hidden_dropout,
        frequency_share=options.frequency_share,
        num_frequencies=options.num_frequencies,
        norm_epsilon=options.norm_epsilon,
    )
