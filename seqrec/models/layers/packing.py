"""Real events side by side, without padding between them.

Most histories are far shorter than the longest, so work on events is done on the P packed ones. Where the
reference lets padding take part, a history has one more packed event that stands for all its padding and counts
as often as there is padding: exact, since padded events of one history are all alike.
"""

from typing import NamedTuple

import tensorflow as tf


class PackedEvents(NamedTuple):
    """Events of R = S * B histories in order of history, then time; so a stream's events lie together."""

    row: tf.Tensor  # int32 [P], the history of each event, in 0 .. R - 1.
    position: tf.Tensor  # int32 [P], the event's place in its history; the length for the padding event.
    weight: tf.Tensor  # float32 [P], how many events this one stands for: 1 if real, the padding's number if not.
    is_real: tf.Tensor  # float32 [P], 1 for a real event and 0 for padding.
    stream: tf.Tensor  # int32 [P], local number of the stream.
    num_per_stream: tf.Tensor  # int32 [S], packed events of each stream.
    row_start: tf.Tensor  # int32 [R], where each history's first event lies in P.


def pack_events(length: tf.Tensor, padded_length: int | None) -> PackedEvents:
    """Lists the events of histories.

    Args:
        length: int32 [S, B], real events of each history.
        padded_length: number of events to which the reference pads, if padding is to take part, else None.
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
    """[P] of dense [S, B, L] values; 0 for a padding event."""
    padded_length = tf.shape(values)[2]
    flat = tf.reshape(values, [-1])
    is_real = tf.cast(events.is_real, values.dtype)
    slot = tf.cast(is_real, tf.int32) * (events.row * padded_length + events.position)
    return tf.gather(flat, slot) * is_real


def padded_place(events: PackedEvents, num_positions: tf.Tensor) -> tf.Tensor:
    """int32 [R, num_positions]: where each history's event at a position lies in P; P where there is none."""
    num_events = tf.size(events.row)
    ends = tf.concat([events.row_start[1:], [num_events]], axis=0)
    place = events.row_start[:, None] + tf.range(num_positions)
    return tf.where(place < ends[:, None], place, num_events)


def sum_by_row(values: tf.Tensor, row: tf.Tensor, num_rows: tf.Tensor) -> tf.Tensor:
    """[R, ...]: the sum of [P, ...] values over each history's events.

    Its gradient is a plain gather; TensorFlow's own looks at every element for negative row numbers, of which there
    are none here.
    """

    @tf.custom_gradient
    def add_up(values: tf.Tensor) -> tuple:
        return tf.math.unsorted_segment_sum(values, row, num_rows), lambda upstream: tf.gather(upstream, row)

    return add_up(values)


def softmax_by_row(scores: tf.Tensor, weight: tf.Tensor, row: tf.Tensor, num_rows: tf.Tensor) -> tf.Tensor:
    """Softmax over each history's events, an event of weight w counting w times; all 0 where nothing counts.

    Args:
        scores: float32 [P, ...].
        weight: float32 [P], 0 for an event that must not count.
    Returns: float32 [P, ...], weights included: they sum to 1 within a history.
    """
    shape = tf.concat([tf.shape(weight), tf.ones([tf.rank(scores) - 1], tf.int32)], axis=0)
    weight = tf.reshape(weight, shape)
    counted = tf.where(weight > 0.0, scores, scores.dtype.min)
    highest = tf.gather(tf.math.unsorted_segment_max(counted, row, num_rows), row)
    raised = weight * tf.exp(tf.minimum(scores - tf.stop_gradient(highest), 0.0))
    total = tf.gather(sum_by_row(raised, row, num_rows), row)
    return tf.math.divide_no_nan(raised, total)
