"""Draws of negatives for each target. S streams, B targets of a stream, n negatives, L history length.

Every draw is keyed by (seed, step, the stream's global number) and looks at one stream only, so it does not depend
on the number of workers. Draws exclude the target exactly, by drawing among the others: nothing is retried.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from seqrec.core.batch import History
from seqrec.models.layers.training_context import TrainingContext, draw_uniform
from seqrec.training.objectives.config import LossConfig


class SampledNegatives(NamedTuple):
    items: tf.Tensor  # int32 [S, B, n]
    is_valid: tf.Tensor  # bool [S, B, n], False for a negative that the loss must leave out.


class NegativeSampler(tf.Module):
    """Draws negatives, with replacement, never the target itself.

    - in_batch (the reference): targets of other examples of the stream, each position alike. Where all targets of
      a stream are one item there is no negative, and the example adds nothing to the loss.
    - uniform: all trained items alike.
    - popularity: in proportion to train_count ** popularity_exponent.

    Data that was prepared with a run's vocabulary holds items that are not trained on. Such an item is never a valid
    negative, and an example with such a target adds nothing to the loss.

    Args:
        train_count: int64 [num_trained_items + 1], training events of each item index; [0] is padding's, 0.
    """

    def __init__(self, config: LossConfig, train_count: np.ndarray) -> None:
        super().__init__("negatives")
        self._config = config
        self._num_items = len(train_count) - 1
        counts = np.asarray(train_count, np.float64)
        if config.negatives == "uniform":
            weights = np.ones_like(counts)
        elif config.negatives == "popularity":
            weights = counts**config.popularity_exponent
        else:
            weights = counts
        weights[0] = 0.0
        if config.negatives == "popularity":
            ends = tf.constant(np.cumsum(weights))  # float64: exact for counts up to 2 ** 53.
            self._cumulative = tf.Variable(ends, trainable=False, name="cumulative_weight")
        self._log_q = None
        if config.correct_log_q:
            probability = np.maximum(weights, 1e-9) / weights.sum()
            self._log_q = tf.Variable(np.log(probability).astype(np.float32), trainable=False, name="log_q")

    def draw(
        self,
        target_item: tf.Tensor,
        history: History,
        training: TrainingContext,
        listed_items: tf.Tensor | None = None,
    ) -> SampledNegatives:
        """Negatives for int32 targets [S, B].

        Args:
            listed_items: int32 [S, B, M], without gaps from the left; the first `config.num_listed` negatives of an
                example are drawn from these, each alike.
        """
        keys = training.keys("negatives")
        shape = [tf.shape(target_item)[1], self._config.num_negatives]
        uniform = tf.stack([draw_uniform(shape, keys[s]) for s in range(keys.shape[0])])  # [S, B, n] in [0, 1)
        items = getattr(self, f"_{self._config.negatives}")(target_item, uniform)
        if listed_items is not None:
            items = _with_listed(items, uniform, listed_items, self._config.num_listed)
        is_valid = items != target_item[:, :, None]
        is_valid &= (items <= self._num_items) & (target_item <= self._num_items)[:, :, None]
        if self._config.exclude_own_items:
            own = tf.reduce_any(items[:, :, :, None] == history.items[:, :, None, :], axis=-1)
            is_valid &= ~own
        return SampledNegatives(items, is_valid)

    def log_q(self, items: tf.Tensor) -> tf.Tensor | None:
        """Log probability that each item is drawn, float32 like `items`; None without the correction.

        For an untrained item the value is another item's; callers must ignore it (see `SampledNegatives.is_valid`).
        """
        return None if self._log_q is None else tf.gather(self._log_q, tf.minimum(items, self._num_items))

    def _in_batch(self, target: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
        ordered = tf.sort(target, axis=1)  # [S, B]
        first = tf.searchsorted(ordered, target, side="left")
        same = tf.searchsorted(ordered, target, side="right") - first
        num_others = tf.shape(target)[1] - same
        place = _below(uniform, num_others[:, :, None])
        place += tf.where(place >= first[:, :, None], same[:, :, None], 0)  # Step over the target's own places.
        place = tf.minimum(place, tf.shape(target)[1] - 1)  # No other item: the target itself, which is left out.
        return tf.gather(ordered, place, batch_dims=1)

    def _uniform(self, target: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
        item = 1 + _below(uniform, tf.fill(tf.shape(uniform), self._num_items - 1))
        item += tf.cast(item >= target[:, :, None], tf.int32)
        return tf.minimum(item, self._num_items)  # A single item: the target itself, which is left out.

    def _popularity(self, target: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
        target = tf.minimum(target, self._num_items)  # An untrained target has no share, and its example is left out.
        end = tf.gather(self._cumulative, target)[:, :, None]
        start = tf.gather(self._cumulative, target - 1)[:, :, None]
        point = uniform * (self._cumulative[-1] - (end - start))
        point += tf.where(point >= start, end - start, 0.0)  # Step over the target's own share.
        flat = tf.searchsorted(self._cumulative, tf.reshape(point, [-1]), side="right")
        return tf.minimum(tf.reshape(flat, tf.shape(uniform)), self._num_items)


def _with_listed(items: tf.Tensor, uniform: tf.Tensor, listed: tf.Tensor, count: int) -> tf.Tensor:
    """The negatives [S, B, n], the first `count` of them from the lists [S, B, M] where these have any item."""
    length = tf.math.count_nonzero(listed, axis=2, dtype=tf.int32, keepdims=True)  # [S, B, 1]
    place = _below(uniform[:, :, :count], tf.repeat(length, count, axis=2))
    drawn = tf.where(length > 0, tf.gather(listed, place, batch_dims=2), items[:, :, :count])
    return tf.concat([drawn, items[:, :, count:]], axis=2)


def _below(uniform: tf.Tensor, limit: tf.Tensor) -> tf.Tensor:
    """int32 in 0 .. limit - 1 from float64 in [0, 1); 0 where the limit is 0."""
    drawn = tf.cast(uniform * tf.cast(limit, tf.float64), tf.int32)
    return tf.maximum(tf.minimum(drawn, limit - 1), 0)
