"""The order in which a recurrent layer reads packed events: by time, with the longest history first.

At step t only the histories longer than t are left, and these are always the first ones. So the batch shrinks from step
to step, and no padding is ever multiplied.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from seqrec.models.layers.fixed_shapes import fixed_shapes
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
    shapes = fixed_shapes()
    if shapes is not None:
        return _all_at_every_step(length.shape[0], shapes.padded_length)
    by_rank = tf.argsort(length, direction="DESCENDING", stable=True)  # [R]
    rank = tf.math.invert_permutation(by_rank)
    steps = tf.range(padded_length)
    num_left = tf.reduce_sum(tf.cast(length[None, :] > steps[:, None], tf.int32), axis=1)  # [L]
    starts = tf.concat([[0], tf.cumsum(num_left)], axis=0)
    position = tf.repeat(steps, num_left)
    ranked = tf.range(tf.size(position)) - tf.gather(starts, position)
    place = starts[None, :-1] + rank[:, None]
    return TimeOrder(tf.gather(by_rank, ranked), position, starts, rank, place)


def _all_at_every_step(num_rows: int, num_steps: int) -> TimeOrder:
    """Returns the order in which every history takes part in every step, in its own order: all shapes are fixed.

    What a history gives after its last event belongs to no event; `in_packed_order` leaves it out.
    """
    row, step = np.arange(num_rows, dtype=np.int32), np.arange(num_steps, dtype=np.int32)
    return TimeOrder(
        row=tf.constant(np.tile(row, num_steps)),
        position=tf.constant(np.repeat(step, num_rows)),
        starts=tf.constant(np.arange(num_steps + 1, dtype=np.int32) * num_rows),
        rank=tf.constant(row),
        place=tf.constant(step[None, :] * num_rows + row[:, None]),
    )


def packed_place(order: TimeOrder, events: PackedEvents) -> tf.Tensor:
    """Returns int32 [P]: for each event in time order, its place among the packed events."""
    place = tf.gather(events.row_start, order.row) + order.position
    return place if fixed_shapes() is None else tf.minimum(place, tf.size(events.row) - 1)


def in_packed_order(values: tf.Tensor, order: TimeOrder, events: PackedEvents) -> tf.Tensor:
    """Returns values [P, C], given in time order, in the order of the packed events; zeros for a padding event."""
    padded_length = tf.shape(order.place)[1]
    position = tf.minimum(events.position, padded_length - 1)
    place = tf.gather_nd(order.place, tf.stack([events.row, position], axis=1))
    place = tf.where(events.is_real > 0.0, place, tf.shape(values)[0])
    return tf.gather(tf.pad(values, [[0, 1], [0, 0]]), place)


class Steps:
    """The steps of a recurrence over events in time order, and what a loop over them slices and collects.

    `starts` is that of `TimeOrder`. Where it is a constant (fixed shapes), so is every shape in the loop.
    """

    def __init__(self, starts: tf.Tensor) -> None:
        self._starts = starts
        self._num_rows = _rows_of_every_step(tf.get_static_value(starts))
        # Steps that have at least one event, at least 1.
        self.count: tf.Tensor | int = starts.shape[0] - 1
        if self._num_rows is None:
            self.count = tf.maximum(tf.reduce_sum(tf.cast(starts[1:] > starts[:-1], tf.int32)), 1)

    def state_shape(self, width: int) -> tf.TensorShape:
        """The shape of a state of the loop."""
        return tf.TensorShape([self._num_rows, width])

    def first_state(self, width: int) -> tf.Tensor:
        """Zeros for the rows of the first step."""
        return tf.zeros([self._starts[1] if self._num_rows is None else self._num_rows, width])

    def after_last(self, width: int) -> tf.Tensor:
        """What comes back from the step after the last one: nothing."""
        return tf.zeros([self._num_rows or 0, width])

    def take(self, values: tf.Tensor, t: tf.Tensor) -> tf.Tensor:
        """The rows of values [P, C] that belong to step t."""
        if self._num_rows is None:
            return values[self._starts[t] : self._starts[t + 1]]
        return tf.slice(values, [t * self._num_rows, 0], [self._num_rows, values.shape[1]])

    def shrink(self, state: tf.Tensor, t: tf.Tensor) -> tf.Tensor:
        """The state of the step before, of the rows that take part in step t."""
        return state if self._num_rows is not None else state[: self._starts[t + 1] - self._starts[t]]

    def grow(self, carried: tf.Tensor, t: tf.Tensor) -> tf.Tensor:
        """What comes back from step t + 1, with zeros for the rows of step t that took no part in it."""
        if self._num_rows is not None:
            return carried
        num_rows = self._starts[t + 1] - self._starts[t]
        return tf.pad(carried, [[0, num_rows - tf.shape(carried)[0]], [0, 0]])

    def array(self, width: int) -> tf.TensorArray:
        """An array for the results of all steps."""
        shape = [self._num_rows, width]
        return tf.TensorArray(tf.float32, self.count, infer_shape=False, element_shape=shape)

    def joined(self, array: tf.TensorArray, width: int) -> tf.Tensor:
        """The results of all steps, [P, width]."""
        return array.concat() if self._num_rows is None else tf.reshape(array.stack(), [-1, width])

    def place_before(self, num_events: tf.Tensor) -> tf.Tensor:
        """Returns int32 [P]: the place of the event before each event in the same history; P for a first event."""
        if self._num_rows is not None:
            places = np.arange(self._num_rows * self.count, dtype=np.int32)
            return tf.constant(np.where(places < self._num_rows, len(places), places - self._num_rows).astype(np.int32))
        sizes = self._starts[1:] - self._starts[:-1]
        earlier = tf.concat([[0], sizes[:-1]], axis=0)
        events = tf.range(num_events)
        return tf.where(events < self._starts[1], num_events, events - tf.repeat(earlier, sizes))


def _rows_of_every_step(starts: np.ndarray | None) -> int | None:
    """The number of rows that take part in each step, if that is a constant and the same for all."""
    if starts is None or len(set(np.diff(starts))) != 1 or starts[1] == 0:
        return None
    return int(starts[1])


def take_or_zeros(values: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    """Returns the rows at `place`; zeros for a place after the last row."""
    return tf.gather(tf.pad(values, [[0, 1], [0, 0]]), place)
