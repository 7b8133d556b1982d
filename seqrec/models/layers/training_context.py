"""One training step as a model sees it: keys for its random draws, and a place to record its batch moments."""

import zlib

import tensorflow as tf


class TrainingContext:
    """Keys and moments of one training step. Make a new one for each step, inside the traced function.

    Args:
        seed: seed of the run.
        step: int64 [], the global step; it must never repeat in a run.
        stream_ids: int32 [S], the global number of each stream in this worker's share.
    """

    def __init__(self, seed: int, step: tf.Tensor, stream_ids: tf.Tensor) -> None:
        self.seed = seed
        self.step = tf.cast(step, tf.int64)
        self.stream_ids = tf.convert_to_tensor(stream_ids, tf.int32)
        self.num_streams = self.stream_ids.shape[0]
        assert self.num_streams is not None, "the number of streams must be known when tracing"
        self._moments: list[tf.Tensor] = []

    def keys(self, place: str) -> tf.Tensor:
        """int64 [S, 2]: a seed for tf.random.stateless_* for each stream, unlike that of any other place or step."""
        run = (self.seed * 2**32 + zlib.crc32(place.encode())) % 2**63
        stream = self.step * 2**20 + tf.cast(self.stream_ids, tf.int64)
        return tf.stack([tf.fill(tf.shape(stream), tf.constant(run, tf.int64)), stream], axis=1)

    def shared_key(self, place: str) -> tf.Tensor:
        """int64 [2]: a seed that all streams share, unlike that of any other place or step."""
        run = (self.seed * 2**32 + zlib.crc32(place.encode())) % 2**63
        return tf.stack([tf.constant(run, tf.int64), self.step])

    def record(self, mean: tf.Tensor, variance: tf.Tensor) -> None:
        """Notes the moments of one batch norm, each float32 [S, C]. Call it in the model's fixed order."""
        self._moments += [tf.stop_gradient(mean), tf.stop_gradient(variance)]

    def moments(self) -> tf.Tensor:
        """float32 [S, M]: everything recorded, side by side; M is 0 for a model without batch norm."""
        if not self._moments:
            return tf.zeros([self.num_streams, 0])
        return tf.concat(self._moments, axis=1)


def draw_words(shape: list, key: tf.Tensor) -> tf.Tensor:
    """Random bits, int32 of `shape`; the same in a step that is compiled and in one that is not.

    Args:
        key: int64 [2], a row of `TrainingContext.keys`.
    """
    return tf.random.stateless_uniform(shape, key, minval=None, maxval=None, dtype=tf.int32, alg="philox")


def draw_uniform(shape: list, key: tf.Tensor) -> tf.Tensor:
    """float64 of `shape` in [0, 1), the same in a step that is compiled and in one that is not.

    They are those of tf.random.stateless_uniform, made from random bits as it does: compiled, it would give others.
    """
    words = draw_words([*shape, 2], key)
    low = tf.cast(words[..., 1], tf.float64)
    high = tf.cast(tf.bitwise.bitwise_and(words[..., 0], 0xFFFFF), tf.float64)
    low = tf.where(low < 0.0, low + 2.0**32, low)
    return (high * 2.0**32 + low) * 2.0**-52
