"""GRU4Rec against the same model written plainly: one run at a time, one step at a time, in float64."""

import numpy as np
import pytest
import tensorflow as tf

from seqrec.core.batch import EventRuns
from seqrec.core.errors import ConfigError
from seqrec.models.config import ModelConfig
from seqrec.models.registry import build_model
from tests.models.random_batches import NUM_TRAINED, random_model, random_vocabulary
from tests.models.retrieval_batches import random_runs


def plain_states(weights, items, num_layers):
    """States [n, V] of one run of n items [n]."""
    rows = np.minimum(items, NUM_TRAINED + 1)
    category = random_vocabulary().item_category[items]
    x = tf.concat(
        [tf.gather(weights["embedding/items"], rows), tf.gather(weights["embedding/categories"], category)], 1
    )
    for number in range(num_layers):
        w = {
            part: weights[f"layer_{number}/{part}"] for part in ("input_kernel", "gate_kernel", "state_kernel", "bias")
        }
        size = w["state_kernel"].shape[0]
        h, states = tf.zeros([1, size], tf.float64), []
        for event in tf.unstack(x):
            z, r, n = tf.split(event[None] @ w["input_kernel"] + w["bias"], 3, axis=1)
            gate_z, gate_r = tf.split(h @ w["gate_kernel"], 2, axis=1)
            z, r = tf.sigmoid(z + gate_z), tf.sigmoid(r + gate_r)
            h = z * h + (1 - z) * tf.tanh(n + (r * h) @ w["state_kernel"])
            states.append(h)
        x = tf.concat(states, axis=0)
    return x @ weights["projection/kernel"] + weights["projection/bias"]


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize(
    "lengths", [[[1, 6, 0, 3], [4, 2, 6, 5]], [[1, 1, 1, 1], [0, 0, 0, 1]]], ids=["mixed", "short"]
)
def test_states_and_gradients_equal_plain(num_layers, lengths):
    rng = np.random.default_rng(1)
    runs = random_runs(rng, 2, 4, 6, lengths=lengths)
    model = random_model("gru4rec", options={"gru4rec": {"hidden_size": 6, "num_layers": num_layers}})
    weights = {name: tf.Variable(tf.cast(v, tf.float64)) for name, v in model.named_variables().items()}
    names = [variable.name.removesuffix(":0") for variable in model.trained_variables]

    with tf.GradientTape() as tape:
        states = model.encode_positions(EventRuns(*(tf.constant(part) for part in runs)))
        upstream = rng.normal(size=states.shape)
        total = tf.reduce_sum(states * tf.constant(upstream, tf.float32))
    gradients = tape.gradient(total, model.trained_variables, unconnected_gradients="zero")
    with tf.GradientTape() as tape:
        real = [runs.items[s, b, :n] for (s, b), n in np.ndenumerate(runs.length) if n]
        expected = tf.concat([plain_states(weights, items, num_layers) for items in real], axis=0)
        total = tf.reduce_sum(expected * upstream)
    wanted = tape.gradient(total, [weights[name] for name in names], unconnected_gradients="zero")

    np.testing.assert_allclose(states, expected, atol=1e-4)
    for name, gradient, value in zip(names, gradients, wanted, strict=True):
        value = tf.convert_to_tensor(value).numpy()
        scale = 1.0 + np.abs(value).max()
        np.testing.assert_allclose(tf.convert_to_tensor(gradient), value, atol=1e-3 * scale, err_msg=name)


def test_the_state_may_be_wider_than_an_event():
    model = build_model(ModelConfig(name="gru4rec", item_dim=6, category_dim=2), random_vocabulary(), seed=1)

    assert model.named_variables()["layer_0/state_kernel"].shape == (128, 128)
    assert model.item_vectors().shape == (NUM_TRAINED, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 0}, "hidden_size is 0: give at least 1"),
        ({"num_layers": 0}, "num_layers is 0: give at least 1"),
        ({"embedding_dropout": -0.1}, "embedding_dropout is -0.1: give a rate from 0"),
    ],
)
def test_options_refuse_impossible_values(options, message):
    with pytest.raises(ConfigError, match=message):
        build_model(ModelConfig(name="gru4rec", options={"gru4rec": options}), random_vocabulary(), seed=1)
