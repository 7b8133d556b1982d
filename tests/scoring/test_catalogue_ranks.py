import numpy as np
import pytest
import tensorflow as tf

from seqrec.core.batch import CatalogueBatch
from seqrec.scoring.catalogue_ranks import CatalogueRanker, SharedScores, catalogue_ranks, shared_scores
from tests.models.random_batches import NUM_ITEMS, NUM_TRAINED, as_tensors, random_history, random_model


def ranks_by_hand(scores: np.ndarray, targets: np.ndarray, own: np.ndarray) -> list[int]:
    """One row after the other, each item looked at by itself; `scores` [B, items], of items 1, 2, ..."""
    ranks = []
    for row, target in enumerate(targets):
        rivals = set(range(1, scores.shape[1] + 1)) - set(own[row].tolist()) - {int(target)}
        ranks.append(1 + sum(scores[row, item - 1] >= scores[row, target - 1] for item in rivals))
    return ranks


def table_of(scores: np.ndarray) -> SharedScores:
    """Scores that stand in a table [B, items]."""
    return lambda items: tf.gather(tf.constant(scores, tf.float32), tf.maximum(items - 1, 0), axis=1)[None]


@pytest.mark.parametrize("name", ["a2svd", "sli_rec", "gru", "sasrec", "gru4rec"])
@pytest.mark.parametrize("block_size", [1, 4, 1000])
def test_ranks_equal_a_count_item_by_item(name: str, block_size: int) -> None:
    rng = np.random.default_rng(3)
    model = random_model(name)
    state = model.encode(as_tensors(random_history(rng, 1, 6, 5)))
    targets = rng.integers(1, NUM_ITEMS + 1, [1, 6]).astype(np.int32)
    own = rng.integers(0, NUM_ITEMS + 1, [1, 6, 7]).astype(np.int32)  # With repeats, padding, and some targets.

    ranks = catalogue_ranks(
        shared_scores(model, state), tf.constant(targets), tf.constant(own), NUM_ITEMS, block_size
    )  # fmt: skip

    scores = model.score(state, tf.range(1, NUM_ITEMS + 1)).numpy()[0]
    assert ranks.numpy()[0].tolist() == ranks_by_hand(scores, targets[0], own[0])


@pytest.mark.parametrize("block_size", [8, 64])
def test_ranks_among_many_items_with_many_ties(block_size: int) -> None:
    rng = np.random.default_rng(5)
    scores = rng.integers(0, 5, [40, 300])
    targets = rng.integers(1, 301, [1, 40]).astype(np.int32)
    own = rng.integers(0, 301, [1, 40, 32]).astype(np.int32)

    ranks = catalogue_ranks(table_of(scores), tf.constant(targets), tf.constant(own), 300, block_size)

    assert ranks.numpy()[0].tolist() == ranks_by_hand(scores, targets[0], own[0])


def test_ties_count_against_the_target() -> None:
    own = tf.constant([[[1, 1, 0], [0, 0, 0]]])
    ranks = catalogue_ranks(table_of(np.zeros([2, 10])), tf.constant([[2, 3]]), own, 10, 4)

    assert ranks.numpy().tolist() == [[9, 10]]  # One of the ten items is the own item of the first row.


def test_a_target_without_any_item_to_compete_with_has_no_rank() -> None:
    own = tf.constant([[[1, 2, 3], [1, 3, 3]]])
    ranks = catalogue_ranks(table_of(np.zeros([2, 3])), tf.constant([[2, 3]]), own, 3, 4)

    assert ranks.numpy().tolist() == [[0, 2]]


@pytest.mark.parametrize("name", ["sasrec", "a2svd"])
def test_a_ranker_follows_the_weights_and_takes_batches_of_any_width(name: str) -> None:
    rng = np.random.default_rng(7)
    model = random_model(name)
    ranker = CatalogueRanker(model, NUM_ITEMS)
    for width in (2, 4, 8):
        for variable in model.trained_variables:
            variable.assign(rng.normal(0.0, 0.5, variable.shape))
        history = as_tensors(random_history(rng, 1, 6, 5))
        targets = rng.integers(1, NUM_ITEMS + 1, [1, 6]).astype(np.int32)
        own = rng.integers(0, NUM_ITEMS + 1, [1, 6, width]).astype(np.int32)

        ranks = ranker.ranks(CatalogueBatch(history, targets, own), ranker.item_vectors())

        scores = model.score(model.encode(history), tf.range(1, NUM_ITEMS + 1)).numpy()[0]
        assert ranks.numpy()[0].tolist() == ranks_by_hand(scores, targets[0], own[0])


@pytest.mark.parametrize("num_rows", [1, 7, 300])
def test_items_with_equal_vectors_tie_wherever_they_stand(num_rows: int) -> None:
    rng = np.random.default_rng(9)
    state = tf.constant(rng.normal(size=[1, num_rows, 64]), tf.float32)
    vectors = np.repeat(rng.normal(size=[757, 64]).astype(np.float32), 2, axis=0)  # Items 1 and 2 are equal, 3 and 4...
    model = random_model("sasrec")
    model.embedding.num_comparable = len(vectors)
    targets = tf.constant(rng.integers(1, len(vectors) + 1, [1, num_rows]), tf.int32)
    above = state[0].numpy().astype(np.float64) @ vectors.T.astype(np.float64)
    of_target = above[np.arange(num_rows), targets[0].numpy() - 1][:, None]

    scores_of = shared_scores(model, state, tf.constant(vectors))
    ranks = catalogue_ranks(scores_of, targets, tf.zeros([1, num_rows, 1], tf.int32), len(vectors), 1024)

    # The target's twin ties with it, so it counts against it; nothing else is as near.
    assert ranks.numpy()[0].tolist() == (1 + (above > of_target + 1e-9).sum(axis=1) + 1).tolist()


def test_items_that_were_not_trained_on_stand_last() -> None:
    model = random_model("sasrec")
    history = as_tensors(random_history(np.random.default_rng(1), 1, 2, 5))
    ranker = CatalogueRanker(model, NUM_ITEMS)
    targets, own = tf.constant([[NUM_ITEMS, 1]]), tf.zeros([1, 2, 1], tf.int32)

    ranks = ranker.ranks(CatalogueBatch(history, targets, own), ranker.item_vectors()).numpy()[0]

    assert ranks[0] == NUM_ITEMS
    assert ranks[1] <= NUM_TRAINED
