import numpy as np
import pytest
import tensorflow as tf

from seqrec.training.objectives.config import LossConfig
from seqrec.training.objectives.negatives import NegativeSampler
from seqrec.training.objectives.sampled_softmax import softmax_loss
from tests.training.objectives.drawing import context, draw, history_of, shares


def test_draw_in_batch_takes_other_positions_alike():
    targets = [[1, 1, 1, 2, 3, 3]]
    config = LossConfig(num_negatives=20_000)

    negatives = draw(config, [0, 3, 1, 2], targets)

    assert negatives.is_valid.numpy().all()
    np.testing.assert_allclose(shares(negatives.items[0, 0], 3), [0, 0, 1 / 3, 2 / 3], atol=0.02)
    np.testing.assert_allclose(shares(negatives.items[0, 3], 3), [0, 3 / 5, 0, 2 / 5], atol=0.02)


def test_draw_in_batch_stays_within_a_stream():
    targets = [[1, 2, 3, 4], [5, 6, 7, 8]]

    negatives = draw(LossConfig(num_negatives=50), [0] + [1] * 8, targets)

    assert set(np.unique(negatives.items[0])) == {1, 2, 3, 4}
    assert set(np.unique(negatives.items[1])) == {5, 6, 7, 8}


def test_draw_in_batch_of_one_single_item_counts_nothing():
    negatives = draw(LossConfig(num_negatives=3), [0, 4], [[1, 1, 1, 1]])

    loss = softmax_loss(tf.random.normal([1, 4, 4]), negatives)

    assert not negatives.is_valid.numpy().any()
    assert loss.numpy() == 0.0


def test_draw_uniform_takes_all_other_items_alike():
    negatives = draw(LossConfig(num_negatives=40_000, negatives="uniform"), [0, 9, 1, 1, 1], [[2]])

    assert negatives.is_valid.numpy().all()
    np.testing.assert_allclose(shares(negatives.items, 4), [0, 1 / 3, 0, 1 / 3, 1 / 3], atol=0.02)


def test_draw_popularity_follows_the_counts_without_the_target():
    config = LossConfig(num_negatives=40_000, negatives="popularity")

    negatives = draw(config, [0, 6, 5, 3, 1], [[2, 4]])

    np.testing.assert_allclose(shares(negatives.items[0, 0], 4), [0, 0.6, 0, 0.3, 0.1], atol=0.02)
    np.testing.assert_allclose(shares(negatives.items[0, 1], 4), [0, 6 / 14, 5 / 14, 3 / 14, 0], atol=0.02)


def test_draw_popularity_exponent_flattens():
    config = LossConfig(num_negatives=40_000, negatives="popularity", popularity_exponent=0.5)

    negatives = draw(config, [0, 16, 4, 1], [[3]])

    np.testing.assert_allclose(shares(negatives.items, 3), [0, 4 / 6, 2 / 6, 0], atol=0.02)


@pytest.mark.parametrize("negatives", ["in_batch", "uniform", "popularity"])
def test_draw_depends_on_seed_step_and_global_stream_alone(negatives):
    config = LossConfig(num_negatives=6, negatives=negatives)
    counts = [0] + list(range(1, 41))
    targets = np.random.default_rng(3).integers(1, 41, [4, 10])

    together = draw(config, counts, targets, context([0, 1, 2, 3])).items
    apart = draw(config, counts, targets[[1, 3]], context([1, 3])).items

    np.testing.assert_array_equal(together.numpy()[[1, 3]], apart)
    assert (together.numpy() != draw(config, counts, targets, context([0, 1, 2, 3], step=2)).items.numpy()).any()
    assert (together.numpy() != draw(config, counts, targets, context([0, 1, 2, 3], seed=8)).items.numpy()).any()


def test_exclude_own_items_leaves_them_out_of_the_loss():
    history = history_of([[[3, 0], [0, 0]]])
    config = LossConfig(num_negatives=200, negatives="uniform", exclude_own_items=True)

    negatives = draw(config, [0, 1, 1, 1], [[1, 1]], history=history)

    np.testing.assert_array_equal(negatives.is_valid[0, 0], negatives.items[0, 0] != 3)
    assert negatives.is_valid[0, 1].numpy().all()


def test_log_q_is_the_log_of_the_share_of_each_item():
    config = LossConfig(negatives="popularity", correct_log_q=True)

    log_q = NegativeSampler(config, np.array([0, 6, 2])).log_q(tf.constant([1, 2]))

    np.testing.assert_allclose(log_q, np.log([0.75, 0.25]), rtol=1e-6)
    assert NegativeSampler(LossConfig(), np.array([0, 6, 2])).log_q(tf.constant([1])) is None


def test_draw_takes_a_share_from_the_lists_each_item_alike_and_the_rest_as_before():
    config = LossConfig(num_negatives=40_000, negatives="popularity", candidates_share=0.75)
    counts, targets = [0, 6, 5, 3, 1], [[2, 4, 3]]
    listed = [[[3, 1, 0], [1, 0, 0], [0, 0, 0]]]
    plain = draw(LossConfig(num_negatives=40_000, negatives="popularity"), counts, targets)

    negatives = draw(config, counts, targets, listed=listed)

    of_lists, others = negatives.items[:, :, :30_000].numpy(), negatives.items[:, :, 30_000:].numpy()
    np.testing.assert_allclose(shares(of_lists[0, 0], 4), [0, 0.5, 0, 0.5, 0], atol=0.02)
    assert set(np.unique(of_lists[0, 1])) == {1}
    assert np.array_equal(of_lists[0, 2], plain.items[0, 2, :30_000])  # An empty list: as without lists.
    assert np.array_equal(others, plain.items[:, :, 30_000:])
    assert negatives.is_valid.numpy().all()


def test_a_share_of_lists_that_is_no_negative_is_refused():
    with pytest.raises(ValueError, match="give at least 0.25"):
        LossConfig(num_negatives=4, candidates_share=0.2)


def test_lists_do_not_go_with_the_correction():
    with pytest.raises(ValueError, match="Set correct_log_q to false"):
        LossConfig(num_negatives=4, candidates_share=0.5, correct_log_q=True)
