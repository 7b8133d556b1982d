import numpy as np
import pytest
import tensorflow as tf

from seqrec.models.config import ModelConfig
from seqrec.models.registry import MODELS, RETRIEVAL_MODELS, build_model
from tests.models.layers.feature_world import vocabulary_with_features
from tests.models.random_batches import NUM_ITEMS, NUM_TRAINED, as_tensors, random_history, random_vocabulary
from tests.models.retrieval_batches import context

ALL = tf.range(NUM_ITEMS + 1)


def model_with(name="sasrec", vocabulary=None, seed=3, **settings):
    own = {"sli_rec": {"hidden_size": 8 + settings.get("feature_dim", 0)}}
    settings = {"item_dim": 5, "category_dim": 3, "layer_sizes": (6, 4), "initial_std": 0.5, **settings}
    config = ModelConfig(name=name, options=own if name == "sli_rec" else {}, **settings)
    return build_model(config, vocabulary or vocabulary_with_features(), seed)


def by_hand(model):
    """Features' vectors of all items, [NUM_ITEMS + 1, W], slot by slot."""
    features, table = vocabulary_with_features().features, model.embedding.features.table.numpy()
    vectors = np.zeros((NUM_ITEMS + 1, table.shape[1]))
    for item, (rows, weights) in enumerate(zip(features.rows(), features.weights(), strict=True)):
        for row, weight in zip(rows, weights, strict=True):
            vectors[item] += float(weight) * table[row]
    return vectors


def test_features_are_added_to_the_whole_vector():
    model = model_with()
    plain = model_with(features="none")
    for name, variable in plain.named_variables().items():
        variable.assign(model.named_variables()[name])

    np.testing.assert_allclose(model.embedding(ALL), plain.embedding(ALL) + by_hand(model), atol=1e-6)


def test_features_stand_behind_item_and_category():
    model = model_with(features="concat", feature_dim=2)

    vectors = model.embedding(ALL).numpy()

    assert vectors.shape == (NUM_ITEMS + 1, 10)
    np.testing.assert_allclose(vectors[:, 8:], by_hand(model), atol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"features": "concat", "feature_dim": 2}])
def test_all_trained_items_at_once_are_as_one_by_one(settings):
    model = model_with(**settings)
    items = tf.range(1, NUM_TRAINED + 1)
    upstream = tf.random.stateless_normal([NUM_TRAINED, model.config.event_dim], [1, 2])
    slopes = []
    for vectors_of in (model.embedding.trained_items, lambda: model.embedding(items)):
        with tf.GradientTape() as tape:
            vectors = vectors_of()
            loss = tf.reduce_sum(vectors * upstream)
        slopes.append(tf.convert_to_tensor(tape.gradient(loss, model.embedding.features.table)))
        np.testing.assert_allclose(vectors, model.embedding(items), atol=1e-6)

    np.testing.assert_allclose(slopes[0], slopes[1], atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_reads_features_of_history_and_candidates(name):
    model = model_with(name)
    history = as_tensors(random_history(np.random.default_rng(2), 1, 3, 6, lengths=4))
    candidates = tf.constant([[[1, 2]] * 3])
    before = model.score(model.encode(history), candidates).numpy()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model.score(model.encode(history), candidates) ** 2)
    slope = tf.convert_to_tensor(tape.gradient(loss, model.embedding.features.table))

    model.embedding.features.table.assign(model.embedding.features.table * 1.5)

    assert np.abs(model.score(model.encode(history), candidates).numpy() - before).max() > 1e-6
    used = np.unique(vocabulary_with_features().features.rows()[history.items.numpy()])
    assert np.flatnonzero(np.abs(slope.numpy()).sum(axis=1)).max() in used


@pytest.mark.parametrize("name", MODELS)
def test_without_features_a_model_is_what_it_was(name):
    with_none, without = model_with(name, features="none"), model_with(name, random_vocabulary(), id_dropout=0.5)

    assert with_none.named_variables().keys() == without.named_variables().keys()
    history = as_tensors(random_history(np.random.default_rng(2), 1, 3, 6))
    with without.in_step(context([0])):
        dropped = without.embedding(ALL).numpy()
    for a, b in ((with_none.embedding(ALL), without.embedding(ALL)), (dropped, without.embedding(ALL))):
        assert np.array_equal(a, b)
    scores = [m.score(m.encode(history), tf.constant([[[1, 14]] * 3])) for m in (with_none, without)]
    assert np.array_equal(*scores)


def test_id_dropout_leaves_out_the_same_items_wherever_they_occur():
    model = model_with(id_dropout=0.4, initial_std=1.0)
    features = by_hand(model)
    categories = np.pad(model.embedding(ALL).numpy()[:, 5:] - features[:, 5:], [(0, 0), (5, 0)])
    shares = []
    for step in range(40):
        with model.in_step(context([step % 2], step=step)):
            several = model.embedding(ALL).numpy()
            at_once = model.embedding.trained_items().numpy()
        np.testing.assert_allclose(several[1 : NUM_TRAINED + 1], at_once, atol=1e-6)
        is_dropped = np.abs(several - features - categories).max(axis=1) < 1e-6
        shares.append(is_dropped[1 : NUM_TRAINED + 1].mean())

    assert 0.3 < np.mean(shares) < 0.5
    assert len(set(shares)) > 3


@pytest.mark.parametrize("name", RETRIEVAL_MODELS)
def test_items_without_training_events_are_compared_if_ids_were_dropped(name):
    history = as_tensors(random_history(np.random.default_rng(2), 1, 3, 6, lengths=4))
    new = tf.range(NUM_TRAINED + 1, NUM_ITEMS + 1)
    model, blind = model_with(name, id_dropout=0.2), model_with(name)

    assert (blind.score(blind.encode(history), new).numpy() == np.finfo(np.float32).min).all()
    state = model.encode(history)
    scores = model.score(state, new).numpy()[0]
    vectors = model.catalogue_vectors().numpy()
    assert vectors.shape[0] == model.num_comparable == NUM_ITEMS
    assert blind.catalogue_vectors().shape[0] == NUM_TRAINED
    np.testing.assert_allclose(scores, state.numpy()[0] @ vectors[NUM_TRAINED:].T, atol=1e-5)
