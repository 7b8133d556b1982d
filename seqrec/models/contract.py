"""Defines what models offer and what training gives them. There are two families:

- a ranking model encodes a history once and scores each candidate against it with a network of its own;
- a retrieval model has one state after every event and one vector per item, and scores by their product alone.

Both score candidates after a history in the same way:

    state  = model.encode(history, training)            once per history
    logits = model.score(state, candidates, training)   float32 [S, B, N]; candidates int32 [S, B, N] or shared [N]

`training` is None for inference, else a `TrainingContext`. Whatever looks across examples looks across one stream:

- dropout and every other draw are keyed by (seed, step, the stream's global number, place of the draw in the
  model), so they are the same however streams are spread over workers;
- batch norm normalises with the moments of one stream and *records* them in the context instead of touching its
  moving averages. After the forward pass `training.moments()` is float32 [S, M], one row per local stream. The
  trainer takes the mean over its streams, averages that vector over the workers beside the gradients, and gives
  it to `model.apply_moments` once, after the optimizer step.

Legend for all files of this package: S streams, B examples of a stream, R = S * B histories, L padded history
length, N candidates, P packed events, D width of an embedded event, V width of a retrieval model's vectors.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from seqrec.core.batch import EventRuns, History
from seqrec.models.config import ModelConfig
from seqrec.models.layers.batch_norm import BatchNorm
from seqrec.models.layers.embedding import EmbeddingTable, EventEmbedding, Gradient
from seqrec.models.layers.training_context import TrainingContext


class SequenceModel(tf.Module):
    """The part that both families share: scores of candidates after a history, and variables by name.

    Subclasses set `config` and `embedding`.
    """

    config: ModelConfig
    embedding: EventEmbedding

    @staticmethod
    def check_settings(config: ModelConfig, options: Any) -> None:
        """Raises ConfigError if the model's own settings contradict the shared ones."""

    @abstractmethod
    def encode(self, history: History, training: TrainingContext | None = None) -> Any:
        """Returns everything that does not depend on a candidate, a nest of tensors for `score`."""

    @abstractmethod
    def score(self, state: Any, candidates: tf.Tensor, training: TrainingContext | None = None) -> tf.Tensor:
        """Returns logits float32 [S, B, N] of candidates int32 [S, B, N], or [N] if all histories share them."""

    @contextmanager
    def in_step(self, training: TrainingContext) -> Iterator[None]:
        """While a training step is traced: embeddings drop the ids of the items that the step leaves out."""
        embeddings = [part for part in self.submodules if isinstance(part, EventEmbedding)]
        for embedding in embeddings:
            embedding.training = training
        try:
            yield
        finally:
            for embedding in embeddings:
                embedding.training = None

    @property
    def batch_norms(self) -> tuple[BatchNorm, ...]:
        """Every batch norm, in the order in which the model records moments; none unless a model says so."""
        return ()

    @property
    def tables(self) -> tuple[EmbeddingTable, ...]:
        """Every variable whose rows have names, with what its rows mean."""
        return self.embedding.tables

    @property
    def sparse_variables(self) -> tuple[tf.Variable, ...]:
        """The variables of `tables`. Where a step reads some rows only, their gradients are tf.IndexedSlices."""
        return tuple(table.variable for table in self.tables)

    @property
    def dense_variables(self) -> tuple[tf.Variable, ...]:
        """Every other trained variable, in an order that never changes."""
        tables = {variable.ref() for variable in self.sparse_variables}
        return tuple(variable for variable in self.trainable_variables if variable.ref() not in tables)

    @property
    def trained_variables(self) -> tuple[tf.Variable, ...]:
        """Every trained variable: the tables, then the others. Optimizers and gradients follow this order."""
        return (*self.sparse_variables, *self.dense_variables)

    @property
    def moving_statistics(self) -> tuple[tf.Variable, ...]:
        """Moving means and variances of the batch norms: not trained, but part of the weights."""
        return tuple(statistic for norm in self.batch_norms for statistic in (norm.moving_mean, norm.moving_variance))

    def named_variables(self) -> dict[str, tf.Variable]:
        """Every variable worth saving by its name, in a fixed order: trained ones, then moving statistics."""
        variables = (*self.trained_variables, *self.moving_statistics)
        named = {variable.name.removesuffix(":0"): variable for variable in variables}
        assert len(named) == len(variables), "two variables share a name"
        return named

    def mask_gradients(self, gradients: Sequence[Gradient | None]) -> list[Gradient | None]:
        """Gradients in the order of `trained_variables`, with zeros for rows that training must never change."""
        masked = list(gradients)
        for place, table in enumerate(self.tables):
            if gradients[place] is not None:
                masked[place] = table.without_frozen_rows(gradients[place])
        return masked

    def apply_moments(self, moments: tf.Tensor) -> None:
        """Moves the moving averages towards `moments`, float32 [M]: the mean over all streams of all workers."""
        if not self.moving_statistics:
            return
        keep = self.config.batch_norm_momentum
        sizes = [statistic.shape[0] for statistic in self.moving_statistics]
        for statistic, moment in zip(self.moving_statistics, tf.split(moments, sizes), strict=True):
            statistic.assign(keep * statistic + (1.0 - keep) * moment)

    def layer_penalty(self) -> tf.Tensor:
        """layer_l2 / 2 * |all trained weights that are not in a table|^2, float32 []."""
        if self.config.layer_l2 == 0.0:
            return tf.zeros([])
        return self.config.layer_l2 * tf.add_n([tf.nn.l2_loss(weight) for weight in self.dense_variables])


