"""Packs real events side by side, without padding between them.

Most histories are far shorter than the longest, so work on events is done on the P packed ones. Where the
reference lets padding take part, a history has one more packed event. It stands for all its padding and has the number
of padded places as its weight. This is exact, since the padded events of a history are all equal.
"""

from typing import NamedTuple

import tensorflow as tf


class PackedEvents(NamedTuple):
    """Events of R = S * B histories, ordered by history, then by time. So the events of a stream are contiguous."""

    row: tf.Tensor  # int32 [P], number of the history of each event, from 0 to R - 1.
    position: tf.Tensor  # int32 [P], place of each event in its history; for the padding event the length.
    weight: tf.Tensor  # float32 [P], number of events that each one stands for; 1 for a real event.
    is_real: tf.Tensor  # float32 [P], 1 for a real event and 0 for padding.
    stream: tf.Tensor  # int32 [P], local number of the stream of each event.
    num_per_stream: tf.Tensor  # int32 [S], number of packed events of each stream.
    row_start: tf.Tensor  # int32 [R], place in P of the first event of each history.


def pack_events(length: tf.Tensor, padded_length: int | None) -> PackedEvents:
    """Lists the events of histories of given lengths.

    Args:
        length: int32 [S, B], number of real events of each history.
        padded_length: number of events to which the reference pads if padding takes part, else None.
    """
    num_streams, batch = length.shape[0], tf.shape(length)[1]
    flat = tf.reshape(length, [-1])
    listed = flat if padded_length is None else flat + 1
    row = tf.repeat(tf.range(tf.size(flat)), listed)
    row_start = tf.cumsum(listed, exclusive=True)
    position = tf.range(tf.size(row)) - tf.gather(row_start, row)
    own_length = tf.gather(flat, row)
    is_real = tf.cast(position < own_length, tf.float32)
    padding = tf.zeros_like(is_real) if padded_length is None else tf.cast(padded_length - own_length, tf.float32)
    return PackedEvents(
        row=row,
        position=position,
        weight=is_real + (1.0 - is_real) * padding,
        is_real=is_real,
        stream=row // batch,
        row_start=row_start,
        num_per_stream=tf.ensure_shape(tf.reduce_sum(tf.reshape(listed, [num_streams, -1]), axis=1), [num_streams]),
    )


def take_packed(values: tf.Tensor, events: PackedEvents) -> tf.Tensor:
    """Returns [P] packed values of dense values [S, B, L]; 0 for a padding event."""
    padded_length = tf.shape(values)[2]
    flat = tf.reshape(values, [-1])
    is_real = tf.cast(events.is_real, values.dtype)
    slot = tf.cast(is_real, tf.int32) * (events.row * padded_length + events.position)
    return tf.gather(flat, slot) * is_real


def padded_place(events: PackedEvents, num_positions: tf.Tensor) -> tf.Tensor:
    """Returns int32 [R, num_positions]: the place in P of a history's event at each position; P if there is none."""
    num_events = tf.size(events.row)
    ends = tf.concat([events.row_start[1:], [num_events]], axis=0)
    place = events.row_start[:, None] + tf.range(num_positions)
    return tf.where(place < ends[:, None], place, num_events)


def sum_by_row(values: tf.Tensor, row: tf.Tensor, num_rows: tf.Tensor) -> tf.Tensor:
    """Returns [R, ...]: the sum of values [P, ...] over the events of each history.

    Its gradient is a plain gather. TensorFlow's own checks every element for negative row numbers, which never occur
    here.
    """

    @tf.custom_gradient
    def add_up(values: tf.Tensor) -> tuple:
        return tf.math.unsorted_segment_sum(values, row, num_rows), lambda upstream: tf.gather(upstream, row)

    return add_up(values)


def softmax_by_row(scores: tf.Tensor, weight: tf.Tensor, row: tf.Tensor, num_rows: tf.Tensor) -> tf.Tensor:
    """Returns the softmax over the events of each history, where an event of weight w counts w times.

    The result is 0 for every event of a history without any weight.

    Args:
        scores: float32 [P, ...].
        weight: float32 [P], 0 for an event that must not count.
    Returns: float32 [P, ...], multiplied by the weights, so that a history sums to 1.
    """
    shape = tf.concat([tf.shape(weight), tf.ones([tf.rank(scores) - 1], tf.int32)], axis=0)
    weight = tf.reshape(weight, shape)
    counted = tf.where(weight > 0.0, scores, scores.dtype.min)
    highest = tf.gather(tf.math.unsorted_segment_max(counted, row, num_rows), row)
    raised = weight * tf.exp(tf.minimum(scores - tf.stop_gradient(highest), 0.0))
    total = tf.gather(sum_by_row(raised, row, num_rows), row)
    return tf.math.divide_no_nan(raised, total)
