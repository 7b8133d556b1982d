"""Packed, split and hand-differentiated models against plain ones, in value and in gradient."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from seqrec.models.layers.attention import target_attention
from seqrec.models.layers.training_context import TrainingContext
from tests.models.plain_models import NAMES, PlainModel
from tests.models.random_batches import (
    NUM_TRAINED,
    as_tensors,
    random_candidates,
    random_history,
    random_model,
    random_vocabulary,
)

COMPATIBILITIES = ("corrected", "reference")
CASES = [(name, compatibility) for name in NAMES for compatibility in COMPATIBILITIES]


def plain_copy(model):
    return PlainModel(model, random_vocabulary().item_category, NUM_TRAINED)


def plain_logits(plain, history, candidates, training):
    streams = [
        plain.logits(*(part[s] for part in history_arrays(history)), candidates[s], training)
        for s in range(len(candidates))
    ]
    return tf.stack([logits for logits, _ in streams]), tf.stack([moments for _, moments in streams])


def history_arrays(history):
    return history.items, history.length, history.seconds_to_target, history.seconds_from_first


def context(num_streams):
    return TrainingContext(seed=3, step=tf.constant(5), stream_ids=tf.range(num_streams))


def assert_training_equals_plain(model, history, candidates):
    upstream = np.random.default_rng(1).normal(size=candidates.shape)
    plain = plain_copy(model)
    training = context(len(candidates))
    with tf.GradientTape() as tape:
        logits = model.score(model.encode(as_tensors(history), training), tf.constant(candidates), training)
        total = tf.reduce_sum(logits * tf.constant(upstream, tf.float32))
    variables = model.trained_variables
    gradients = tape.gradient(total, variables, unconnected_gradients="zero")
    with tf.GradientTape() as tape:
        expected, moments = plain_logits(plain, history, candidates, training=True)
        total = tf.reduce_sum(expected * upstream)
    names = [variable.name.removesuffix(":0") for variable in variables]
    plain_gradients = tape.gradient(total, [plain.weights[n] for n in names], unconnected_gradients="zero")

    scale = 1.0 + np.abs(expected).max()
    np.testing.assert_allclose(logits, expected, atol=3e-4 * scale)
    np.testing.assert_allclose(training.moments(), moments, rtol=1e-4, atol=1e-4)
    for name, gradient, wanted in zip(names, gradients, plain_gradients, strict=True):
        wanted = tf.convert_to_tensor(wanted).numpy()
        scale = 1.0 + np.abs(wanted).max()
        np.testing.assert_allclose(tf.convert_to_tensor(gradient), wanted, atol=2e-3 * scale, err_msg=name)


@pytest.mark.parametrize(("name", "compatibility"), CASES)
@settings(max_examples=12, deadline=None)
@given(
    num_streams=st.integers(1, 3),
    batch=st.integers(1, 5),
    padded_length=st.integers(1, 7),
    num_candidates=st.integers(1, 4),
    seed=st.integers(0, 10**6),
)
def test_training_equals_plain(name, compatibility, num_streams, batch, padded_length, num_candidates, seed):
    rng = np.random.default_rng(seed)
    history = random_history(rng, num_streams, batch, padded_length)
    candidates = random_candidates(rng, num_streams, batch, num_candidates)
    model = random_model(name, seed, compatibility=compatibility, max_history_length=7, batch_norm_epsilon=0.1)

    assert_training_equals_plain(model, history, candidates)


@pytest.mark.parametrize(("name", "compatibility"), CASES)
@pytest.mark.parametrize(
    ("batch", "padded_length", "num_candidates", "length"), [(1, 1, 1, 1), (3, 50, 2, 50), (4, 50, 5, 1)]
)
def test_training_equals_plain_at_the_edges(name, compatibility, batch, padded_length, num_candidates, length):
    rng = np.random.default_rng(4)
    history = random_history(rng, 1, batch, padded_length, lengths=length)
    candidates = random_candidates(rng, 1, batch, num_candidates)
    model = random_model(name, compatibility=compatibility, max_history_length=50, batch_norm_epsilon=0.1)

    assert_training_equals_plain(model, history, candidates)


@pytest.mark.parametrize(("name", "compatibility"), CASES)
def test_score_equals_plain(name, compatibility):
    rng = np.random.default_rng(2)
    history = random_history(rng, 2, 4, 6)
    candidates = random_candidates(rng, 2, 4, 3)
    model = random_model(name, compatibility=compatibility, max_history_length=8)

    logits = model.score(model.encode(as_tensors(history)), tf.constant(candidates))

    expected, _ = plain_logits(plain_copy(model), history, candidates, training=False)
    np.testing.assert_allclose(logits, expected, atol=2e-5)


@pytest.mark.parametrize("pairs", [1, 7, 10**6])
def test_attention_scores_alike_in_blocks_of_any_size(monkeypatch, pairs):
    rng = np.random.default_rng(8)
    history = random_history(rng, 2, 5, 6)
    candidates = random_candidates(rng, 2, 5, 3)
    model = random_model("sli_rec", max_history_length=6)
    monkeypatch.setattr(target_attention, "_PAIRS_PER_BLOCK", pairs)

    logits = model.score(model.encode(as_tensors(history)), tf.constant(candidates))

    expected, _ = plain_logits(plain_copy(model), history, candidates, training=False)
    np.testing.assert_allclose(logits, expected, atol=2e-5)


QUIRKS = (
    "mask_long_term_attention",
    "fusion_time_of_last_event",
    "batch_norm_on_real_events",
    "category_in_recurrence",
    "separate_unknown_item",
)


@pytest.mark.parametrize("quirk", QUIRKS)
def test_each_quirk_is_its_own_setting(quirk):
    rng = np.random.default_rng(6)
    history = random_history(rng, 1, 6, 7, lengths=[1, 2, 3, 4, 7, 5])
    candidates = random_candidates(rng, 1, 6, 3)
    model = random_model("sli_rec", compatibility="reference", max_history_length=7, **{quirk: True})
    other = random_model("sli_rec", compatibility="reference", max_history_length=7)

    assert_training_equals_plain(model, history, candidates)
    _, moments = plain_logits(plain_copy(model), history, candidates, training=True)
    _, other_moments = plain_logits(plain_copy(other), history, candidates, training=True)
    assert np.abs(moments - other_moments).max() > 1e-3
