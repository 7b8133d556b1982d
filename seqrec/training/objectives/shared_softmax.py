"""Softmax over the target and negatives that all targets of a stream share. T targets of a stream, n negatives.

The sum of exp(logit) over the catalogue is estimated from n draws: each drawn item stands for 1 / (n * q) items, where
q is its probability of being drawn. So log(n * q) is subtracted from its logit; the target is not drawn, and its logit
stays as it is. A drawn item that is the target itself is left out. With many negatives the loss approaches that of the
full softmax. The cost of a step depends on T and n, not on the size of the catalogue.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from seqrec.core.batch import RunBatch
from seqrec.models.contract import RetrievalModel
from seqrec.models.layers.training_context import TrainingContext
from seqrec.training.objectives.config import LossConfig
from seqrec.training.objectives.item_draws import ItemDraws, Shares
from seqrec.training.objectives.objective import Loss, Objective
from seqrec.training.objectives.run_targets import run_targets


@dataclass(frozen=True, kw_only=True)
class SharedSoftmaxOptions:
    """Settings under `training.loss.options.shared_softmax`."""

    num_negatives: int = 512  # Items drawn for each stream at each step.
    uniform_share: float = 0.5  # Share of the draws that take all items alike.
    popularity_share: float = 0.0  # Share of the draws by training events raised to popularity_exponent.
    in_batch_share: float = 0.5  # Share of the draws from the stream's own targets. The three add up to 1.
    popularity_exponent: float = 0.75  # Exponent of the counts for the draws by popularity.

    def __post_init__(self) -> None:
        if self.num_negatives < 1:
            raise ValueError(f"num_negatives is {self.num_negatives}: give at least 1.")
        if self.popularity_exponent < 0.0:
            raise ValueError(f"popularity_exponent is {self.popularity_exponent}: give 0 or more.")
        shares = (self.uniform_share, self.popularity_share, self.in_batch_share)
        if min(shares) < 0.0 or abs(sum(shares) - 1.0) > 1e-6:
            raise ValueError(
                f"uniform_share, popularity_share and in_batch_share are {', '.join(map(str, shares))}: give shares of "
                "at least 0 that add up to 1."
            )


class SharedSoftmax(Objective):
    """Sum over the targets of -log of the target's estimated probability among all items."""

    reads = "runs"
    options_class = SharedSoftmaxOptions

    def __init__(self, config: LossConfig, options: SharedSoftmaxOptions, train_count: np.ndarray) -> None:
        super().__init__(config, options, train_count)
        self._num_negatives = options.num_negatives
        shares = Shares(options.uniform_share, options.popularity_share, options.in_batch_share)
        self.draws = ItemDraws(shares, train_count, options.popularity_exponent)

    @staticmethod
    def can_fix_shapes(options: Any) -> bool:
        return options.in_batch_share == 0.0  # How many targets there are to draw from is data.

    def loss(self, model: RetrievalModel, batch: RunBatch, training: TrainingContext) -> Loss:
        targets = run_targets(model, batch, self.num_items, training)
        keys = training.keys("negatives")
        parts = [self._stream_loss(model, *target, keys[stream]) for stream, target in enumerate(targets.by_stream())]
        return Loss(tf.add_n(parts), model.regularization(batch.runs))

    def _stream_loss(
        self, model: RetrievalModel, states: tf.Tensor, items: tf.Tensor, weights: tf.Tensor | None, key: tf.Tensor
    ) -> tf.Tensor:
        padded = tf.concat([items, tf.ones([1], tf.int32)], axis=0)[: tf.maximum(1, tf.size(items))]
        negatives = self.draws.draw([self._num_negatives], padded, key)
        log_q = self.draws.log_probability(negatives, padded)
        return shared_softmax_loss(
            states, items, model.item_vectors(items), negatives, model.item_vectors(negatives), log_q, weights
        )


def shared_softmax_loss(
    states: tf.Tensor,
    items: tf.Tensor,
    item_vectors: tf.Tensor,
    negatives: tf.Tensor,
    negative_vectors: tf.Tensor,
    log_q: tf.Tensor,
    weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """Sum over the targets of one stream, float32 [].

    Args:
        states: float32 [T, V].
        items: int32 [T], the targets.
        item_vectors: float32 [T, V], their vectors.
        negatives: int32 [n].
        negative_vectors: float32 [n, V].
        log_q: float32 [n], the logarithm of each negative's probability of being drawn.
        weights: float32 [T], what each target counts; None: all count 1.
    """
    num_negatives = tf.cast(tf.size(negatives), tf.float32)
    target_logit = tf.reduce_sum(states * item_vectors, axis=1, keepdims=True)  # [T, 1]
    logits = tf.matmul(states, negative_vectors, transpose_b=True) - (log_q + tf.math.log(num_negatives))  # [T, n]
    logits = tf.where(negatives[None, :] == items[:, None], logits.dtype.min, logits)
    losses = tf.reduce_logsumexp(tf.concat([target_logit, logits], axis=1), axis=1) - target_logit[:, 0]
    return tf.reduce_sum(losses if weights is None else losses * weights)
