"""Assigns rows of a tensor to streams, and sums over them. The legend is in `contract.py`; C is a number of columns."""

from typing import Protocol

import tensorflow as tf


class StreamRows(Protocol):
    """Assigns each row of a tensor x to a stream, with a weight in the moments of that stream."""

    def total(self, x: tf.Tensor) -> tf.Tensor:
        """Returns float32 [S, C]: the sum of x over the rows of each stream; every row counts once."""

    def mean(self, x: tf.Tensor) -> tf.Tensor:
        """Returns float32 [S, C]: the mean of x over the rows of each stream; every row counts by its weight."""

    def times_share(self, per_stream: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """Returns [S, C] times each row's share in `mean`, in a shape that broadcasts against x."""

    def spread(self, per_stream: tf.Tensor) -> tf.Tensor:
        """Returns [S, C] in a shape that broadcasts against x."""

    def num_per_stream(self, x: tf.Tensor) -> tf.Tensor:
        """Returns int32 [S]: the number of elements of x that belong to each stream. They are contiguous in x."""


class EvenRows:
    """Rows of x [S, B, N, C]: every stream has the same number, and all rows have the same weight."""

    def total(self, x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(x, axis=[1, 2])

    def mean(self, x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(x, axis=[1, 2])

    def times_share(self, per_stream: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        num_rows = tf.shape(x)[1] * tf.shape(x)[2]
        return self.spread(per_stream / tf.cast(num_rows, tf.float32))

    def spread(self, per_stream: tf.Tensor) -> tf.Tensor:
        return per_stream[:, None, None, :]

    def num_per_stream(self, x: tf.Tensor) -> tf.Tensor:
        return tf.fill([x.shape[0]], tf.size(x) // x.shape[0])


class PackedRows:
    """Rows of x [P, N, C]: packed events, each with a weight in the moments."""

    def __init__(self, stream: tf.Tensor, weight: tf.Tensor | None, num_per_stream: tf.Tensor) -> None:
        """
        Args:
            stream: int32 [P], local number of the stream of each event.
            weight: float32 [P], or None if all events have the same weight.
            num_per_stream: int32 [S], number of events of each stream.
        """
        self._stream = stream
        self._num_per_stream = num_per_stream
        self._num_streams = num_per_stream.shape[0]
        self._member = tf.one_hot(stream, self._num_streams, axis=0)  # [S, P]
        weights = self._member if weight is None else self._member * weight
        self._totals = tf.reduce_sum(weights, axis=1, keepdims=True)  # [S, 1]
        self._weight = weight

    def total(self, x: tf.Tensor) -> tf.Tensor:
        return self._sum(self._member, x)

    def mean(self, x: tf.Tensor) -> tf.Tensor:
        weights = self._member if self._weight is None else self._member * self._weight
        num_candidates = tf.cast(tf.shape(x)[1], tf.float32)
        return tf.math.divide_no_nan(self._sum(weights, x), self._totals * num_candidates)

    def times_share(self, per_stream: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        num_candidates = tf.cast(tf.shape(x)[1], tf.float32)
        spread = self.spread(tf.math.divide_no_nan(per_stream, self._totals * num_candidates))
        return spread if self._weight is None else spread * self._weight[:, None, None]

    def spread(self, per_stream: tf.Tensor) -> tf.Tensor:
        if self._num_streams == 1:
            return per_stream[:, None, :]
        return tf.gather(per_stream, self._stream)[:, None, :]

    def num_per_stream(self, x: tf.Tensor) -> tf.Tensor:
        return self._num_per_stream * tf.shape(x)[1] * x.shape[2]

    def _sum(self, weights: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        num_candidates, width = tf.shape(x)[1], x.shape[2]
        sums = tf.matmul(weights, tf.reshape(x, [-1, num_candidates * width]))
        return tf.reduce_sum(tf.reshape(sums, [self._num_streams, num_candidates, width]), axis=1)
