import numpy as np
import pytest
import tensorflow as tf

from seqrec.training.objectives.bce import Bce, BceOptions, bce_loss, target_weight
from seqrec.training.objectives.config import LossConfig
from tests.training.objectives.drawing import context
from tests.training.objectives.toy_retrieval import ITEMS, TARGETS, LastItem, runs_of

COUNTS = np.array([0, 8, 7, 6, 5, 4, 3, 2])


def test_loss_is_the_mean_cross_entropy_of_a_target_and_its_negatives():
    loss = bce_loss(tf.constant([1.0]), tf.constant([[0.5, -2.0]]), tf.constant([[True, False]]), 0.5)

    expected = 0.5 * np.log(1 + np.exp(-1.0)) + np.log(1 + np.exp(0.5))  # The second negative is the target.
    np.testing.assert_allclose(loss, expected / 3, rtol=1e-6)


@pytest.mark.parametrize(
    ("calibration", "weight"),
    [
        pytest.param(0.0, 1.0, id="plain"),
        pytest.param(1.0, 0.04, id="fully calibrated: the share of the other items that is drawn"),
        pytest.param(0.75, 0.04 * (0.75 * (1 - 25) + 25), id="between"),
    ],
)
def test_target_weight_is_that_of_gbce(calibration, weight):
    assert target_weight(calibration, 4, 101) == pytest.approx(weight)


@pytest.mark.parametrize("negatives", ["uniform", "popularity", "in_batch"])
def test_negatives_depend_on_the_stream_alone(negatives):
    model = LastItem()
    objective = Bce(LossConfig(num_negatives=3, negatives=negatives), BceOptions(), COUNTS)

    together = tf.function(lambda: objective.loss(model, runs_of(ITEMS, TARGETS), context([4, 6])).data)()
    apart = [
        objective.loss(model, runs_of([ITEMS[s]], [TARGETS[s]]), context([stream])).data
        for s, stream in enumerate((4, 6))
    ]

    np.testing.assert_allclose(together, sum(apart), rtol=1e-6)
    assert np.isfinite(together)


def test_training_on_it_separates_targets_from_the_rest():
    model = LastItem()
    objective = Bce(LossConfig(num_negatives=5, negatives="uniform"), BceOptions(calibration=0.5), COUNTS)
    batch = runs_of([[[1, 2, 3]]], [[[4, 5, 6]]])

    for step in range(300):
        with tf.GradientTape() as tape:
            loss = objective.loss(model, batch, context([0], step=step)).data
        variables = [model.states, model.vectors]
        for variable, slope in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(0.1 * tf.convert_to_tensor(slope))

    logits = model.states.numpy()[1:4] @ model.vectors.numpy()[1:].T
    assert (logits.argmax(axis=1) + 1).tolist() == [4, 5, 6]


def test_impossible_calibration_is_refused():
    with pytest.raises(ValueError, match="calibration is 1.5: give"):
        BceOptions(calibration=1.5)
