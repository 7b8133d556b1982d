"""Scores of candidates follow from states after events and vectors of items, whatever the retrieval model."""

import numpy as np
import pytest
import tensorflow as tf

from seqrec.core.batch import EventRuns
from seqrec.models.config import ModelConfig
from seqrec.models.contract import RetrievalModel
from seqrec.models.layers.embedding import EventEmbedding
from seqrec.models.layers.initializers import Initializer
from seqrec.models.layers.packing import pack_events, take_packed
from seqrec.models.registry import RETRIEVAL_MODELS
from tests.models.random_batches import (
    NUM_ITEMS,
    NUM_TRAINED,
    as_tensors,
    random_candidates,
    random_history,
    random_model,
    random_vocabulary,
)
from tests.models.retrieval_batches import assert_sees_no_future, context, random_runs, states_of

every_model = pytest.mark.parametrize("name", sorted(RETRIEVAL_MODELS))
LOWEST = np.finfo(np.float32).min


class LastEvent(RetrievalModel):
    """The state after an event is the event's vector, and the days since the event before."""

    def __init__(self):
        super().__init__("last_event")
        self.config = ModelConfig(item_dim=5, category_dim=3)
        self.embedding = EventEmbedding(self.config, random_vocabulary(), Initializer(seed=1, std=0.5))

    def encode_positions(self, runs, training=None):
        events = pack_events(runs.length, None)
        days = take_packed(runs.seconds_from_previous, events) / 86_400.0
        return tf.concat([self.embedding(take_packed(runs.items, events)), days[:, None]], axis=1)

    def item_vectors(self, items=None):
        items = tf.range(1, NUM_TRAINED + 1) if items is None else items
        vectors = self.embedding(items)
        return tf.concat([vectors, tf.ones_like(vectors[..., :1])], axis=-1)


def expected_scores(model, history, candidates):
    tables = [table.variable.numpy() for table in model.tables]

    def vector(item):
        row = min(item, NUM_TRAINED + 1)
        return np.concatenate([tables[0][row], tables[1][random_vocabulary().item_category[item]]])

    scores = np.zeros(candidates.shape)
    for s, b, n in np.ndindex(*candidates.shape):
        length = history.length[s, b]
        if length > 0:
            state = vector(history.items[s, b, length - 1])
            times = history.seconds_from_first[s, b]
            days = (times[length - 1] - times[length - 2]) / 86_400.0 if length > 1 else 0.0
            scores[s, b, n] = state @ vector(candidates[s, b, n]) + days
    return np.where(candidates <= NUM_TRAINED, scores, LOWEST)


def test_score_is_the_product_of_the_last_state_and_the_item():
    rng = np.random.default_rng(2)
    history = random_history(rng, 2, 6, 5, lengths=[[3, 0, 5, 1, 2, 4], [0, 0, 1, 5, 2, 1]])
    candidates = random_candidates(rng, 2, 6, 4)
    model = LastEvent()

    logits = model.score(model.encode(as_tensors(history)), tf.constant(candidates))

    assert logits.shape == (2, 6, 4)
    np.testing.assert_allclose(logits, expected_scores(model, history, candidates), rtol=1e-4, atol=1e-5)


def test_score_of_shared_candidates():
    rng = np.random.default_rng(3)
    history = random_history(rng, 2, 3, 5)
    shared = np.arange(1, NUM_ITEMS + 1, dtype=np.int32)
    model = LastEvent()

    logits = model.score(model.encode(as_tensors(history)), tf.constant(shared))

    expected = expected_scores(model, history, np.broadcast_to(shared, [2, 3, NUM_ITEMS]))
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    assert (logits.numpy()[..., NUM_TRAINED:] == LOWEST).all()


def test_an_empty_history_has_a_state_of_zeros():
    history = as_tensors(random_history(np.random.default_rng(1), 1, 2, 3, lengths=0))
    model = LastEvent()

    state = model.encode(history)

    assert state.shape == (1, 2, 9)
    assert not state.numpy().any()


def test_regularization_adds_the_rows_in_use_and_the_layers():
    model = LastEvent()
    model.extra = tf.Variable([3.0, 4.0], name="extra")
    items, categories = (table.variable.numpy() for table in model.tables)
    runs = random_runs(np.random.default_rng(4), 2, 3, 5)

    def penalty(**settings):
        model.config = ModelConfig(**settings)
        return float(model.regularization(runs))

    rows = [np.unique(np.minimum(runs.items[s], NUM_TRAINED + 1)) for s in (0, 1)]
    kinds = [np.unique(random_vocabulary().item_category[runs.items[s]]) for s in (0, 1)]
    norms = [(items[r] ** 2).sum() / 2 + (categories[k] ** 2).sum() / 2 for r, k in zip(rows, kinds, strict=True)]
    assert penalty() == 0.0
    assert penalty(layer_l2=2.0) == pytest.approx(25.0)
    assert penalty(embed_l2=0.5) == pytest.approx(0.5 * np.mean(norms), rel=1e-5)


def train_states(model, runs, streams, step=4):
    return states_of(model, EventRuns(*(part[streams] for part in runs)), context(streams, step))


