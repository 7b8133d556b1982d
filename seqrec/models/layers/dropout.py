"""Dropout masks that depend on (seed, step, stream) alone, from one random byte an element."""

import tensorflow as tf

_LEVELS = 256


def keep_levels(rate: float) -> int:
    """How many of 256 levels keep an element: rates are rounded to 1/256, and outputs scaled by what was drawn."""
    return max(1, round((1.0 - rate) * _LEVELS))


def keep_mask(keys: tf.Tensor, num_per_stream: tf.Tensor, levels: int) -> tf.Tensor:
    """Which elements stay: bool [all elements], each stream's in one piece.

    Args:
        keys: int64 [S, 2], a seed for each stream.
        num_per_stream: int32 [S], how many elements each stream has.
        levels: how many of 256 values of a byte keep an element, at most 255.
    """
    masks = []
    for stream in range(keys.shape[0]):
        num_elements = num_per_stream[stream]
        num_words = (num_elements + 3) // 4
        words = tf.random.stateless_uniform([num_words], keys[stream], minval=None, maxval=None, dtype=tf.int32)
        masks.append(tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:num_elements])
    drawn = masks[0] if len(masks) == 1 else tf.concat(masks, axis=0)
    return drawn < tf.constant(levels, tf.uint8)
