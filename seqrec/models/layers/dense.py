"""A linear layer and a layer norm, for rows of any kind."""

import tensorflow as tf

from seqrec.models.layers.initializers import Initializer


class Dense(tf.Module):
    """Returns x kernel + bias, float32 [n, num_outputs] for x [n, num_inputs]."""

    def __init__(
        self,
        name: str,
        num_inputs: int,
        num_outputs: int,
        initializer: Initializer,
        limit: float | None = None,
        has_bias: bool = True,
        mixed_precision: bool = False,
    ) -> None:
        """
        Args:
            limit: the kernel is drawn uniformly between -limit and limit; None draws it from the initializer's normal.
            mixed_precision: multiply in bfloat16.
        """
        super().__init__(None)
        shape = (num_inputs, num_outputs)
        self._mixed = mixed_precision
        self.kernel = (
            initializer.normal(f"{name}/kernel", shape)
            if limit is None
            else initializer.uniform(f"{name}/kernel", shape, limit)
        )
        self.bias = initializer.constant(f"{name}/bias", (num_outputs,), 0.0) if has_bias else None

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        kernel = tf.convert_to_tensor(self.kernel)
        if self._mixed:
            product = tf.cast(tf.matmul(tf.cast(x, tf.bfloat16), tf.cast(kernel, tf.bfloat16)), tf.float32)
        else:
            product = tf.matmul(x, kernel)
        return product if self.bias is None else tf.nn.bias_add(product, tf.convert_to_tensor(self.bias))


class LayerNorm(tf.Module):
    """Normalises each row over its columns, then multiplies by a learned scale and adds a learned offset."""

    def __init__(self, name: str, width: int, epsilon: float, initializer: Initializer) -> None:
        super().__init__(None)
        self._epsilon = epsilon
        self.scale = initializer.constant(f"{name}/scale", (width,), 1.0)
        self.offset = initializer.constant(f"{name}/offset", (width,), 0.0)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        mean, variance = tf.nn.moments(x, axes=[-1], keepdims=True)
        return (x - mean) * tf.math.rsqrt(variance + self._epsilon) * self.scale + self.offset
