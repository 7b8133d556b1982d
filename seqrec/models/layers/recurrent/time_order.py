"""The order in which a recurrent layer reads packed events: by time, with the longest history first.

At step t only the histories longer than t are left, and these are always the first ones. So the batch shrinks from step
to step, and no padding is ever multiplied.
"""

from typing import NamedTuple

import tensorflow as tf

from seqrec.models.layers.packing import PackedEvents


class TimeOrder(NamedTuple):
    """All real events of R histories, ordered by step, then by rank of the history (the longest has rank 0)."""

    row: tf.Tensor  # int32 [P], number of the history of each event.
    position: tf.Tensor  # int32 [P], step t of each event: its place in its history.
    starts: tf.Tensor  # int32 [L + 1], place in P where each step begins; the last value is P.
    rank: tf.Tensor  # int32 [R], rank of each history by length.
    place: tf.Tensor  # int32 [R, L], place in P of each event of a history; any number at padding.


def order_by_time(length: tf.Tensor, padded_length: tf.Tensor | int) -> TimeOrder:
    """Returns the time order of histories of lengths int32 [R]."""
    by_rank = tf.argsort(length, direction="DESCENDING", stable=True)  # [R]
    rank = tf.math.invert_permutation(by_rank)
    steps = tf.range(padded_length)
    num_left = tf.reduce_sum(tf.cast(length[None, :] > steps[:, None], tf.int32), axis=1)  # [L]
    starts = tf.concat([[0], tf.cumsum(num_left)], axis=0)
    position = tf.repeat(steps, num_left)
    ranked = tf.range(tf.size(position)) - tf.gather(starts, position)
    place = starts[None, :-1] + rank[:, None]
    return TimeOrder(tf.gather(by_rank, ranked), position, starts, rank, place)


def packed_place(order: TimeOrder, events: PackedEvents) -> tf.Tensor:
    """Returns int32 [P]: for each event in time order, its place among the packed events."""
    return tf.gather(events.row_start, order.row) + order.position


def in_packed_order(values: tf.Tensor, order: TimeOrder, events: PackedEvents) -> tf.Tensor:
    """Returns values [P, C], given in time order, in the order of the packed events; zeros for a padding event."""
    padded_length = tf.shape(order.place)[1]
    position = tf.minimum(events.position, padded_length - 1)
    place = tf.gather_nd(order.place, tf.stack([events.row, position], axis=1))
    place = tf.where(events.is_real > 0.0, place, tf.shape(values)[0])
    return tf.gather(tf.pad(values, [[0, 1], [0, 0]]), place)


def num_steps_of(starts: tf.Tensor) -> tf.Tensor:
    """Returns the number of steps that have at least one event, at least 1."""
    return tf.maximum(tf.reduce_sum(tf.cast(starts[1:] > starts[:-1], tf.int32)), 1)


def place_before(starts: tf.Tensor, num_events: tf.Tensor) -> tf.Tensor:
    """Returns int32 [P]: the place of the event before each event in the same history; P for a first event."""
    sizes = starts[1:] - starts[:-1]
    earlier = tf.concat([[0], sizes[:-1]], axis=0)
    events = tf.range(num_events)
    return tf.where(events < starts[1], num_events, events - tf.repeat(earlier, sizes))


def take_or_zeros(values: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    """Returns the rows at `place`; zeros for a place after the last row."""
    return tf.gather(tf.pad(values, [[0, 1], [0, 0]]), place)
