import numpy as np
import pytest
import tensorflow as tf

from seqrec.training.objectives.item_draws import ItemDraws, Shares

COUNTS = np.array([0, 16, 4, 1, 9])
TARGETS = tf.constant([2, 2, 2, 4])
KEY = tf.constant([1, 2], tf.int64)


@pytest.mark.parametrize(
    ("shares", "probability"),
    [
        pytest.param(Shares(1.0, 0.0, 0.0), [0.25, 0.25, 0.25, 0.25], id="uniform"),
        pytest.param(Shares(0.0, 1.0, 0.0), [0.4, 0.2, 0.1, 0.3], id="popularity"),
        pytest.param(Shares(0.0, 0.0, 1.0), [0.0, 0.75, 0.0, 0.25], id="in batch"),
        pytest.param(Shares(0.2, 0.5, 0.3), [0.25, 0.375, 0.1, 0.275], id="mixture"),
    ],
)
def test_items_are_drawn_as_likely_as_is_said(shares, probability):
    draws = ItemDraws(shares, COUNTS, exponent=0.5)

    items = draws.draw([300, 100], TARGETS, KEY)

    found = np.bincount(items.numpy().ravel(), minlength=5)[1:] / 30_000
    np.testing.assert_allclose(found, probability, atol=0.012)
    likely = tf.constant([item for item in range(1, 5) if probability[item - 1]])
    stated = np.exp(draws.log_probability(likely, TARGETS))
    np.testing.assert_allclose(stated, [p for p in probability if p], rtol=1e-5)


def test_draws_repeat_with_the_key():
    draws = ItemDraws(Shares(0.2, 0.5, 0.3), COUNTS, 1.0)

    first, again = (draws.draw([50], TARGETS, KEY) for _ in range(2))

    np.testing.assert_array_equal(first, again)
    assert (first.numpy() != draws.draw([50], TARGETS, KEY + 1).numpy()).any()
