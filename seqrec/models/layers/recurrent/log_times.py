"""Computes the times of events as the reference reads them: logarithms of days, from differences in seconds."""

import tensorflow as tf

from seqrec.core.batch import History
from seqrec.core.columns import SECONDS_PER_DAY

_SHORTEST_DAYS = 0.5  # Times of day are unknown, so anything shorter counts as half a day.


def log_days(seconds: tf.Tensor) -> tf.Tensor:
    """Returns ln max(days, 0.5), which is finite for any difference from 0 to 20 years and beyond."""
    return tf.math.log(tf.maximum(seconds / float(SECONDS_PER_DAY), _SHORTEST_DAYS))


def log_days_to_target(history: History) -> tf.Tensor:
    """Returns float32 [S, B, L]: from each event to the target; 0 at padding, as in the reference."""
    return tf.where(_is_real(history), log_days(history.seconds_to_target), 0.0)


def log_days_from_first(history: History) -> tf.Tensor:
    """Returns float32 [S, B, L]: from the user's first event to the event *after* each; 0 at padding.

    After the last event comes the target. This shift by one event is that of the reference.
    """
    place = tf.range(tf.shape(history.items)[2])
    is_last = place == history.length[:, :, None] - 1
    to_next = tf.pad(history.seconds_from_first[:, :, 1:], [[0, 0], [0, 0], [0, 1]])
    to_target = history.seconds_to_target + history.seconds_from_first
    return tf.where(_is_real(history), log_days(tf.where(is_last, to_target, to_next)), 0.0)


def log_days_of_last_event(history: History, padded_length: int | None) -> tf.Tensor:
    """Returns float32 [S, B]: from the last real event to the target; 0 for an empty history.

    With `padded_length` (the reference) it is the value of column `padded_length`, so 0 for every shorter history.
    """
    last = tf.maximum(history.length - 1, 0)
    seconds = tf.gather(history.seconds_to_target, last, batch_dims=2)
    counts = history.length >= (1 if padded_length is None else padded_length)
    return tf.where(counts, log_days(seconds), 0.0)


def _is_real(history: History) -> tf.Tensor:
    return tf.sequence_mask(history.length, tf.shape(history.items)[2])
