import numpy as np
import pytest
import tensorflow as tf

from seqrec.scoring.top_items import top_items
from tests.models.random_batches import as_tensors, random_history, random_model


def encoded(name="sli_rec"):
    model = random_model(name)
    return model, model.encode(as_tensors(random_history(np.random.default_rng(1), 2, 3, 5)))


@pytest.mark.parametrize("block_size", [1, 4, 5, 100])
def test_top_items_equal_a_full_sort(block_size):
    model, state = encoded()
    catalogue = np.random.default_rng(2).permutation(np.arange(1, 16)).astype(np.int32)

    best = top_items(model, state, catalogue, k=4, block_size=block_size)

    scores = model.score(state, tf.constant(catalogue)).numpy()
    order = np.argsort(-scores, axis=2, kind="stable")[..., :4]
    np.testing.assert_array_equal(best.items, catalogue[order])
    np.testing.assert_allclose(best.scores, np.take_along_axis(scores, order, axis=2), atol=1e-5)


def test_top_items_leave_excluded_items_out():
    model, state = encoded()
    excluded = np.zeros([2, 3, 2], np.int32)
    excluded[0, 1] = [3, 7]

    best = top_items(model, state, np.arange(1, 9, dtype=np.int32), k=8, block_size=3, excluded_items=excluded)

    assert set(best.items[0, 1].numpy()) == {0, 1, 2, 4, 5, 6, 8}
    assert set(best.items[0, 0].numpy()) == set(range(1, 9))


def test_top_items_fill_up_with_zeros():
    model, state = encoded()

    best = top_items(model, state, np.array([5, 6], np.int32), k=4)

    np.testing.assert_array_equal(np.sort(best.items, axis=2)[..., :2], 0)
    np.testing.assert_array_equal(best.items[..., 2:], 0)
    assert (best.scores.numpy()[..., 2:] == np.float32(tf.float32.min)).all()


def test_top_items_work_inside_a_function():
    model, state = encoded("a2svd")
    catalogue = tf.range(1, 16)

    best = tf.function(lambda s: top_items(model, s, catalogue, k=3, block_size=4))(state)

    np.testing.assert_array_equal(best.items, top_items(model, state, catalogue, k=3).items)
