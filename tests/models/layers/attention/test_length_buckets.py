import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from seqrec.models.layers.attention.length_buckets import bucket_widths, length_buckets
from seqrec.models.layers.packing import pack_events


@pytest.mark.parametrize(
    ("max_length", "widths"), [(1, (1,)), (5, (5,)), (7, (4, 7)), (16, (4, 8, 16)), (50, (4, 8, 16, 32, 50))]
)
def test_bucket_widths_double_and_end_in_the_longest(max_length, widths):
    assert bucket_widths(max_length) == widths


@settings(max_examples=30, deadline=None)
@given(num_streams=st.integers(1, 3), batch=st.integers(1, 6), seed=st.integers(0, 10**6))
def test_buckets_hold_every_event_once_at_its_place(num_streams, batch, seed):
    rng = np.random.default_rng(seed)
    length = rng.integers(0, 21, [num_streams, batch]).astype(np.int32)
    events = pack_events(tf.constant(length), None)
    values = rng.normal(size=[length.sum(), 2]).astype(np.float32)

    buckets = length_buckets(tf.constant(length), events, 20)
    spread = buckets.spread(tf.constant(values))

    np.testing.assert_array_equal(buckets.collect(spread), values)
    starts = np.cumsum(length.ravel()) - length.ravel()
    for bucket, cells in zip(buckets.buckets, spread, strict=True):
        for row, cell in zip(bucket.row.numpy(), cells.numpy(), strict=True):
            own = length.ravel()[row]
            np.testing.assert_array_equal(cell[:own], values[starts[row] : starts[row] + own])
            assert own <= bucket.width
            assert not cell[own:].any()
        np.testing.assert_array_equal(
            bucket.num_per_stream, np.bincount(bucket.row.numpy() // batch, minlength=num_streams)
        )
    assert sorted(np.concatenate([bucket.row for bucket in buckets.buckets])) == list(np.flatnonzero(length))
