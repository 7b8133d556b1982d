"""Softmax over the target and drawn negatives: the reference's loss. S streams, B examples of a stream, n negatives."""

from typing import Any

import numpy as np
import tensorflow as tf

from seqrec.core.batch import ListedBatch, TrainBatch
from seqrec.models.layers.training_context import TrainingContext
from seqrec.training.objectives.config import LossConfig
from seqrec.training.objectives.negatives import NegativeSampler, SampledNegatives
from seqrec.training.objectives.objective import Loss, Objective


class SampledSoftmax(Objective):
    """Mean over the examples of -log softmax(logits)[target], the target among its own drawn negatives."""

    reads = "windows"
    shared_settings = frozenset(
        {
            *("num_negatives", "negatives", "popularity_exponent", "correct_log_q", "exclude_own_items"),
            "candidates_share",
        }
    )

    def __init__(self, config: LossConfig, options: Any, train_count: np.ndarray) -> None:
        super().__init__(config, options, train_count)
        self.sampler = NegativeSampler(config, train_count)

    def loss(self, model: Any, batch: TrainBatch | ListedBatch, training: TrainingContext) -> Loss:
        listed = batch.listed_items if isinstance(batch, ListedBatch) else None
        negatives = self.sampler.draw(batch.target_item, batch.history, training, listed)
        candidates = candidates_of(batch.target_item, negatives)
        state = model.encode(batch.history, training)
        logits = model.score(state, candidates, training)
        data = softmax_loss(logits, negatives, self.sampler.log_q(candidates))
        return Loss(data, model.regularization(batch.history, candidates))


def candidates_of(target_item: tf.Tensor, negatives: SampledNegatives) -> tf.Tensor:
    """int32 [S, B, 1 + n]: the target first."""
    return tf.concat([target_item[:, :, None], negatives.items], axis=2)


def softmax_loss(logits: tf.Tensor, negatives: SampledNegatives, log_q: tf.Tensor | None = None) -> tf.Tensor:
    """Mean over all examples of -log softmax(logits)[target], float32 []; invalid negatives are left out.

    Args:
        logits: float32 [S, B, 1 + n], the target first.
        log_q: float32 [S, B, 1 + n] as `NegativeSampler.log_q` of the candidates, or None.
    """
    if log_q is not None:
        logits -= log_q
    is_valid = tf.pad(negatives.is_valid, [[0, 0], [0, 0], [1, 0]], constant_values=True)
    logits = tf.where(is_valid, logits, logits.dtype.min)
    return -tf.reduce_mean(tf.nn.log_softmax(logits)[:, :, 0])
