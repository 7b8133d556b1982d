"""The reference's fully connected net: (linear, batch norm, dropout, relu) a few times, then one number."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import tensorflow as tf

from seqrec.models.batch_norm import BatchNorm, Rows
from seqrec.models.config import ModelConfig
from seqrec.models.dropout import keep_levels, keep_mask
from seqrec.models.initializers import Initializer

if TYPE_CHECKING:
    from seqrec.models.contract import TrainingContext


class Tower(tf.Module):
    """Maps [..., input_dim] to [...]; the first layer's product is left to the caller, in parts.

    An input like [user ; item] or [k ; q ; k - q ; k * q] has parts of different shapes: multiplying each by its
    rows of the first kernel and adding the products is the same, and does each product once.
    """

    def __init__(
        self, name: str, input_dim: int, layer_sizes: Sequence[int], config: ModelConfig, initializer: Initializer
    ) -> None:
        super().__init__(None)
        self._name = name
        self._mixed = config.mixed_precision
        last = len(config.dropout) - 1
        self._rates = [config.dropout[min(layer, last)] for layer in range(len(layer_sizes))]
        sizes = [input_dim, *layer_sizes]
        self.kernels = [
            initializer.normal(f"{name}/kernel_{layer}", (sizes[layer], sizes[layer + 1]))
            for layer in range(len(layer_sizes))
        ]
        self.biases = [
            initializer.constant(f"{name}/bias_{layer}", (size,), 0.0) for layer, size in enumerate(layer_sizes)
        ]
        self.norms = [
            BatchNorm(f"{name}/norm_{layer}", size, config.batch_norm_epsilon, initializer)
            for layer, size in enumerate(layer_sizes)
            if config.batch_norm
        ]
        self.output_kernel = initializer.normal(f"{name}/output_kernel", (sizes[-1], 1))
        self.output_bias = initializer.constant(f"{name}/output_bias", (1,), 0.0)

    def first_kernel(self, *part_dims: int) -> list[tf.Tensor]:
        """The first kernel, cut into the rows of each part of the input."""
        return tf.split(tf.convert_to_tensor(self.kernels[0]), part_dims)

    def __call__(self, product: tf.Tensor, rows: Rows, training: "TrainingContext | None") -> tf.Tensor:
        """The tower's output, float32 [...], from its input times the first kernel.

        Args:
            product: float32 [..., layer_sizes[0]].
            rows: which rows belong to which stream.
        """
        hidden = product
        for layer, bias in enumerate(self.biases):
            if layer > 0:
                hidden = self.multiply(hidden, self.kernels[layer])
            if self.norms and training is not None:
                # Batch norm takes it out again, so its gradient is 0. Left to rounding it would be noise around 0,
                # which Adam blows up to whole steps, otherwise on every machine, and the moving means lag behind.
                bias = tf.stop_gradient(bias)
            hidden = self._normalise(hidden + bias, layer, rows, training)
            hidden = tf.nn.relu(self._drop(hidden, layer, rows, training))
        return tf.squeeze(self.multiply(hidden, self.output_kernel), axis=-1) + self.output_bias

    def multiply(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """x [..., I] times kernel [I, O], in bfloat16 with mixed precision; float32 [..., O]."""
        kernel = tf.convert_to_tensor(kernel)
        flat = tf.reshape(x, [-1, kernel.shape[0]])
        if self._mixed:
            product = tf.cast(tf.matmul(tf.cast(flat, tf.bfloat16), tf.cast(kernel, tf.bfloat16)), tf.float32)
        else:
            product = tf.matmul(flat, kernel)
        return tf.reshape(product, tf.concat([tf.shape(x)[:-1], [kernel.shape[1]]], axis=0))

    def _normalise(self, x: tf.Tensor, layer: int, rows: Rows, training: "TrainingContext | None") -> tf.Tensor:
        if not self.norms:
            return x
        norm = self.norms[layer]
        if training is None:
            return norm.infer(x)
        mean, variance = norm.moments(x, rows)
        training.record(mean, variance)
        factor, shift = norm.factors(mean, variance)
        return x * rows.spread(factor) + rows.spread(shift)

    def _drop(self, x: tf.Tensor, layer: int, rows: Rows, training: "TrainingContext | None") -> tf.Tensor:
        levels = keep_levels(self._rates[layer])
        if training is None or levels >= 256:
            return x
        keys = training.keys(f"{self._name}/dropout_{layer}")
        keep = tf.reshape(keep_mask(keys, rows.num_per_stream(x), levels), tf.shape(x))
        return tf.where(keep, x * (256.0 / levels), 0.0)
