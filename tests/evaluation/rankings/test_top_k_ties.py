"""Two ways to find the best of a catalogue, in TensorFlow and in NumPy, that must agree also where scores are equal."""

import numpy as np
import pytest
import tensorflow as tf

from seqrec.evaluation.rankings.best_items import BestItems
from seqrec.scoring.top_items import top_items

NUM_ITEMS = 23


class ScoresOfATable:
    """A stand-in for a model whose state is a table of all scores: ties are where the table says."""

    def score(self, state: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        return tf.gather(state, candidates, axis=2)


def by_tensorflow(scores: np.ndarray, barred: np.ndarray, k: int, block: int) -> np.ndarray:
    catalogue = tf.range(1, NUM_ITEMS + 1)
    state = tf.constant(scores[None], tf.float32)
    return top_items(ScoresOfATable(), state, catalogue, k, block, tf.constant(barred[None])).items[0].numpy()  # type: ignore[arg-type]


def by_numpy(scores: np.ndarray, barred: np.ndarray, k: int, block: int) -> np.ndarray:
    best = BestItems.none(len(scores), k)
    for first in range(1, NUM_ITEMS + 1, block):
        items = np.arange(first, min(first + block, NUM_ITEMS + 1), dtype=np.int32)
        row, column = np.nonzero((barred >= items[0]) & (barred <= items[-1]))
        best = best.merged(items, scores[:, items], row, barred[row, column] - first)
    return best.items


@pytest.mark.parametrize("engine", [by_tensorflow, by_numpy])
@pytest.mark.parametrize("block", [1, 5, 8, 23, 64])
@pytest.mark.parametrize("k", [1, 6, 30])
def test_of_equal_scores_the_lower_index_comes_first(engine, block: int, k: int) -> None:
    random = np.random.default_rng([block, k])
    # Four values for 23 items, and rows of a single value: nearly everything is tied, at the end of the list too.
    scores = random.integers(-2, 2, (17, NUM_ITEMS + 1)).astype(np.float32)
    scores[:3] = np.array([[0.0], [-1.0], [5.0]])
    barred = np.where(random.random((17, 4)) < 0.7, random.integers(1, NUM_ITEMS + 1, (17, 4)), 0).astype(np.int32)

    found = engine(scores, barred, k, block)

    for row in range(17):
        allowed = [item for item in range(1, NUM_ITEMS + 1) if item not in barred[row]]
        expected = sorted(allowed, key=lambda item: (-scores[row, item], item))[:k]
        assert found[row].tolist() == expected + [0] * (k - len(expected))
