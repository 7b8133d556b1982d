import numpy as np
import pytest
import tensorflow as tf

from seqrec.training.objectives.config import LossConfig
from seqrec.training.objectives.full_softmax import full_softmax_loss
from seqrec.training.objectives.shared_softmax import SharedSoftmax, SharedSoftmaxOptions, shared_softmax_loss
from tests.training.objectives.drawing import context
from tests.training.objectives.toy_retrieval import ITEMS, PAIRS, TARGETS, LastItem, runs_of

COUNTS = np.array([0, 8, 7, 6, 5, 4, 3, 2])


def objective_of(**options):
    return SharedSoftmax(LossConfig(), SharedSoftmaxOptions(**options), COUNTS)


def test_loss_leaves_out_a_negative_that_is_the_target():
    states, vectors = tf.constant([[1.0], [2.0]]), tf.constant([[0.0], [0.5], [1.0], [-1.0]])
    items, negatives = tf.constant([1, 2]), tf.constant([2, 3])
    log_q = tf.math.log([0.2, 0.4])

    loss = shared_softmax_loss(
        states, items, tf.gather(vectors, items), negatives, tf.gather(vectors, negatives), log_q
    )

    first = np.exp([0.5, 1.0 - np.log(2 * 0.2), -1.0 - np.log(2 * 0.4)])
    second = np.exp([2.0, -2.0 - np.log(2 * 0.4)])  # Item 2 is its target.
    np.testing.assert_allclose(loss, -np.log(first[0] / first.sum()) - np.log(second[0] / second.sum()), rtol=1e-5)


@pytest.mark.parametrize(
    "shares",
    [
        pytest.param({"uniform_share": 1.0, "in_batch_share": 0.0}, id="uniform"),
        pytest.param({"uniform_share": 0.0, "in_batch_share": 0.0, "popularity_share": 1.0}, id="popularity"),
        pytest.param({"uniform_share": 0.3, "in_batch_share": 0.3, "popularity_share": 0.4}, id="mixture"),
    ],
)
def test_with_many_negatives_loss_and_gradients_are_those_of_the_full_softmax(shares):
    model = LastItem()
    events, targets = np.array([pair for stream in PAIRS for pair in stream]).T
    objective = objective_of(num_negatives=100_000, **shares)

    with tf.GradientTape(persistent=True) as tape:
        estimated = objective.loss(model, runs_of(ITEMS, TARGETS), context([0, 1])).data
        states = tf.gather(model.states, events)
        full = full_softmax_loss(states, model.item_vectors(), tf.constant(targets - 1, tf.int32), 100)

    np.testing.assert_allclose(estimated, full, rtol=0.01)
    for variable in (model.states, model.vectors):
        found, expected = (tf.convert_to_tensor(tape.gradient(loss, variable)) for loss in (estimated, full))
        np.testing.assert_allclose(found, expected, atol=0.02)


def test_negatives_are_shared_by_a_stream_and_depend_on_it_alone():
    model, objective = LastItem(), objective_of(num_negatives=3)
    together = objective.loss(model, runs_of(ITEMS, TARGETS), context([4, 6])).data
    apart = [
        objective.loss(model, runs_of([ITEMS[s]], [TARGETS[s]]), context([stream])).data
        for s, stream in enumerate((4, 6))
    ]

    np.testing.assert_allclose(together, sum(apart), rtol=1e-6)
    assert together != objective.loss(model, runs_of(ITEMS, TARGETS), context([4, 6], step=2)).data


def test_a_stream_without_targets_adds_nothing():
    model, objective = LastItem(), objective_of(num_negatives=3)

    loss = objective.loss(model, runs_of([ITEMS[0], ITEMS[0]], [TARGETS[0], np.zeros([2, 3])]), context([4, 6]))

    alone = objective.loss(model, runs_of([ITEMS[0]], [TARGETS[0]]), context([4]))
    np.testing.assert_allclose(loss.data, alone.data, rtol=1e-6)


def test_gradients_touch_only_rows_that_are_used():
    model, objective = LastItem(num_items=1000), SharedSoftmax(
        LossConfig(), SharedSoftmaxOptions(num_negatives=4), np.ones(1001)
    )  # fmt: skip

    with tf.GradientTape() as tape:
        loss = objective.loss(model, runs_of(ITEMS, TARGETS), context([0, 1])).data
    gradient = tape.gradient(loss, model.vectors)

    assert isinstance(gradient, tf.IndexedSlices)
    assert len(gradient.indices) == 2 * 4 + 8  # Negatives of two streams, and eight targets.


@pytest.mark.parametrize("options", [{"num_negatives": 0}, {"uniform_share": 0.6}, {"popularity_exponent": -1.0}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError, match="give"):
        SharedSoftmaxOptions(**options)
