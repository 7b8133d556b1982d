"""What every model offers, and what training hands to it.

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
length, N candidates, P packed events, D width of an embedded event.
"""

import zlib
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from seqrec.core.batch import History
from seqrec.models.config import ModelConfig
from seqrec.models.layers.batch_norm import BatchNorm
from seqrec.models.layers.embedding import EmbeddingTable, EventEmbedding, Gradient


class TrainingContext:
    """One training step as a model sees it: keys for its draws, and a place to record its batch moments.

    Make a new one for each step, inside the traced function.

    Args:
        seed: of the run.
        step: int64 [], the global step: it must never repeat in a run.
        stream_ids: int32 [S], the global number of each stream in this worker's share.
    """

    def __init__(self, seed: int, step: tf.Tensor, stream_ids: tf.Tensor) -> None:
        self.seed = seed
        self.step = tf.cast(step, tf.int64)
        self.stream_ids = tf.convert_to_tensor(stream_ids, tf.int32)
        self.num_streams = self.stream_ids.shape[0]
        assert self.num_streams is not None, "the number of streams must be known when tracing"
        self._moments: list[tf.Tensor] = []

    def keys(self, place: str) -> tf.Tensor:
        """int64 [S, 2]: a seed for tf.random.stateless_* for each stream, unlike that of any other place or step."""
        run = (self.seed * 2**32 + zlib.crc32(place.encode())) % 2**63
        stream = self.step * 2**20 + tf.cast(self.stream_ids, tf.int64)
        return tf.stack([tf.fill(tf.shape(stream), tf.constant(run, tf.int64)), stream], axis=1)

    def record(self, mean: tf.Tensor, variance: tf.Tensor) -> None:
        """Notes one batch norm's moments, each float32 [S, C]. Call in the model's fixed order."""
        self._moments += [tf.stop_gradient(mean), tf.stop_gradient(variance)]

    def moments(self) -> tf.Tensor:
        """float32 [S, M]: everything recorded, side by side; M is 0 for a model without batch norm."""
        if not self._moments:
            return tf.zeros([self.num_streams, 0])
        return tf.concat(self._moments, axis=1)


class SequenceModel(tf.Module):
    """Scores candidates after a history. Subclasses set `config`, `embedding` and list `batch_norms`."""

    config: ModelConfig
    embedding: EventEmbedding

    @staticmethod
    def check_settings(config: ModelConfig, options: Any) -> None:
        """Raises ConfigError where the model's own settings do not go with the shared ones."""

    @abstractmethod
    def encode(self, history: History, training: TrainingContext | None = None) -> Any:
        """All that does not depend on a candidate: a nest of tensors for `score`."""

    @abstractmethod
    def score(self, state: Any, candidates: tf.Tensor, training: TrainingContext | None = None) -> tf.Tensor:
        """Logits float32 [S, B, N] of int32 candidates [S, B, N], or of one list [N] shared by all histories."""

    @property
    @abstractmethod
    def batch_norms(self) -> tuple[BatchNorm, ...]:
        """Every batch norm, in the order in which `score` records moments."""

    @property
    def tables(self) -> tuple[EmbeddingTable, ...]:
        """Every variable whose rows have names, with what its rows mean."""
        return self.embedding.tables

    @property
    def sparse_variables(self) -> tuple[tf.Variable, ...]:
        """The embedding tables: their gradients are tf.IndexedSlices, of the rows in the batch."""
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

    def mask_gradients(self, gradients: Sequence[Gradient | None]) -> list[Gradient | None]:
        """Gradients in the order of `trained_variables`, with zeros for rows that training must never change."""
        masked = list(gradients)
        for place, table in enumerate(self.tables):
            if gradients[place] is not None:
                masked[place] = table.without_frozen_rows(gradients[place])
        return masked

    @property
    def moving_statistics(self) -> tuple[tf.Variable, ...]:
        """Batch norm's moving means and variances: not trained, but part of the weights."""
        return tuple(statistic for norm in self.batch_norms for statistic in (norm.moving_mean, norm.moving_variance))

    def named_variables(self) -> dict[str, tf.Variable]:
        """Every variable worth saving by its name, in a fixed order: trained ones, then moving statistics."""
        variables = (*self.trained_variables, *self.moving_statistics)
        named = {variable.name.removesuffix(":0"): variable for variable in variables}
        assert len(named) == len(variables), "two variables share a name"
        return named

    def apply_moments(self, moments: tf.Tensor) -> None:
        """Moves the moving averages towards `moments`, float32 [M]: the mean over all streams of all workers."""
        if not self.moving_statistics:
            return
        keep = self.config.batch_norm_momentum
        sizes = [statistic.shape[0] for statistic in self.moving_statistics]
        for statistic, moment in zip(self.moving_statistics, tf.split(moments, sizes), strict=True):
            statistic.assign(keep * statistic + (1.0 - keep) * moment)

    def regularization(self, history: History, candidates: tf.Tensor) -> tf.Tensor:
        """What the loss adds for the size of the weights, float32 []: the mean over the streams of

        embed_l2 / 2 * |the stream's unique embedding rows|^2 + layer_l2 / 2 * |all other trained weights|^2.
        """
        penalty = tf.zeros([])
        if self.config.embed_l2 > 0.0:
            penalty += self.config.embed_l2 * self.embedding.half_square_norm(
                history, candidates, self.config.max_history_length
            )
        if self.config.layer_l2 > 0.0:
            penalty += self.config.layer_l2 * tf.add_n([tf.nn.l2_loss(weight) for weight in self.dense_variables])
        return penalty
