"""Packs real events side by side, without padding between them.

Most histories are far shorter than the longest, so work on events is done on the P packed ones. Where the
reference lets padding take part, a history has one more packed event. It stands for all its padding and has the number
of padded places as its weight. This is exact, since the padded events of a history are all equal.
"""

from typing import NamedTuple

import tensorflow as tf

from seqrec.models.layers.fixed_shapes import fixed_shapes


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
    shapes = fixed_shapes()
    if shapes is not None:
        return _pack_into_slots(length, padded_length, shapes.slots_per_stream)
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


def _pack_into_slots(length: tf.Tensor, padded_length: int | None, num_slots: int) -> PackedEvents:
    """Does the same as `pack_events`, with `num_slots` places for each stream.

    A place that no event takes belongs to the last history of its stream and has the weight 0.
    """
    num_streams, batch = length.shape
    listed = length if padded_length is None else length + 1
    start = tf.cumsum(listed, axis=1, exclusive=True)  # [S, B]
    slot = tf.tile(tf.range(num_slots)[None, :], [num_streams, 1])  # [S, M]
    history = tf.searchsorted(start + listed, slot, side="right")  # Histories that end at or before the slot.
    is_taken = history < batch
    history = tf.minimum(history, batch - 1)
    position = tf.where(is_taken, slot - tf.gather(start, history, batch_dims=1), 0)
    own_length = tf.gather(length, history, batch_dims=1)
    is_real = tf.cast(is_taken & (position < own_length), tf.float32)
    padding = tf.zeros_like(is_real)
    if padded_length is not None:
        padding = tf.where(is_taken, tf.cast(padded_length - own_length, tf.float32), 0.0)
    stream = tf.repeat(tf.range(num_streams), num_slots)
    return PackedEvents(
        row=tf.reshape(history, [-1]) + batch * stream,
        position=tf.reshape(position, [-1]),
        weight=tf.reshape(is_real + (1.0 - is_real) * padding, [-1]),
        is_real=tf.reshape(is_real, [-1]),
        stream=stream,
        row_start=tf.reshape(start + num_slots * tf.range(num_streams)[:, None], [-1]),
        num_per_stream=tf.fill([num_streams], num_slots),
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


def longest_history(events: PackedEvents) -> tf.Tensor | int:
    """Returns int32 [], at least the largest number of packed events of a history."""
    shapes = fixed_shapes()
    if shapes is not None:
        return shapes.padded_length + 1
    return tf.maximum(tf.reduce_max(events.position), 0) + 1


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
