"""Causal self-attention: every event is compared with itself and the earlier events of its run.

The legend is in `contract.py`; B runs and K places in a bucket, H heads.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from seqrec.core.batch import EventRuns
from seqrec.models.layers.attention.length_buckets import Bucket, LengthBuckets, length_buckets
from seqrec.models.layers.dense import Dense
from seqrec.models.layers.dropout import dropout
from seqrec.models.layers.initializers import Initializer
from seqrec.models.layers.packing import PackedEvents, pack_events, take_packed
from seqrec.models.layers.training_context import TrainingContext

_FUTURE = -1e9  # Logit of an event that must not be seen; its weight is exactly 0.
_NUM_GAPS = 64  # Time gaps are counted in half octaves of seconds: 20 years are number 58.


@dataclass(frozen=True, kw_only=True)
class AttentionSettings:
    """Settings of `CausalAttention`."""

    width: int  # D, width of an event, and of all heads together.
    num_heads: int
    max_length: int  # Longest run.
    absent_events: bool  # Fill runs up to `max_length` with events whose logit and value are 0.
    absent_from_end: bool  # All events of a run have as many absent ones as its last; else each as if it were the last.
    distance_bias: bool  # Learn a term of the logits per head and number of events in between.
    time_bias: bool  # Learn a term of the logits per head and time in between, as HSTU does.
    dropout: float  # Share of the attention weights that is dropped.
    is_uniform: bool  # Draw kernels uniformly within Glorot's limit, else from the initializer's normal.
    mixed_precision: bool


class PackedRuns(NamedTuple):
    """The events of runs, packed and in buckets of similar length."""

    events: PackedEvents
    buckets: LengthBuckets
    times: tf.Tensor  # float32 [P, 1], seconds from the first event of the run to each event.


def pack_runs(runs: EventRuns, max_length: int) -> PackedRuns:
    """Packs the events of runs of at most `max_length` events."""
    events = pack_events(runs.length, None)
    times = take_packed(tf.cumsum(runs.seconds_from_previous, axis=2), events)
    return PackedRuns(events, length_buckets(runs.length, events, max_length), times[:, None])


class CausalAttention(tf.Module):
    """Returns for each event a mean of the values of its run up to it, weighted by a softmax of products.

    With `absent_events` the weights of a run that is shorter than `max_length` sum to less than 1. The original SASRec
    computes just that: it pads runs with zeros and does not hide the padding.

    Keys and values have no bias. A key's would move all logits of an event alike, those of absent events included, and
    a value's would act like the bias of the output.
    """

    def __init__(self, name: str, settings: AttentionSettings, initializer: Initializer) -> None:
        super().__init__(None)
        assert settings.width % settings.num_heads == 0, "the heads share the width evenly"
        self._name, self._settings = name, settings
        width, num_heads = settings.width, settings.num_heads

        def dense(part: str, limit: float, has_bias: bool) -> Dense:
            limit_or_normal = limit if settings.is_uniform else None
            mixed = settings.mixed_precision
            return Dense(f"{name}/{part}", width, width, initializer, limit_or_normal, has_bias, mixed)

        joint_limit = math.sqrt(6.0 / (4 * width))  # Query, key and value count as one kernel [D, 3 D].
        self.query = dense("query", joint_limit, has_bias=True)
        self.key = dense("key", joint_limit, has_bias=False)
        self.value = dense("value", joint_limit, has_bias=False)
        self.output = dense("output", math.sqrt(6.0 / (2 * width)), has_bias=True)
        self.distance = self.time = None
        if settings.distance_bias:
            self.distance = initializer.constant(f"{name}/distance_bias", (num_heads, settings.max_length), 0.0)
        if settings.time_bias:
            self.time = initializer.constant(f"{name}/time_bias", (num_heads, _NUM_GAPS), 0.0)

    def __call__(
        self, queries: tf.Tensor, x: tf.Tensor, runs: PackedRuns, training: TrainingContext | None
    ) -> tf.Tensor:
        """Returns float32 [P, D].

        Args:
            queries: float32 [P, D], what queries are made from.
            x: float32 [P, D], what keys and values are made from.
        """
        packed = tf.concat([self.query(queries), self.key(x), self.value(x)], axis=1)
        buckets = runs.buckets.buckets
        times = runs.buckets.spread(runs.times) if self.time is not None else [None] * len(buckets)
        parts = [
            self._attend(bucket, cells, seconds, training)
            for bucket, cells, seconds in zip(buckets, runs.buckets.spread(packed), times, strict=True)
        ]
        return self.output(runs.buckets.collect(parts))

    def _attend(
        self, bucket: Bucket, cells: tf.Tensor, seconds: tf.Tensor | None, training: TrainingContext | None
    ) -> tf.Tensor:
        """Returns [B, K, D] for the queries, keys and values [B, K, 3 D] and times [B, K, 1] of a bucket's events.

        Padding stands at the end of a run, so that it is in the future of every event.
        """
        num_heads, width, length = self._settings.num_heads, self._settings.width, bucket.width
        split = tf.reshape(cells, [-1, length, 3, num_heads, width // num_heads])
        query, key, value = tf.unstack(tf.transpose(split, [2, 0, 3, 1, 4]))  # [B, H, K, D / H]
        logits = tf.matmul(query, key, transpose_b=True) / math.sqrt(width // num_heads)
        if self.distance is not None:
            distance = np.maximum(np.arange(length)[:, None] - np.arange(length), 0)
            logits += tf.gather(self.distance, distance, axis=1)
        if self.time is not None:
            gaps = gap_numbers(seconds - tf.transpose(seconds, [0, 2, 1]))  # [B, K, K]
            logits += tf.transpose(tf.gather(self.time, gaps, axis=1), [1, 0, 2, 3])
        logits += np.triu(np.full([length, length], _FUTURE, np.float32), 1)
        weights = softmax_beside_absent(logits, self._num_absent(bucket))
        place = f"{self._name}/dropout_{length}"
        num_per_stream = bucket.num_per_stream * (num_heads * length * length)
        weights = dropout(weights, self._settings.dropout, place, num_per_stream, training)
        return tf.reshape(tf.transpose(tf.matmul(weights, value), [0, 2, 1, 3]), [-1, length, width])

    def _num_absent(self, bucket: Bucket) -> tf.Tensor | None:
        """Returns int32 [B, 1, 1, 1] or [1, 1, K, 1], the absent events that each event sees; None for none."""
        if not self._settings.absent_events:
            return None
        seen = bucket.length[:, None, None, None]
        if not self._settings.absent_from_end:
            seen = tf.range(1, bucket.width + 1)[None, None, :, None]
        return self._settings.max_length - seen


def gap_numbers(seconds: tf.Tensor) -> tf.Tensor:
    """Returns int32, a number from 0 to 63 for times of any length: twice the base-2 logarithm of 1 + seconds."""
    halves = 2.0 / math.log(2.0) * tf.math.log1p(tf.maximum(seconds, 0.0))
    return tf.minimum(tf.cast(halves, tf.int32), _NUM_GAPS - 1)


def softmax_beside_absent(logits: tf.Tensor, num_absent: tf.Tensor | None) -> tf.Tensor:
    """Returns the softmax over the last axis of logits [B, H, K, K] and `num_absent` more logits of 0.

    Args:
        num_absent: int32 [B or 1, 1, K or 1, 1], the number of logits of 0, whose weights are not returned; None is
            none.
    """
    if num_absent is None:
        return tf.nn.softmax(logits)
    num_absent = tf.cast(num_absent, tf.float32)
    largest = tf.stop_gradient(tf.reduce_max(logits, axis=-1, keepdims=True))
    largest = tf.where(num_absent > 0.0, tf.maximum(largest, 0.0), largest)
    powers = tf.exp(logits - largest)
    absent = tf.where(num_absent > 0.0, num_absent * tf.exp(-largest), 0.0)
    return powers / (tf.reduce_sum(powers, axis=-1, keepdims=True) + absent)
