from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from seqrec.models.layers.training_context import TrainingContext
from seqrec.training.objectives.negatives import SampledNegatives
from seqrec.training.objectives.sampled_softmax import softmax_loss
from seqrec.training.optimizer_config import OptimizerConfig
from seqrec.training.optimizers import build_optimizer
from tests.models.golden_files import FILES, Golden

MODELS = sorted(FILES)


@pytest.fixture(scope="module")
def golden_folder(shared: Path) -> Path:
    return shared / "golden"


def train_step(model, optimizer, history, candidates, step):
    training = TrainingContext(seed=1, step=step, stream_ids=tf.constant([0]))
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        logits = model.score(model.encode(history, training), candidates, training)
        negatives = SampledNegatives(candidates[:, :, 1:], tf.ones_like(candidates[:, :, 1:], tf.bool))
        data_loss = softmax_loss(logits, negatives)
        loss = data_loss + model.regularization(history, candidates)
    optimizer.apply(tape.gradient(loss, variables), variables, 1e-3)
    model.apply_moments(tf.reduce_mean(training.moments(), axis=0))
    return logits, data_loss, loss


@pytest.mark.parametrize("name", MODELS)
def test_score_equals_the_reference(golden_folder, name):
    golden = Golden(golden_folder, name)
    history, candidates, expected = golden.batch("eval")

    model = golden.build()
    logits = model.score(model.encode(history), candidates)

    np.testing.assert_allclose(logits, expected, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_two_training_steps_equal_the_reference(golden_folder, name):
    golden = Golden(golden_folder, name)
    model = golden.build()
    optimizer = build_optimizer(OptimizerConfig(name="dense_adam"), model.trainable_variables)
    step_function = tf.function(train_step)

    for step in (1, 2):
        history, candidates, expected_logits = golden.batch(f"train{step}")
        logits, data_loss, loss = step_function(model, optimizer, history, candidates, tf.constant(step))

        np.testing.assert_allclose(logits, expected_logits, atol=1e-5)
        np.testing.assert_allclose(data_loss, golden.arrays[f"train{step}/data_loss"], atol=1e-5)
        np.testing.assert_allclose(loss, golden.arrays[f"train{step}/loss"], atol=1e-5)
        statistics = {variable.name.removesuffix(":0") for variable in model.moving_statistics}
        for variable_name, variable in model.named_variables().items():
            tolerance = 1e-5 if variable_name in statistics else 5e-5
            expected = golden.weight(f"w{step}", variable_name)
            np.testing.assert_allclose(variable, expected, atol=tolerance, err_msg=variable_name)
