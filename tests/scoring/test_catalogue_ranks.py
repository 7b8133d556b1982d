import numpy as np
import pytest
import tensorflow as tf

from seqrec.scoring.catalogue_ranks import catalogue_ranks
from tests.models.random_batches import NUM_ITEMS, as_tensors, random_history, random_model


def ranks_by_hand(scores: np.ndarray, targets: np.ndarray, own: np.ndarray) -> list[int]:
    """One row after the other, each item looked at by itself; `scores` [B, items], of items 1, 2, ..."""
    ranks = []
    for row, target in enumerate(targets):
        rivals = set(range(1, scores.shape[1] + 1)) - set(own[row].tolist()) - {int(target)}
        ranks.append(1 + sum(scores[row, item - 1] >= scores[row, target - 1] for item in rivals))
    return ranks


@pytest.mark.parametrize("name", ["a2svd", "sli_rec"])
@pytest.mark.parametrize("block_size", [1, 4, 1000])
def test_ranks_equal_a_count_item_by_item(name: str, block_size: int) -> None:
    rng = np.random.default_rng(3)
    model = random_model(name)
    state = model.encode(as_tensors(random_history(rng, 1, 6, 5)))
    targets = rng.integers(1, NUM_ITEMS + 1, [1, 6]).astype(np.int32)
    own = rng.integers(0, NUM_ITEMS + 1, [1, 6, 7]).astype(np.int32)  # With repeats, padding, and some targets.

    ranks = catalogue_ranks(model, state, tf.constant(targets), tf.constant(own), NUM_ITEMS, block_size)

    scores = model.score(state, tf.range(1, NUM_ITEMS + 1)).numpy()[0]
    assert ranks.numpy()[0].tolist() == ranks_by_hand(scores, targets[0], own[0])


def test_ties_count_against_the_target() -> None:
    class AllAlike:
        def score(self, state: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
            return tf.zeros([1, 2, tf.size(candidates)])

    own = tf.constant([[[1, 1, 0], [0, 0, 0]]])
    ranks = catalogue_ranks(AllAlike(), None, tf.constant([[2, 3]]), own, 10)  # type: ignore[arg-type]

    assert ranks.numpy().tolist() == [[9, 10]]  # One of the ten items is the own item of the first row.
