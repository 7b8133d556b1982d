"""The reference's fully connected network: a few layers of linear, batch norm, dropout and relu, then one number."""

from collections.abc import Sequence

import tensorflow as tf

from seqrec.models.config import ModelConfig
from seqrec.models.layers.batch_norm import BatchNorm
from seqrec.models.layers.dropout import keep_levels, keep_mask
from seqrec.models.layers.initializers import Initializer
from seqrec.models.layers.stream_rows import StreamRows
from seqrec.models.layers.training_context import TrainingContext


class Tower(tf.Module):
    """Maps [..., input_dim] to [...]. The caller multiplies the input by the first kernel, part by part.

    An input like [user ; item] or [k ; q ; k - q ; k * q] has parts of different shapes. To multiply each part by its
    rows of the first kernel and add the products gives the same result, and does each product once.

    While training, a bias before batch norm changes nothing but the mean, which batch norm subtracts again. So it only
    enters the recorded mean and has no gradient. (With rounding its gradient would be noise around 0, which Adam
    amplifies to whole steps that differ from machine to machine.) In inference, batch norm is folded into the kernels.
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

    def first_layer(
        self, part_dims: Sequence[int], training: TrainingContext | None
    ) -> tuple[list[tf.Tensor], tf.Tensor | float]:
        """Returns the rows of the first kernel for each part of the input, and the shift to add to their products.

        Add the shift to the smallest product, where that is cheapest.
        """
        if training is not None:
            return tf.split(tf.convert_to_tensor(self.kernels[0]), part_dims), 0.0
        kernel, shift = self._folded(0)
        return tf.split(kernel, part_dims), shift

    def __call__(self, product: tf.Tensor, rows: StreamRows, training: TrainingContext | None) -> tf.Tensor:
        """Returns the tower's output, float32 [...], from its input times the first kernel.

        Args:
            product: float32 [..., layer_sizes[0]], made with `first_layer`.
            rows: assigns the rows of `product` to streams.
        """
        if training is None:
            return self.infer(product, self.later_layers())
        hidden = product
        for layer in range(len(self.kernels)):
            if layer > 0:
                hidden = self.multiply(hidden, self.kernels[layer])
            hidden = self._activate(hidden, layer, rows, training)
        return tf.squeeze(self.multiply(hidden, self.output_kernel), axis=-1) + self.output_bias

    def later_layers(self) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """Returns kernel and bias of every layer after the first, batch norm folded in, for many calls of `infer`."""
        output = (tf.convert_to_tensor(self.output_kernel), tf.convert_to_tensor(self.output_bias))
        return [*(self._folded(layer) for layer in range(1, len(self.kernels))), output]

    def infer(self, product: tf.Tensor, later_layers: Sequence[tuple[tf.Tensor, tf.Tensor]]) -> tf.Tensor:
        """Does the same as a call without training. Rows stay flat, so TensorFlow fuses product, bias and relu."""
        hidden = tf.reshape(product, [-1, product.shape[-1]])
        for kernel, bias in later_layers:
            hidden = tf.nn.bias_add(self.multiply(tf.nn.relu(hidden), kernel), bias)
        return tf.reshape(hidden, tf.shape(product)[:-1])

    def multiply(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Returns x [..., I] times kernel [I, O], float32 [..., O]; with mixed precision the product is in bfloat16."""
        kernel = tf.convert_to_tensor(kernel)
        flat = x if x.shape.rank == 2 else tf.reshape(x, [-1, kernel.shape[0]])
        if self._mixed:
            product = tf.cast(tf.matmul(tf.cast(flat, tf.bfloat16), tf.cast(kernel, tf.bfloat16)), tf.float32)
        else:
            product = tf.matmul(flat, kernel)
        if x.shape.rank == 2:
            return product
        return tf.reshape(product, tf.concat([tf.shape(x)[:-1], [kernel.shape[1]]], axis=0))

    def _folded(self, layer: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns a hidden layer's kernel and bias for inference, with batch norm folded in."""
        kernel, bias = tf.convert_to_tensor(self.kernels[layer]), tf.convert_to_tensor(self.biases[layer])
        if not self.norms:
            return kernel, bias
        factor, shift = self.norms[layer].inference_factors()
        return kernel * factor, bias * factor + shift

    def _activate(self, product: tf.Tensor, layer: int, rows: StreamRows, training: TrainingContext) -> tf.Tensor:
        bias = tf.convert_to_tensor(self.biases[layer])
        keep, keep_share = self._draw_keep(product, layer, rows, training)
        if self.norms:
            output, mean, variance = self.norms[layer].train(product, rows, keep, keep_share)
            training.record(mean + bias, variance)
            return output
        output = tf.nn.relu(product + bias)
        return output if keep is None else tf.where(keep, output / keep_share, 0.0)

    def _draw_keep(
        self, x: tf.Tensor, layer: int, rows: StreamRows, training: TrainingContext
    ) -> tuple[tf.Tensor | None, float]:
        levels = keep_levels(self._rates[layer])
        if levels >= 256:
            return None, 1.0
        keys = training.keys(f"{self._name}/dropout_{layer}")
        keep = keep_mask(keys, rows.num_per_stream(x), levels)
        return tf.reshape(keep, tf.shape(x)), levels / 256.0
