import numpy as np
import pytest
import tensorflow as tf

from seqrec.training.objectives.config import LossConfig
from seqrec.training.objectives.full_softmax import FullSoftmax, FullSoftmaxOptions, full_softmax_loss
from tests.training.objectives.drawing import context
from tests.training.objectives.toy_retrieval import ITEMS, NUM_ITEMS, PAIRS, TARGETS, LastItem, runs_of


def plain_loss(states, vectors, targets, smoothing):
    """The same by TensorFlow's own functions, with all logits in memory."""
    labels = (1.0 - smoothing) * tf.one_hot(targets, vectors.shape[0]) + smoothing / vectors.shape[0]
    logits = tf.matmul(states, vectors, transpose_b=True)
    return tf.reduce_sum(tf.nn.softmax_cross_entropy_with_logits(labels, logits))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("block_size", [1, 4, 10, 100])
def test_loss_and_gradients_are_those_of_a_softmax_without_blocks(block_size, smoothing):
    rng = np.random.default_rng(1)
    states = tf.Variable(rng.normal(size=[10, 6]).astype(np.float32))
    vectors = tf.Variable(3 * rng.normal(size=[15, 6]).astype(np.float32))
    targets = tf.constant(rng.integers(0, 15, 10), tf.int32)
    results = []

    for loss_of in (lambda *args: full_softmax_loss(*args[:3], block_size, args[3]), plain_loss):
        with tf.GradientTape() as tape:
            loss = 2.0 * loss_of(states, vectors, targets, smoothing)
        results.append((loss, *tape.gradient(loss, [states, vectors])))

    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, tf.convert_to_tensor(expected), rtol=1e-4, atol=1e-5)


def test_loss_is_finite_for_extreme_logits():
    states = tf.constant([[300.0, 0.0], [0.0, -300.0]])

    loss = full_softmax_loss(states, tf.constant([[1.0, 0.0], [0.0, 1.0]]), tf.constant([1, 0]), 1)

    np.testing.assert_allclose(loss, 300.0)


def test_loss_of_no_targets_is_nothing():
    loss = full_softmax_loss(tf.zeros([0, 2]), tf.ones([3, 2]), tf.zeros([0], tf.int32), 5)

    assert loss.numpy() == 0.0


@pytest.mark.parametrize("is_traced", [True, False])
def test_every_trained_target_counts_once(is_traced):
    model = LastItem()
    objective = FullSoftmax(LossConfig(), FullSoftmaxOptions(), np.ones(NUM_ITEMS + 1))
    batch = runs_of(ITEMS, TARGETS)
    loss_of = tf.function(lambda: objective.loss(model, batch, context([0, 1]))) if is_traced else None

    loss = loss_of() if loss_of else objective.loss(model, batch, context([0, 1]))

    events, targets = np.array([pair for stream in PAIRS for pair in stream]).T
    logits = model.states.numpy()[events] @ model.vectors.numpy()[1:].T
    chosen = logits[np.arange(len(events)), targets - 1]
    np.testing.assert_allclose(loss.data, (np.log(np.exp(logits).sum(axis=1)) - chosen).sum(), rtol=1e-5)
    assert loss.penalty == 0.25
    assert objective.num_targets(batch) == len(targets)


def test_memory_is_that_of_blocks_and_of_the_items_gradient():
    options = FullSoftmaxOptions(block_mb=8)

    assert FullSoftmax.memory(options, 1000, 64) == 2 * 8 * 2**20 + 3 * 4 * 1000 * 64
    assert FullSoftmax.memory(options, 10_000_000, 64) == 2 * 4 * 10_000_000 + 3 * 4 * 10_000_000 * 64


@pytest.mark.parametrize("options", [{"label_smoothing": 1.0}, {"label_smoothing": -0.1}, {"block_mb": 0}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError, match="give"):
        FullSoftmaxOptions(**options)
