import numpy as np
import pytest

from seqrec.core.storage import Storage
from seqrec.evaluation.config import EvaluationConfig
from seqrec.evaluation.rankings.full_catalogue import rank_against
from seqrec.evaluation.rankings.model_ranking import ranker_of_run
from seqrec.scoring.loaded_model import read_model
from seqrec.scoring.run import read_run
from tests.evaluation.rows_by_hand import build_rows
from tests.evaluation.worlds import NUM_ITEMS, NUM_TRAINED


@pytest.mark.parametrize("run", ["sasrec", "a2svd"])
@pytest.mark.parametrize("block", [7, 512])
def test_rank_against_counts_what_the_model_itself_scores(world: Storage, run: str, block: int) -> None:
    import tensorflow as tf

    random = np.random.default_rng(5)
    rows = build_rows(
        *[(random.integers(1, NUM_ITEMS + 1, random.integers(1, 6)).tolist(), target, [1]) for target in range(1, 41)]
    )
    ranker = ranker_of_run(world, read_run(world, run), EvaluationConfig())

    counts, top = rank_against(rows, ranker, np.arange(1, NUM_ITEMS + 1, dtype=np.int32), 5, block)

    model = read_model(ranker.stored)
    history = rows.windows(ranker.stored.config.max_history_length)
    logits = model.score(model.encode(history), tf.range(NUM_ITEMS + 1)).numpy()[0]
    for place, target in enumerate(rows.target_items):
        own = set(rows.take(np.array([place])).items.values.tolist())
        others = [item for item in range(1, NUM_ITEMS + 1) if item not in own and item != target]
        assert counts.num_negatives[place] == len(others)
        assert counts.num_above[place] == sum(logits[place, item] > logits[place, target] for item in others)
        if run == "sasrec" and target > NUM_TRAINED:  # Nothing is known of such an item: all are equal, and last.
            assert counts.num_tied[place] == sum(item > NUM_TRAINED for item in others)
        best = sorted([*others, target], key=lambda item: (-logits[place, item], item))[:5]
        assert top[place].tolist() == best


@pytest.mark.parametrize("run", ["sasrec", "a2svd"])
def test_equal_vectors_tie_wherever_they_stand_in_a_block(world: Storage, run: str) -> None:
    """What `rank_against` relies on: it scores the target in a block of its own."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    block = ranker_of_run(world, read_run(world, run), EvaluationConfig()).block
    vectors = random.normal(size=(block.items, 64)).astype(np.float32)
    vectors[::7] = vectors[0]
    states = random.normal(size=(block.rows, 64)).astype(np.float32)

    products = tf.matmul(states, vectors, transpose_b=True).numpy()

    assert (products[:, ::7] == products[:, :1]).all()
