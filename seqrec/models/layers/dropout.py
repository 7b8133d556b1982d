"""Dropout masks that depend only on (seed, step, stream), with one random byte per element."""

import tensorflow as tf

from seqrec.models.layers.training_context import TrainingContext, draw_words

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
        words = draw_words([num_words], keys[stream])
        masks.append(tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:num_elements])
    drawn = masks[0] if len(masks) == 1 else tf.concat(masks, axis=0)
    return drawn < tf.constant(levels, tf.uint8)


def dropout(
    x: tf.Tensor, rate: float, place: str, num_per_stream: tf.Tensor, training: TrainingContext | None
) -> tf.Tensor:
    """Returns x with a share of its elements set to 0 and the others scaled up; x itself in inference.

    Args:
        x: float32, the elements of a stream contiguous.
        place: name of this draw, unlike that of any other in the model.
        num_per_stream: int32 [S], number of elements of x that belong to each stream.
    """
    levels = keep_levels(rate)
    if training is None or levels >= _LEVELS:
        return x
    keep = tf.reshape(keep_mask(training.keys(place), num_per_stream, levels), tf.shape(x))
    return tf.where(keep, x * (_LEVELS / levels), 0.0)
