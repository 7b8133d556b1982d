import numpy as np
import pytest
import tensorflow as tf

from seqrec.core.batch import History
from seqrec.models.layers.training_context import TrainingContext
from seqrec.training.objectives.config import LossConfig
from seqrec.training.objectives.sampled_softmax import Negatives, NegativeSampler, candidates_of, softmax_loss


def context(streams, step=1, seed=7):
    return TrainingContext(seed=seed, step=tf.constant(step), stream_ids=tf.constant(streams))


def history_of(items):
    items = tf.constant(items, tf.int32)
    zeros = tf.zeros(items.shape)
    return History(items, tf.fill(items.shape[:2], items.shape[2]), zeros, zeros)


def no_history(num_streams, batch):
    return history_of(np.zeros([num_streams, batch, 1], np.int32))


def draw(config, train_count, targets, training=None, history=None):
    targets = tf.constant(targets, tf.int32)
    training = training or context(list(range(targets.shape[0])))
    history = history or no_history(*targets.shape)
    return NegativeSampler(config, np.asarray(train_count)).draw(targets, history, training)


def shares(items, num_items):
    return np.bincount(np.ravel(items), minlength=num_items + 1) / np.size(items)


def test_draw_in_batch_takes_other_positions_alike():
    targets = [[1, 1, 1, 2, 3, 3]]
    config = LossConfig(num_negatives=20_000)

    negatives = draw(config, [0, 3, 1, 2], targets)

    assert negatives.counts.numpy().all()
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

    assert not negatives.counts.numpy().any()
    assert loss.numpy() == 0.0


def test_draw_uniform_takes_all_other_items_alike():
    negatives = draw(LossConfig(num_negatives=40_000, negatives="uniform"), [0, 9, 1, 1, 1], [[2]])

    assert negatives.counts.numpy().all()
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

    np.testing.assert_array_equal(negatives.counts[0, 0], negatives.items[0, 0] != 3)
    assert negatives.counts[0, 1].numpy().all()


@pytest.mark.parametrize("negatives", ["in_batch", "uniform", "popularity"])
def test_items_not_trained_on_are_neither_targets_nor_negatives(negatives):
    config = LossConfig(num_negatives=30, negatives=negatives, correct_log_q=True)
    sampler = NegativeSampler(config, np.array([0, 4, 2, 1]))
    targets = tf.constant([[1, 9, 2, 4, 3, 1]])
    logits = tf.random.stateless_normal([1, 6, 31], [1, 2])

    drawn = sampler.draw(targets, no_history(1, 6), context([0]))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = softmax_loss(logits, drawn, sampler.log_q(candidates_of(targets, drawn)))

    slope = tape.gradient(loss, logits).numpy()
    is_trained = candidates_of(targets, drawn).numpy() <= 3
    assert np.isfinite(loss)
    assert not slope[0, [1, 3]].any()
    assert not slope[~is_trained].any()
    assert slope[0, [0, 2, 4, 5], 0].all()


def test_softmax_loss_is_the_cross_entropy_of_the_target():
    logits = np.array([[[2.0, 0.5, -1.0], [0.0, 3.0, 1.0]]])
    negatives = Negatives(tf.zeros([1, 2, 2], tf.int32), tf.constant([[[True, True], [True, False]]]))

    loss = softmax_loss(tf.constant(logits, tf.float32), negatives)

    first = -np.log(np.exp(2.0) / np.exp([2.0, 0.5, -1.0]).sum())
    second = -np.log(np.exp(0.0) / np.exp([0.0, 3.0]).sum())
    np.testing.assert_allclose(loss, (first + second) / 2, rtol=1e-6)


def test_softmax_loss_is_finite_for_extreme_and_for_tied_logits():
    negatives = Negatives(tf.zeros([1, 2, 2], tf.int32), tf.ones([1, 2, 2], tf.bool))
    logits = tf.Variable([[[-1e4, 1e4, 0.0], [0.0, 0.0, 0.0]]])

    with tf.GradientTape() as tape:
        loss = softmax_loss(logits, negatives)

    np.testing.assert_allclose(loss, (2e4 + np.log(3)) / 2, rtol=1e-6)
    assert np.isfinite(tape.gradient(loss, logits)).all()


def test_log_q_is_the_log_of_the_share_of_each_item():
    config = LossConfig(negatives="popularity", correct_log_q=True)

    log_q = NegativeSampler(config, np.array([0, 6, 2])).log_q(tf.constant([1, 2]))

    np.testing.assert_allclose(log_q, np.log([0.75, 0.25]), rtol=1e-6)
    assert NegativeSampler(LossConfig(), np.array([0, 6, 2])).log_q(tf.constant([1])) is None


def test_softmax_loss_corrects_by_log_q():
    negatives = Negatives(tf.zeros([1, 1, 1], tf.int32), tf.ones([1, 1, 1], tf.bool))

    loss = softmax_loss(tf.constant([[[1.0, 2.0]]]), negatives, tf.constant([[[np.log(0.2), np.log(0.6)]]], tf.float32))

    corrected = np.array([np.e / 0.2, np.e**2 / 0.6])
    np.testing.assert_allclose(loss, -np.log(corrected[0] / corrected.sum()), rtol=1e-5)


def test_candidates_of_puts_the_target_first():
    negatives = Negatives(tf.constant([[[5, 6]]]), tf.ones([1, 1, 2], tf.bool))

    np.testing.assert_array_equal(candidates_of(tf.constant([[4]]), negatives), [[[4, 5, 6]]])
