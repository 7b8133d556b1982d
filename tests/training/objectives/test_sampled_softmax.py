import numpy as np
import pytest
import tensorflow as tf

from seqrec.training.objectives.config import LossConfig
from seqrec.training.objectives.negatives import NegativeSampler, SampledNegatives
from seqrec.training.objectives.sampled_softmax import candidates_of, softmax_loss
from tests.training.objectives.drawing import context, no_history


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
    negatives = SampledNegatives(tf.zeros([1, 2, 2], tf.int32), tf.constant([[[True, True], [True, False]]]))

    loss = softmax_loss(tf.constant(logits, tf.float32), negatives)

    first = -np.log(np.exp(2.0) / np.exp([2.0, 0.5, -1.0]).sum())
    second = -np.log(np.exp(0.0) / np.exp([0.0, 3.0]).sum())
    np.testing.assert_allclose(loss, (first + second) / 2, rtol=1e-6)


def test_softmax_loss_is_finite_for_extreme_and_for_tied_logits():
    negatives = SampledNegatives(tf.zeros([1, 2, 2], tf.int32), tf.ones([1, 2, 2], tf.bool))
    logits = tf.Variable([[[-1e4, 1e4, 0.0], [0.0, 0.0, 0.0]]])

    with tf.GradientTape() as tape:
        loss = softmax_loss(logits, negatives)

    np.testing.assert_allclose(loss, (2e4 + np.log(3)) / 2, rtol=1e-6)
    assert np.isfinite(tape.gradient(loss, logits)).all()


def test_softmax_loss_corrects_by_log_q():
    negatives = SampledNegatives(tf.zeros([1, 1, 1], tf.int32), tf.ones([1, 1, 1], tf.bool))

    loss = softmax_loss(tf.constant([[[1.0, 2.0]]]), negatives, tf.constant([[[np.log(0.2), np.log(0.6)]]], tf.float32))

    corrected = np.array([np.e / 0.2, np.e**2 / 0.6])
    np.testing.assert_allclose(loss, -np.log(corrected[0] / corrected.sum()), rtol=1e-5)


def test_candidates_of_puts_the_target_first():
    negatives = SampledNegatives(tf.constant([[[5, 6]]]), tf.ones([1, 1, 2], tf.bool))

    np.testing.assert_array_equal(candidates_of(tf.constant([[4]]), negatives), [[[4, 5, 6]]])
