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


def exact(states, vectors, targets, smoothing):
    """The loss and its gradients in float64, written out."""
    states, vectors = states.astype(np.float64), vectors.astype(np.float64)
    labels = np.full([len(states), len(vectors)], smoothing / len(vectors))
    labels[np.arange(len(states)), targets] += 1.0 - smoothing
    logits = states @ vectors.T
    logits -= logits.max(axis=1, keepdims=True)
    log_shares = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    slope = np.exp(log_shares) - labels
    return -(labels * log_shares).sum(), slope @ vectors, slope.T @ states


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("bfloat16", 1e-2)])
def test_loss_and_gradients_are_exact_up_to_the_rounding_of_the_products(dtype, tolerance, smoothing):
    rng = np.random.default_rng(3)
    states, vectors = rng.normal(size=[60, 16]).astype(np.float32), rng.normal(size=[300, 16]).astype(np.float32)
    targets = rng.integers(0, 300, 60)
    objective = FullSoftmax(LossConfig(), FullSoftmaxOptions(matmul_dtype=dtype), np.ones(301))
    given = [tf.constant(states), tf.constant(vectors)]

    with tf.GradientTape() as tape:
        tape.watch(given)
        loss = full_softmax_loss(*given, tf.constant(targets, tf.int32), 25, smoothing, objective._matmul_dtype)
    found = [loss, *tape.gradient(loss, given)]

    for value, expected in zip(found, exact(states, vectors, targets, smoothing), strict=True):
        assert value.dtype == tf.float32
        error = np.linalg.norm(value - expected) / np.linalg.norm(expected)
        assert error < tolerance
        assert (error > 1e-6) == (dtype == "bfloat16")  # The type has an effect.


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

    assert FullSoftmax.memory(options, 1000, 64) == 2 * 8 * 2**20 + 4 * 4 * 1000 * 64
    assert FullSoftmax.memory(options, 10_000_000, 64) == 2 * 4 * 10_000_000 + 4 * 4 * 10_000_000 * 64
    mixed = FullSoftmaxOptions(block_mb=8, matmul_dtype="bfloat16")
    assert FullSoftmax.memory(mixed, 1000, 64) == 3 * 8 * 2**20 + 4 * 4 * 1000 * 64


@pytest.mark.parametrize("options", [{"label_smoothing": 1.0}, {"label_smoothing": -0.1}, {"block_mb": 0}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError, match="give"):
        FullSoftmaxOptions(**options)
