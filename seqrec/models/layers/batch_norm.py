"""Batch normalisation over a stream's share of the batch, with explicit moments."""

import tensorflow as tf

from seqrec.models.layers.initializers import Initializer
from seqrec.models.layers.stream_rows import StreamRows


class BatchNorm(tf.Module):
    """Normalises with the stream's moments while training, else with moving averages. Variances are biased."""

    def __init__(self, name: str, width: int, epsilon: float, initializer: Initializer) -> None:
        super().__init__(None)
        self._epsilon = epsilon
        self.scale = initializer.constant(f"{name}/scale", (width,), 1.0)
        self.offset = initializer.constant(f"{name}/offset", (width,), 0.0)
        self.moving_mean = initializer.constant(f"{name}/moving_mean", (width,), 0.0, trainable=False)
        self.moving_variance = initializer.constant(f"{name}/moving_variance", (width,), 1.0, trainable=False)

    def inference_factors(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns (a, b), each float32 [C], such that a * x + b is normalised by the moving averages."""
        factor = self.scale * tf.math.rsqrt(self.moving_variance + self._epsilon)
        return factor, self.offset - self.moving_mean * factor

    def train(
        self, x: tf.Tensor, rows: StreamRows, keep: tf.Tensor | None, keep_share: float
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns relu(dropout(normalised x)) and the moments of each stream.

        Args:
            x: float32, in a layout that `rows` knows.
            keep: bool like x, True for an element that dropout keeps; None without dropout.
            keep_share: probability that an element is kept; kept elements are divided by it.
        Returns: the layer's output like x; mean and biased variance, each float32 [S, C], without gradients.
        """
        output, mean, variance = _train_layer(x, self.scale, self.offset, rows, keep, keep_share, self._epsilon)
        return output, tf.stop_gradient(mean), tf.stop_gradient(variance)


def _train_layer(
    x: tf.Tensor,
    scale: tf.Tensor,
    offset: tf.Tensor,
    rows: StreamRows,
    keep: tf.Tensor | None,
    keep_share: float,
    epsilon: float,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Computes the layer. Its gradient by hand needs half the passes over x that automatic differentiation needs.

    With r = rsqrt(var + eps), f = scale * r / keep_share and y the output, the gradient of an element passes where
    y > 0 (kept and positive): g = dy * [y > 0]. With sums over a stream, G = sum g, H = sum g * (x - mean), and w the
    share of a row in the moments: dx = f * g - w * (f * G + f * r^2 * H * (x - mean)).
    """

    @tf.custom_gradient
    def layer(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> tuple:
        mean = rows.mean(x)
        variance = rows.mean(tf.square(x - rows.spread(mean)))
        root = tf.math.rsqrt(variance + epsilon)  # [S, C]
        factor = scale * root / keep_share
        output = tf.nn.relu(x * rows.spread(factor) + rows.spread(offset / keep_share - mean * factor))
        if keep is not None:
            output = tf.where(keep, output, 0.0)

        def gradient(upstream: tf.Tensor, *_: tf.Tensor) -> tuple:
            passed = tf.raw_ops.ReluGrad(gradients=upstream, features=output)
            total = rows.total(passed)  # [S, C]
            total_product = rows.total(passed * x) - mean * total
            of_square = -factor * tf.square(root) * total_product
            of_mean = -factor * total - of_square * mean
            moments_part = x * rows.times_share(of_square, x) + rows.times_share(of_mean, x)
            of_x = passed * rows.spread(factor) + moments_part
            of_scale = tf.reduce_sum(root * total_product, axis=0) / keep_share
            return of_x, of_scale, tf.reduce_sum(total, axis=0) / keep_share

        return (output, mean, variance), gradient

    return layer(x, tf.convert_to_tensor(scale), tf.convert_to_tensor(offset))
