"""Scores of candidates follow from states after events and vectors of items, whatever the retrieval model."""

import numpy as np
import pytest
import tensorflow as tf

from seqrec.models.config import ModelConfig
from seqrec.models.contract import RetrievalModel
from seqrec.models.layers.embedding import EventEmbedding
from seqrec.models.layers.initializers import Initializer
from seqrec.models.layers.packing import pack_events, take_packed
from tests.models.random_batches import (
    NUM_ITEMS,
    NUM_TRAINED,
    as_tensors,
    random_candidates,
    random_history,
    random_vocabulary,
)

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


@pytest.mark.parametrize("embed_l2", [0.0, 0.5])
def test_layer_penalty_counts_no_table(embed_l2):
    model = LastEvent()
    model.config = ModelConfig(embed_l2=embed_l2, layer_l2=2.0)
    model.extra = tf.Variable([3.0, 4.0], name="extra")

    assert float(model.layer_penalty()) == pytest.approx(25.0)
