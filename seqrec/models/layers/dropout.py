"""Dropout masks that depend only on (seed, step, stream), with one random byte per element."""

import tensorflow as tf

_LEVELS = 256


def keep_levels(rate: float) -> int:
    """Returns how many of the 256 values of a byte keep an element: a rate is rounded to 1/256.

    Outputs must be divided by the share of elements that this number keeps.
    """
    return max(1, round((1.0 - rate) * _LEVELS))


def keep_mask(keys: tf.Tensor, num_per_stream: tf.Tensor, levels: int) -> tf.Tensor:
    """Returns bool [all elements]: True for an element that is kept. The elements of a stream are contiguous.

    Args:
        keys: int64 [S, 2], a seed for each stream.
        num_per_stream: int32 [S], number of elements of each stream.
        levels: number of the 256 values of a byte that keep an element, at most 255.
    """
    masks = []
    for stream in range(keys.shape[0]):
        num_elements = num_per_stream[stream]
        num_words = (num_elements + 3) // 4
        words = tf.random.stateless_uniform([num_words], keys[stream], minval=None, maxval=None, dtype=tf.int32)
        masks.append(tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:num_elements])
    drawn = masks[0] if len(masks) == 1 else tf.concat(masks, axis=0)
    return drawn < tf.constant(levels, tf.uint8)
