"""Softmax over the whole catalogue, in blocks of targets. T targets, I trained items, V width of their vectors.

The logits of all targets would take 4 * T * I bytes, several times over. They are therefore made and used up block by
block, in the forward pass, together with the gradient: a block costs three matrix products, as many as if everything
were kept, and nothing of it is left when the next one begins.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from seqrec.core.batch import RunBatch
from seqrec.models.contract import RetrievalModel
from seqrec.models.layers.fixed_shapes import fixed_shapes
from seqrec.models.layers.training_context import TrainingContext
from seqrec.training.objectives.config import LossConfig
from seqrec.training.objectives.objective import Loss, Objective
from seqrec.training.objectives.run_targets import run_targets


@dataclass(frozen=True, kw_only=True)
class FullSoftmaxOptions:
    """Settings under `training.loss.options.full_softmax`."""

    # Share of the target's probability that is spread evenly over all items, the target among them. It keeps logits
    # small, as optimizer.weight_decay does: tune them together.
    label_smoothing: float = 0.0
    # Megabytes of logits that are worked on at once; changes rounding only. Above 32 it takes a third longer, as the C
    # library then fetches the memory of every block anew.
    block_mb: int = 24
    # Type of the numbers in the matrix products of logits and gradient; the softmax is float32 in any case. bfloat16
    # rounds a logit to three digits. It is for processors that multiply it (avx512_bf16, amx, GPUs); with no more than
    # avx2 the loss takes 1.4 times as long. For the products within the model there is model.mixed_precision.
    matmul_dtype: Literal["float32", "bfloat16"] = "float32"

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
        self._matmul_dtype = tf.as_dtype(options.matmul_dtype)

    @staticmethod
    def memory(options: Any, num_items: int, width: int) -> int:
        """Blocks of logits and exponentials; items' vectors, turned, with their gradient, twice while it is added.

        bfloat16 holds both kinds of blocks beside those in float32.
        """
        block = max(options.block_mb * 2**20, 4 * num_items)
        num_blocks = 2 if options.matmul_dtype == "float32" else 3
        return num_blocks * block + 4 * 4 * num_items * width

    def loss(self, model: RetrievalModel, batch: RunBatch, training: TrainingContext) -> Loss:
        targets = run_targets(model, batch, self.num_items, training)
        data = full_softmax_loss(
            targets.states,
            model.item_vectors(),
            targets.items - 1,
            self._block_size,
            self._smoothing,
            self._matmul_dtype,
            targets.weights,
        )
        return Loss(data, model.regularization(batch.runs))


def full_softmax_loss(
    states: tf.Tensor,
    vectors: tf.Tensor,
    targets: tf.Tensor,
    block_size: int,
    smoothing: float = 0.0,
    matmul_dtype: tf.DType = tf.float32,
    weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """Sum over the targets of the cross-entropy, float32 [].

    With smoothing e it is -(1 - e) * log p[target] - e * (mean of log p over all items).

    Args:
        states: float32 [T, V].
        vectors: float32 [I, V].
        targets: int32 [T], rows of `vectors`.
        block_size: the largest number of targets whose logits are in memory at once.
        matmul_dtype: the type of what is multiplied; see `FullSoftmaxOptions`.
        weights: float32 [T], what each target counts; None: all count 1.
    """

    @tf.custom_gradient
    def loss_of(states: tf.Tensor, vectors: tf.Tensor) -> tuple[tf.Tensor, Any]:
        log_sum, state_slope, vector_slope = _log_sums(states, vectors, block_size, matmul_dtype, weights)
        target_vectors = tf.gather(vectors, targets)
        mean_vector = tf.reduce_mean(vectors, axis=0)
        wanted = (1.0 - smoothing) * target_vectors + smoothing * mean_vector  # [T, V]
        if weights is not None:
            wanted *= weights[:, None]
        value = log_sum - tf.reduce_sum(states * wanted)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            num_items = tf.shape(vectors)[0]
            counted = states if weights is None else states * weights[:, None]
            pulled = (1.0 - smoothing) * tf.math.unsorted_segment_sum(counted, targets, num_items)
            pulled += smoothing * tf.reduce_sum(counted, axis=0) / tf.cast(num_items, tf.float32)
            return upstream * (state_slope - wanted), upstream * (vector_slope - pulled)

        return value, gradient

    return loss_of(states, vectors)


def _log_sums(
    states: tf.Tensor, vectors: tf.Tensor, block_size: int, matmul_dtype: tf.DType, weights: tf.Tensor | None
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Sum over all states of log(sum over items of exp(logit)), with its gradients.

    Returns: float32 [], and the gradients by states [T, V] and vectors [I, V].
    """
    blocks = _Blocks(states, block_size)
    width = states.shape[1]
    states = blocks.fill(states)  # Once, not in every step of the loop.
    weight_column = None if weights is None else blocks.fill(weights[:, None])
    # Items in columns: the two products with [V, I] take 30 % less time than with [I, V] turned by the product itself.
    rows, columns = tf.cast(vectors, matmul_dtype), tf.cast(tf.transpose(vectors), matmul_dtype)

    def step(
        block: tf.Tensor, total: tf.Tensor, state_slopes: tf.TensorArray, column_slope: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray, tf.Tensor]:
        part = blocks.take(states, block)
        logits = tf.cast(tf.matmul(tf.cast(part, matmul_dtype), columns), tf.float32)  # [B, I]
        highest = tf.reduce_max(logits, axis=1, keepdims=True)
        exponentials = tf.exp(logits - highest)
        sums = tf.reduce_sum(exponentials, axis=1, keepdims=True)
        scales = tf.cast(exponentials, matmul_dtype)
        log_sums = tf.math.log(sums) + highest
        state_slope = tf.cast(tf.matmul(scales, rows), tf.float32) / sums
        if weight_column is not None:
            weight = blocks.take(weight_column, block)
            log_sums, state_slope, part = log_sums * weight, state_slope * weight, part * weight
        total += tf.reduce_sum(log_sums)
        shares = tf.cast(part / sums, matmul_dtype)
        state_slopes = state_slopes.write(block, state_slope)
        column_slope += tf.cast(tf.matmul(shares, scales, transpose_a=True), tf.float32)  # [V, I]
        return block + 1, total, state_slopes, column_slope

    slopes = tf.TensorArray(tf.float32, blocks.count, infer_shape=False, element_shape=[blocks.fixed_size, width])
    start = (tf.constant(0), tf.zeros([]), slopes, tf.zeros_like(columns, tf.float32))
    _, total, slopes, column_slope = tf.while_loop(
        lambda block, *_: block < blocks.count, step, start, parallel_iterations=1
    )
    return total, blocks.joined(slopes, width), tf.transpose(column_slope)


