"""Blocks of causal self-attention and a feed-forward layer. The legend of the shapes is in `contract.py`."""

import math
from dataclasses import dataclass
from typing import Literal

import tensorflow as tf

from seqrec.models.layers.attention.causal_attention import AttentionSettings, CausalAttention, PackedRuns
from seqrec.models.layers.attention.causal_filters import FrequencyFilter
from seqrec.models.layers.dense import Dense, LayerNorm
from seqrec.models.layers.dropout import dropout
from seqrec.models.layers.initializers import Initializer
from seqrec.models.layers.training_context import TrainingContext

BlockKind = Literal["sasrec", "pre_norm", "post_norm"]


@dataclass(frozen=True, kw_only=True)
class TransformerSettings:
    """Settings of `Transformer`."""

    attention: AttentionSettings
    kind: BlockKind
    num_blocks: int
    feed_forward_size: int  # Width of the hidden layer.
    activation: Literal["relu", "gelu"]
    dropout: float  # Share of the values dropped in the hidden layer and at the end of each half of a block.
    frequency_share: float  # Share of the frequency filter in the first half of a block; attention has the rest.
    num_frequencies: int  # Frequencies that the filter counts as slow.
    norm_epsilon: float


class Transformer(tf.Module):
    """Returns a state after each event, float32 [P, D], from embedded events [P, D] that are packed."""

    def __init__(self, settings: TransformerSettings, initializer: Initializer) -> None:
        super().__init__(None)
        self.blocks = [TransformerBlock(f"block_{n}", settings, initializer) for n in range(settings.num_blocks)]
        width = settings.attention.width
        is_normed = settings.kind == "post_norm"  # Such a block ends in a norm.
        self.last_norm = None if is_normed else LayerNorm("last_norm", width, settings.norm_epsilon, initializer)

    def __call__(self, x: tf.Tensor, runs: PackedRuns, training: TrainingContext | None) -> tf.Tensor:
        for block in self.blocks:
            x = block(x, runs, training)
        return x if self.last_norm is None else self.last_norm(x)


class TransformerBlock(tf.Module):
    """One block, of three kinds. In all, mix(q, x) is attention with queries from q, or its mean with a filter of x.

    - sasrec (Kang and McAuley, ICDM 2018, arXiv:1808.09781, as in its code): x += mix(norm(x), x); only queries are
      normed. Then x = norm(x); x += feed_forward(x): the second half adds to its normed input.
    - pre_norm: x += mix(norm(x), norm(x)); x += feed_forward(norm(x)).
    - post_norm (BERT): x = norm(x + mix(x, x)); x = norm(x + feed_forward(x)).
    """

    def __init__(self, name: str, settings: TransformerSettings, initializer: Initializer) -> None:
        super().__init__(None)
        self._name, self._settings = name, settings
        attention = settings.attention
        width, size = attention.width, settings.feed_forward_size
        self.attention = CausalAttention(f"{name}/attention", attention, initializer)
        self.filter = None
        if settings.frequency_share > 0.0:
            num_frequencies, length = settings.num_frequencies, attention.max_length
            self.filter = FrequencyFilter(f"{name}/filter", width, num_frequencies, length, initializer)
        self.norms = [
            LayerNorm(f"{name}/{half}_norm", width, settings.norm_epsilon, initializer)
            for half in ("attention", "feed_forward")
        ]

        def dense(part: str, num_inputs: int, num_outputs: int) -> Dense:
            limit = 1.0 / math.sqrt(num_inputs) if attention.is_uniform else None
            return Dense(
                f"{name}/{part}", num_inputs, num_outputs, initializer, limit, mixed_precision=attention.mixed_precision
            )

        self.hidden, self.output = dense("hidden", width, size), dense("output", size, width)

    def __call__(self, x: tf.Tensor, runs: PackedRuns, training: TrainingContext | None) -> tf.Tensor:
        """Returns float32 [P, D] for packed events x [P, D]."""
        first_norm, second_norm = self.norms
        if self._settings.kind == "sasrec":
            x = second_norm(x + self._mix(first_norm(x), x, runs, training))
            return x + self._feed_forward(x, runs, training)
        if self._settings.kind == "pre_norm":
            normed = first_norm(x)
            x += self._drop(self._mix(normed, normed, runs, training), "attention", runs, training)
            return x + self._feed_forward(second_norm(x), runs, training)
        x = first_norm(x + self._drop(self._mix(x, x, runs, training), "attention", runs, training))
        return second_norm(x + self._feed_forward(x, runs, training))

    def _mix(self, queries: tf.Tensor, x: tf.Tensor, runs: PackedRuns, training: TrainingContext | None) -> tf.Tensor:
        attended = self.attention(queries, x, runs, training)
        if self.filter is None:
            return attended
        share = self._settings.frequency_share
        return share * self.filter(x, runs) + (1.0 - share) * attended

    def _feed_forward(self, x: tf.Tensor, runs: PackedRuns, training: TrainingContext | None) -> tf.Tensor:
        hidden = self.hidden(x)
        if self._settings.kind == "sasrec":  # Its code drops before the activation, too.
            hidden = self._drop(hidden, "hidden", runs, training)
        hidden = tf.nn.relu(hidden) if self._settings.activation == "relu" else tf.nn.gelu(hidden)
        return self._drop(self.output(hidden), "output", runs, training)

    def _drop(self, x: tf.Tensor, place: str, runs: PackedRuns, training: TrainingContext | None) -> tf.Tensor:
        num_per_stream = runs.events.num_per_stream * x.shape[1]
        return dropout(x, self._settings.dropout, f"{self._name}/{place}_dropout", num_per_stream, training)
