import numpy as np
import pytest
import tensorflow as tf

from seqrec.core.batch import CatalogueBatch, History
from seqrec.evaluation.importance.permuted import CATEGORY, ORDER, TIME, inputs_of, permuted, permuted_batch
from tests.models.layers.test_item_features import model_with
from tests.models.random_batches import NUM_ITEMS, random_history

ALL = tf.range(NUM_ITEMS + 1)


def rng(seed=1):
    return np.random.default_rng(seed)


def batch_of(history):
    zeros = np.zeros(history.length.shape, np.int32)
    return CatalogueBatch(history, zeros, zeros[..., None])


def test_every_feature_and_category_order_and_times_can_be_permuted():
    assert inputs_of(model_with()) == ["colour", "size", CATEGORY, ORDER, TIME]
    assert inputs_of(model_with(features="none", category_dim=0)) == [ORDER, TIME]


@pytest.mark.parametrize("name", ["colour", "size"])
def test_a_permuted_feature_is_that_of_other_items_and_the_rest_stays(name):
    model = model_with()
    model.embedding.features.table.assign(tf.where(tf.range(9)[:, None] == 0, 0.0, model.embedding.features.table))
    other = "size" if name == "colour" else "colour"
    table, before = model.embedding.features.table.numpy(), model.embedding(ALL).numpy()

    def shares():
        """What each feature adds to the vectors, [items, D]."""
        added = {}
        for block in model.embedding.features.blocks:
            own = np.where((np.arange(9) >= block.start) & (np.arange(9) < block.end), 1.0, 0.0)[:, None] * table
            model.embedding.features.table.assign(own)
            added[block.name] = model.embedding.features(ALL).numpy()
        model.embedding.features.table.assign(table)
        return added

    given = shares()
    with permuted(model, name, rng()):
        dealt = shares()
        assert model.embedding.trained_items().shape[0] == 12

    np.testing.assert_allclose(dealt[other], given[other], atol=1e-6)
    assert np.abs(dealt[name] - given[name]).max() > 0.01
    assert np.allclose(np.sort(dealt[name][1:], axis=0), np.sort(given[name][1:], axis=0), atol=1e-6)
    assert np.array_equal(model.embedding(ALL).numpy(), before)


def test_a_permuted_category_is_that_of_other_items():
    model = model_with(features="none")
    before = model.embedding(ALL).numpy()
    with permuted(model, CATEGORY, rng()):
        dealt = model.embedding(ALL).numpy()

    assert np.array_equal(dealt[:, :5], before[:, :5])
    assert not np.array_equal(dealt[:, 5:], before[:, 5:])
    assert np.array_equal(model.embedding(ALL), before)


def test_the_order_is_shuffled_within_a_history_and_times_stay():
    history = random_history(rng(3), 1, 20, 6)

    dealt = permuted_batch(batch_of(history), ORDER, rng()).history

    assert not np.array_equal(dealt.items, history.items)
    assert np.array_equal(np.sort(dealt.items, axis=2), np.sort(history.items, axis=2))
    assert np.array_equal(dealt.items == 0, history.items == 0)
    assert np.array_equal(dealt.seconds_to_target, history.seconds_to_target)


def test_the_gaps_are_shuffled_within_a_history_and_their_sum_stays():
    history = random_history(rng(3), 1, 20, 6, lengths=5)

    dealt = permuted_batch(batch_of(history), TIME, rng()).history

    def gaps(of):
        return np.sort(-np.diff(of.seconds_to_target[..., :5], axis=2, append=0.0), axis=2)

    np.testing.assert_allclose(gaps(dealt), gaps(history))
    assert not np.array_equal(dealt.seconds_to_target, history.seconds_to_target)
    assert np.array_equal(dealt.items, history.items)
    np.testing.assert_allclose(dealt.seconds_from_first[..., 0], history.seconds_from_first[..., 0])
    together = dealt.seconds_from_first + dealt.seconds_to_target
    np.testing.assert_allclose(together[..., :5], (history.seconds_from_first + history.seconds_to_target)[..., :5])
    assert isinstance(dealt, History)
