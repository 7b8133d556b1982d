"""Softmax over the whole catalogue, in blocks of targets. T targets, I trained items, V width of their vectors.

The logits of all targets would take 4 * T * I bytes, several times over. They are therefore made and used up block by
block, in the forward pass, together with the gradient: a block costs three matrix products, as many as if everything
were kept, and nothing of it is left when the next one begins.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from seqrec.core.batch import RunBatch
from seqrec.models.contract import RetrievalModel
from seqrec.models.layers.training_context import TrainingContext
from seqrec.training.objectives.config import LossConfig
from seqrec.training.objectives.objective import Loss, Objective
from seqrec.training.objectives.run_targets import run_targets


@dataclass(frozen=True, kw_only=True)
class FullSoftmaxOptions:
    """Settings under `training.loss.options.full_softmax`."""

    label_smoothing: float = 0.0  # Share of the target's probability that is spread evenly over all items.
    block_mb: int = 64  # Megabytes of logits that are worked on at once; changes rounding only.

    def __post_init__(self) -> None:
        if not 0.0 <= self.label_smoothing < 1.0:
            raise ValueError(f"label_smoothing is {self.label_smoothing}: give a share from 0 up to, not including, 1.")
        if self.block_mb < 1:
            raise ValueError(f"block_mb is {self.block_mb}: give at least 1.")


class FullSoftmax(Objective):
    """Sum over the targets of -log softmax(logits of all trained items)[target]."""

    reads = "runs"
    options_class = FullSoftmaxOptions

    def __init__(self, config: LossConfig, options: FullSoftmaxOptions, train_count: np.ndarray) -> None:
        super().__init__(config, options, train_count)
        self._smoothing = options.label_smoothing
        self._block_size = max(1, options.block_mb * 2**20 // (4 * self.num_items))

    @staticmethod
    def memory(options: Any, num_items: int, width: int) -> int:
        """Two blocks (logits and their exponentials), and the items' vectors with their gradient, twice while added."""
        block = max(options.block_mb * 2**20, 4 * num_items)
        return 2 * block + 3 * 4 * num_items * width

    def loss(self, model: RetrievalModel, batch: RunBatch, training: TrainingContext) -> Loss:
        targets = run_targets(model, batch, self.num_items, training)
        data = full_softmax_loss(
            targets.states, model.item_vectors(), targets.items - 1, self._block_size, self._smoothing
        )
        return Loss(data, model.regularization(batch.runs))


def full_softmax_loss(
    states: tf.Tensor, vectors: tf.Tensor, targets: tf.Tensor, block_size: int, smoothing: float = 0.0
) -> tf.Tensor:
    """Sum over the targets of the cross-entropy, float32 [].

    With smoothing e it is -(1 - e) * log p[target] - e * (mean of log p over all items).

    Args:
        states: float32 [T, V].
        vectors: float32 [I, V].
        targets: int32 [T], rows of `vectors`.
        block_size: the largest number of targets whose logits are in memory at once.
    """

    @tf.custom_gradient
    def loss_of(states: tf.Tensor, vectors: tf.Tensor) -> tuple[tf.Tensor, Any]:
        log_sum, state_slope, vector_slope = _log_sums(states, vectors, block_size)
        target_vectors = tf.gather(vectors, targets)
        mean_vector = tf.reduce_mean(vectors, axis=0)
        wanted = (1.0 - smoothing) * target_vectors + smoothing * mean_vector  # [T, V]
        value = log_sum - tf.reduce_sum(states * wanted)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            num_items = tf.shape(vectors)[0]
            pulled = (1.0 - smoothing) * tf.math.unsorted_segment_sum(states, targets, num_items)
            pulled += smoothing * tf.reduce_sum(states, axis=0) / tf.cast(num_items, tf.float32)
            return upstream * (state_slope - wanted), upstream * (vector_slope - pulled)

        return value, gradient

    return loss_of(states, vectors)


def _log_sums(states: tf.Tensor, vectors: tf.Tensor, block_size: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Sum over all states of log(sum over items of exp(logit)), with its gradients.

    Returns: float32 [], and the gradients by states [T, V] and vectors [I, V].
    """
    num_states, width = tf.shape(states)[0], states.shape[1]
    num_blocks = tf.maximum(1, (num_states + block_size - 1) // block_size)
    size = (num_states + num_blocks - 1) // num_blocks  # Blocks of even sizes; the last one may be a little shorter.

    def step(
        block: tf.Tensor, total: tf.Tensor, state_slopes: tf.TensorArray, vector_slope: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray, tf.Tensor]:
        part = states[block * size : (block + 1) * size]
        logits = tf.matmul(part, vectors, transpose_b=True)  # [B, I]
        highest = tf.reduce_max(logits, axis=1, keepdims=True)
        exponentials = tf.exp(logits - highest)
        sums = tf.reduce_sum(exponentials, axis=1, keepdims=True)
        total += tf.reduce_sum(tf.math.log(sums) + highest)
        state_slopes = state_slopes.write(block, tf.matmul(exponentials, vectors) / sums)
        vector_slope += tf.matmul(exponentials, part / sums, transpose_a=True)
        return block + 1, total, state_slopes, vector_slope

    slopes = tf.TensorArray(tf.float32, num_blocks, infer_shape=False, element_shape=[None, width])
    start = (tf.constant(0), tf.zeros([]), slopes, tf.zeros_like(vectors))
    _, total, slopes, vector_slope = tf.while_loop(
        lambda block, *_: block < num_blocks, step, start, parallel_iterations=1
    )
    return total, tf.ensure_shape(slopes.concat(), [None, width]), vector_slope
