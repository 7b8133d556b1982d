import numpy as np
import pytest
import tensorflow as tf

from seqrec.models.layers.attention.causal_attention import gap_numbers, softmax_beside_absent


def test_gap_numbers_grow_with_the_time_from_none_to_decades():
    times = np.array([-1.0, 0.0, 1.0, 60.0, 3600.0, 86_400.0, 7 * 86_400.0, 365 * 86_400.0, 20 * 365 * 86_400.0, 1e30])

    numbers = gap_numbers(tf.constant(times, tf.float32)).numpy()

    np.testing.assert_array_equal(numbers, [0, 0, 2, 11, 23, 32, 38, 49, 58, 63])


@pytest.mark.parametrize("height", [0.0, 50.0, -50.0, -500.0])
def test_softmax_beside_absent_counts_logits_of_zero(height):
    rng = np.random.default_rng(1)
    logits = (rng.normal(size=[3, 2, 4, 4]) + height).astype(np.float32)
    num_absent = np.array([0, 1, 5])

    weights = softmax_beside_absent(tf.constant(logits), tf.constant(num_absent[:, None, None, None]))

    powers = np.exp(logits.astype(np.longdouble))
    expected = powers / (powers.sum(axis=-1, keepdims=True) + num_absent[:, None, None, None])
    np.testing.assert_allclose(weights, expected, rtol=1e-4, atol=1e-7)


def test_softmax_beside_no_absent_event_sums_to_one():
    weights = softmax_beside_absent(tf.constant(np.random.default_rng(1).normal(size=[2, 1, 3, 3])), None)

    np.testing.assert_allclose(tf.reduce_sum(weights, axis=-1), 1.0)
