"""Batch normalisation over one stream's share of the batch, with explicit moments."""

from typing import Protocol

import tensorflow as tf

from seqrec.models.initializers import Initializer


class Rows(Protocol):
    """How the rows of a tensor belong to streams."""

    def mean(self, x: tf.Tensor) -> tf.Tensor:
        """float32 [S, C]: mean of x over the rows of each stream."""

    def spread(self, per_stream: tf.Tensor) -> tf.Tensor:
        """Lays [S, C] out so that it broadcasts against x."""

    def num_per_stream(self, x: tf.Tensor) -> tf.Tensor:
        """int32 [S]: elements of x that belong to each stream, all columns counted; they lie together in x."""


class EvenRows:
    """Rows of x [S, ..., C], the same number for each stream."""

    def mean(self, x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(x, axis=list(range(1, len(x.shape) - 1)))

    def spread(self, per_stream: tf.Tensor) -> tf.Tensor:
        return per_stream[:, None, None, :]

    def num_per_stream(self, x: tf.Tensor) -> tf.Tensor:
        return tf.fill([x.shape[0]], tf.size(x) // x.shape[0])


class PackedRows:
    """Rows of x [P, N, C]: packed events, each with a weight in the moments."""

    def __init__(self, stream: tf.Tensor, weight: tf.Tensor, num_per_stream: tf.Tensor) -> None:
        self._stream = stream
        self._num_per_stream = num_per_stream
        self._num_streams = num_per_stream.shape[0]
        weights = tf.one_hot(stream, self._num_streams, axis=0) * weight  # [S, P]
        self._shares = tf.math.divide_no_nan(weights, tf.reduce_sum(weights, axis=1, keepdims=True))

    def mean(self, x: tf.Tensor) -> tf.Tensor:
        num_candidates, width = tf.shape(x)[1], x.shape[2]
        sums = tf.matmul(self._shares, tf.reshape(x, [-1, num_candidates * width]))
        return tf.reduce_mean(tf.reshape(sums, [self._num_streams, -1, width]), axis=1)

    def spread(self, per_stream: tf.Tensor) -> tf.Tensor:
        if self._num_streams == 1:
            return per_stream[:, None, :]
        return tf.gather(per_stream, self._stream)[:, None, :]

    def num_per_stream(self, x: tf.Tensor) -> tf.Tensor:
        return self._num_per_stream * tf.shape(x)[1] * x.shape[2]


class BatchNorm(tf.Module):
    """Moments of the stream while training, moving averages otherwise; biased variance for both."""

    def __init__(self, name: str, width: int, epsilon: float, initializer: Initializer) -> None:
        super().__init__(None)
        self._epsilon = epsilon
        self.scale = initializer.constant(f"{name}/scale", (width,), 1.0)
        self.offset = initializer.constant(f"{name}/offset", (width,), 0.0)
        self.moving_mean = initializer.constant(f"{name}/moving_mean", (width,), 0.0, trainable=False)
        self.moving_variance = initializer.constant(f"{name}/moving_variance", (width,), 1.0, trainable=False)

    def moments(self, x: tf.Tensor, rows: Rows) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and variance of each stream, float32 [S, C]."""
        mean = rows.mean(x)
        return mean, rows.mean(tf.math.squared_difference(x, rows.spread(mean)))

    def factors(self, mean: tf.Tensor, variance: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(a, b) such that a * x + b is normalised."""
        factor = self.scale * tf.math.rsqrt(variance + self._epsilon)
        return factor, self.offset - mean * factor

    def infer(self, x: tf.Tensor) -> tf.Tensor:
        factor, shift = self.factors(self.moving_mean, self.moving_variance)
        return x * factor + shift