@every_model
def test_dropout_does_not_depend_on_how_streams_are_spread(name):
    runs = random_runs(np.random.default_rng(1), 4, 3, 6)
    model = random_model(name)

    together, apart = (train_states(model, runs, streams) for streams in ([0, 1, 2, 3], [1, 3]))

    np.testing.assert_allclose(together[[1, 3]], apart, atol=2e-5)
    assert np.abs(together - states_of(model, runs)).max() > 1e-2  # There is dropout.


@every_model
def test_dropout_changes_with_the_step_and_repeats_with_it(name):
    runs = random_runs(np.random.default_rng(1), 1, 5, 6)
    model = random_model(name)

    first, again, later = (train_states(model, runs, [0], step) for step in (1, 1, 2))

    np.testing.assert_array_equal(first, again)
    assert np.abs(first - later).max() > 1e-3


@every_model
def test_padding_and_other_runs_do_not_change_a_state(name):
    runs = random_runs(np.random.default_rng(2), 1, 4, 5)
    wider = EventRuns(*(np.pad(a, [(0, 0), (0, 0), (0, 3)]) if a.ndim == 3 else a for a in runs))
    model = random_model(name, max_history_length=9)

    states = states_of(model, runs)

    np.testing.assert_allclose(states_of(model, wider)[:, :, :5], states, atol=1e-5)
    alone = states_of(model, EventRuns(*(part[:, 1:2] for part in runs)))
    np.testing.assert_allclose(alone, states[:, 1:2], atol=1e-5)


@every_model
def test_no_state_sees_the_future(name):
    assert_sees_no_future(random_model(name))


@every_model
def test_encode_gives_the_state_after_the_last_event(name):
    rng = np.random.default_rng(3)
    history = random_history(rng, 2, 4, 5, lengths=[[5, 0, 1, 3], [2, 4, 0, 1]])
    gaps = np.diff(history.seconds_from_first, axis=2, prepend=history.seconds_from_first[:, :, :1])
    runs = EventRuns(history.items, history.length, np.where(history.items > 0, gaps, 0.0).astype(np.float32))
    model = random_model(name)

    state = model.encode(as_tensors(history)).numpy()

    states = states_of(model, runs)
    for place, length in np.ndenumerate(history.length):
        np.testing.assert_allclose(state[place], states[place][length - 1] if length else 0.0, atol=1e-5)


@every_model
def test_item_vectors_of_all_trained_items_are_those_of_each(name):
    model = random_model(name)

    vectors = model.item_vectors()

    assert vectors.shape[0] == NUM_TRAINED
    np.testing.assert_array_equal(vectors, model.item_vectors(tf.range(1, NUM_TRAINED + 1)))
    assert model.item_vectors(tf.ones([2, 3, 4], tf.int32)).shape == (2, 3, 4, vectors.shape[1])


@every_model
def test_extreme_runs_have_finite_states_and_gradients(name):
    twenty_years = 20 * 365 * 86_400.0
    runs = EventRuns(
        items=tf.constant([[[1, 0, 0], [1, 1, 1], [2, 15, 0], [0, 0, 0]]]),
        length=tf.constant([[1, 3, 2, 0]]),
        seconds_from_previous=tf.constant([[[0.0, 0, 0], [0, 0, 0], [0, twenty_years, 0], [0, 0, 0]]]),
    )
    model = random_model(name)

    with tf.GradientTape() as tape:
        states = model.encode_positions(runs, context([0]))
        logits = tf.matmul(states, model.item_vectors(), transpose_b=True)
        loss = -tf.reduce_mean(tf.nn.log_softmax(logits)[:, 0])
    gradients = tape.gradient(loss, model.trained_variables)

    assert states.shape[0] == 6
    assert np.isfinite(logits).all()
    assert all(np.isfinite(tf.convert_to_tensor(g)).all() for g in gradients if g is not None)


@every_model
def test_runs_without_any_event_have_no_state(name):
    runs = random_runs(np.random.default_rng(1), 2, 2, 3, lengths=0)

    states = random_model(name).encode_positions(EventRuns(*(tf.constant(part) for part in runs)), context([0, 1]))

    assert states.shape[0] == 0


@every_model
def test_training_is_traced_once_for_all_lengths(name):
    rng = np.random.default_rng(4)
    model = random_model(name)
    traces = []

    @tf.function(reduce_retracing=True)
    def forward(runs, step):
        traces.append(step)
        return model.encode_positions(runs, context([0], step))

    for step in range(3):
        runs = random_runs(rng, 1, 5, 6, lengths=rng.integers(1, 7, [1, 5]))
        forward(EventRuns(*(tf.constant(part) for part in runs)), tf.constant(step))

    assert len(traces) == 1


@every_model
def test_every_table_of_items_keeps_the_row_of_items_not_trained_on(name):
    model = random_model(name, options={name: {"tied_output": False, "output_bias": True}})
    gradients = model.mask_gradients([tf.ones(variable.shape) for variable in model.trained_variables])

    masked = {table.name: gradient.numpy() for table, gradient in zip(model.tables, gradients, strict=False)}

    for table in ("embedding/items", "output/items", "output/bias"):
        assert not masked[table][NUM_TRAINED + 1].any()
        assert masked[table][: NUM_TRAINED + 1].all()
    assert masked["output/categories"].all()