class RankingModel(SequenceModel):
    """A model that scores each candidate with a network of its own. Subclasses define `encode` and `score`."""

    def regularization(self, history: History, candidates: tf.Tensor) -> tf.Tensor:
        """Part of the loss that keeps weights small, float32 []: the mean over the streams of

        embed_l2 / 2 * |the stream's unique embedding rows|^2 + layer_l2 / 2 * |all other trained weights|^2.

        The reference pads every history to `max_history_length`, so row 0 counts as soon as one is shorter.

        Args:
            candidates: int32 [S, B, N].
        """
        penalty = tf.zeros([])
        if self.config.embed_l2 > 0.0:
            shorter = tf.reduce_any(history.length < self.config.max_history_length, axis=1, keepdims=True)
            padding = tf.where(shorter, 0, candidates[:, 0, :1])
            num_streams = tf.shape(history.items)[0]
            used = [tf.reshape(part, [num_streams, -1]) for part in (history.items, candidates, padding)]
            penalty += self.config.embed_l2 * self.embedding.half_square_norm(tf.concat(used, axis=1))
        return penalty + self.layer_penalty()


class RetrievalModel(SequenceModel):
    """A model in which states and items meet in a product only, so that a whole catalogue is one matrix product.

        logit of an item after an event = state after the event . vector of the item

    Subclasses define `encode_positions` and `item_vectors`; scores of candidates follow from these. Items that were
    not trained on have no vector worth comparing: their score is the lowest float, and no list recommends them. With
    features and id dropout they have one.
    """

    @abstractmethod
    def encode_positions(self, runs: EventRuns, training: TrainingContext | None = None) -> tf.Tensor:
        """Returns states float32 [P, V]: one after each real event, from that event and earlier ones of its run only.

        Their order is that of `pack_events(runs.length, None)`: by stream, then run, then time.
        """

    @abstractmethod
    def item_vectors(self, items: tf.Tensor | None = None) -> tf.Tensor:
        """Returns float32 [..., V] for item indices int32 [...]; without `items` for all trained items 1, 2, ..."""

    @property
    def num_comparable(self) -> int:
        """Number of items with a vector worth comparing: 1, 2, ... up to it."""
        return self.embedding.num_comparable

    def catalogue_vectors(self) -> tf.Tensor:
        """Returns float32 [num_comparable, V]: the vectors of all items that can be compared."""
        trained = self.item_vectors()
        new = tf.range(trained.shape[0] + 1, self.num_comparable + 1)
        return trained if not new.shape[0] else tf.concat([trained, self.item_vectors(new)], axis=0)

    def regularization(self, runs: EventRuns) -> tf.Tensor:
        """Part of the loss that keeps weights small, float32 []: the mean over the streams of

        embed_l2 / 2 * |the stream's unique embedding rows|^2 + layer_l2 / 2 * |all trained weights in no table|^2.
        """
        penalty = self.layer_penalty()
        if self.config.embed_l2 > 0.0:
            used = tf.reshape(runs.items, [tf.shape(runs.items)[0], -1])
            penalty += self.config.embed_l2 * self.embedding.half_square_norm(used)
        return penalty

    def encode(self, history: History, training: TrainingContext | None = None) -> tf.Tensor:
        """Returns the state after the last event of each history, float32 [S, B, V]; zeros for an empty history."""
        since_first = history.seconds_from_first
        gaps = tf.pad(since_first[:, :, 1:] - since_first[:, :, :-1], [[0, 0], [0, 0], [1, 0]])
        is_real = tf.sequence_mask(history.length, tf.shape(history.items)[2])
        runs = EventRuns(history.items, history.length, tf.where(is_real, gaps, 0.0))
        states = tf.pad(self.encode_positions(runs, training), [[0, 1], [0, 0]])  # The last row is for empty ones.
        num_events = tf.cumsum(tf.reshape(history.length, [-1]))  # Up to and including each history.
        last = tf.where(tf.reshape(history.length, [-1]) > 0, num_events - 1, tf.shape(states)[0] - 1)
        shape = [history.length.shape[0], tf.shape(history.length)[1], states.shape[1]]
        return tf.reshape(tf.gather(states, last), shape)

    def score(self, state: tf.Tensor, candidates: tf.Tensor, training: TrainingContext | None = None) -> tf.Tensor:
        return self.score_vectors(state, candidates, self.item_vectors(candidates))

    def score_vectors(self, state: tf.Tensor, candidates: tf.Tensor, vectors: tf.Tensor) -> tf.Tensor:
        """The logits of `score`, from vectors of the candidates: float32 [S, B, N, V] or [N, V]."""
        if candidates.shape.rank == 1:
            product = tf.matmul(tf.reshape(state, [-1, vectors.shape[-1]]), vectors, transpose_b=True)
            shape = [state.shape[0], tf.shape(state)[1], tf.shape(candidates)[0]]
            logits = tf.reshape(product, shape)
        else:
            logits = tf.linalg.matvec(vectors, state)
        return tf.where(self.embedding.has_vector(candidates), logits, logits.dtype.min)