class _Blocks:
    """States in blocks of even sizes. Where their number is fixed the last block is filled up, else it is shorter."""

    def __init__(self, states: tf.Tensor, most: int) -> None:
        fixed = states.shape[0] if fixed_shapes() is not None else None
        self._num_states = tf.shape(states)[0] if fixed is None else fixed
        at_least = (self._num_states + most - 1) // most
        self.count = tf.maximum(1, at_least) if fixed is None else max(1, at_least)
        self._size = (self._num_states + self.count - 1) // self.count
        self.fixed_size = None if fixed is None else self._size
        self._filling = 0 if fixed is None else self.count * self._size - fixed

    def fill(self, values: tf.Tensor) -> tf.Tensor:
        """Values [T, C], with zeros after them where the last block is filled up."""
        return values if self.fixed_size is None else tf.pad(values, [[0, self._filling], [0, 0]])

    def take(self, values: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
        """Rows of a block of what `fill` has returned."""
        if self.fixed_size is None:
            return values[block * self._size : (block + 1) * self._size]
        return tf.slice(values, [block * self._size, 0], [self._size, values.shape[1]])

    def joined(self, parts: tf.TensorArray, width: int) -> tf.Tensor:
        """Results of all blocks, [T, width]."""
        if self.fixed_size is None:
            return tf.ensure_shape(parts.concat(), [None, width])
        return tf.reshape(parts.stack(), [-1, width])[: self._num_states]
