"""Runs of similar length padded together, so that attention over short runs costs little.

Attention compares all pairs of events of a run, so it needs runs as rows of one width. Most runs are far shorter than
the longest: padded to the longest, nearly all pairs would be padding. The widths are few and fixed when tracing, so
there is one graph with one part per width. The legend is in `contract.py`; C is a number of columns, K the width of a
bucket.
"""

from typing import NamedTuple

import tensorflow as tf

from seqrec.models.layers.fixed_shapes import fixed_shapes
from seqrec.models.layers.packing import PackedEvents

_SHORTEST = 4


class Bucket(NamedTuple):
    """Runs whose length is at most `width`, and more than the width of the bucket before."""

    width: int  # K, the number of places of a run.
    row: tf.Tensor  # int32 [B], number of each run, from 0 to R - 1.
    place: tf.Tensor  # int32 [B, K], place in P of each event of a run; P where there is none.
    length: tf.Tensor  # int32 [B], number of real events of each run.
    num_per_stream: tf.Tensor  # int32 [S], number of runs of each stream.


class LengthBuckets(NamedTuple):
    """All runs with at least one event, in buckets, and the way back to packed events."""

    buckets: tuple[Bucket, ...]
    back: tf.Tensor  # int32 [P], place of each packed event among the places of all buckets in their order.

    def spread(self, values: tf.Tensor) -> list[tf.Tensor]:
        """Returns packed values [P, C] as [B, K, C] for each bucket, with zeros where a run has no event."""
        padded = tf.pad(values, [[0, 1], [0, 0]])
        return [tf.gather(padded, bucket.place) for bucket in self.buckets]

    def collect(self, parts: list[tf.Tensor]) -> tf.Tensor:
        """Returns [P, C] packed values of [B, K, C] for each bucket: the inverse of `spread`."""
        width = parts[0].shape[-1]
        return tf.gather(tf.concat([tf.reshape(part, [-1, width]) for part in parts], axis=0), self.back)


def bucket_widths(max_length: int) -> tuple[int, ...]:
    """Returns widths that double from 4 on, and end in `max_length`."""
    widths, width = [], _SHORTEST
    while 3 * width < 2 * max_length:
        widths.append(width)
        width *= 2
    return (*widths, max_length)


def length_buckets(length: tf.Tensor, events: PackedEvents, max_length: int) -> LengthBuckets:
    """Sorts runs into buckets.

    Args:
        length: int32 [S, B], number of real events of each run, at most `max_length`.
        events: the packed events of these runs, without padding.
    """
    if fixed_shapes() is not None:
        return _one_bucket(length, events, max_length)
    flat = tf.reshape(length, [-1])
    num_streams, num_runs, num_events = length.shape[0], tf.size(flat), tf.size(events.row)
    buckets, first_places, offset, shorter = [], tf.zeros([num_runs], tf.int32), tf.constant(0), 0
    for width in bucket_widths(max_length):
        belongs = (flat > shorter) & (flat <= width)
        row = tf.cast(tf.where(belongs)[:, 0], tf.int32)
        own_length = tf.gather(flat, row)
        place = tf.gather(events.row_start, row)[:, None] + tf.range(width)
        place = tf.where(tf.range(width) < own_length[:, None], place, num_events)
        num_per_stream = tf.reduce_sum(tf.reshape(tf.cast(belongs, tf.int32), [num_streams, -1]), axis=1)
        buckets.append(Bucket(width, row, place, own_length, tf.ensure_shape(num_per_stream, [num_streams])))
        first_places += tf.scatter_nd(row[:, None], offset + width * tf.range(tf.size(row)), [num_runs])
        offset, shorter = offset + width * tf.size(row), width
    return LengthBuckets(tuple(buckets), tf.gather(first_places, events.row) + events.position)


def _one_bucket(length: tf.Tensor, events: PackedEvents, width: int) -> LengthBuckets:
    """Pads all runs to one width: how many runs a narrower bucket would hold is data, and shapes must be fixed."""
    (num_streams, batch), flat = length.shape, tf.reshape(length, [-1])
    place = events.row_start[:, None] + tf.range(width)
    place = tf.where(tf.range(width) < flat[:, None], place, events.row.shape[0])
    bucket = Bucket(width, tf.range(num_streams * batch), place, flat, tf.fill([num_streams], batch))
    return LengthBuckets((bucket,), events.row * width + events.position)
