from dataclasses import dataclass

import numpy as np
import pytest

from seqrec.evaluation.rankings.full_catalogue import rank_against
from seqrec.evaluation.rankings.stored_candidates import best_candidates
from seqrec.evaluation.rows import EvaluationRows
from tests.evaluation.rows_by_hand import build_rows


@dataclass(frozen=True)
class Table:
    """Scores looked up by row and item."""

    table: np.ndarray  # [B, number of items + 1]

    def scores(self, rows: EvaluationRows, candidates: np.ndarray) -> np.ndarray:
        return self.table[rows.user_key][:, candidates]


@pytest.mark.parametrize("block", [3, 8, 64])
def test_rank_against_equals_a_loop_whatever_the_block(block: int) -> None:
    random = np.random.default_rng(0)
    scores = random.integers(0, 6, (20, 31)).astype(float)
    histories = [random.integers(1, 31, random.integers(0, 6)).tolist() for _ in range(20)]
    targets = [
        history[0] if history and place % 2 else int(random.integers(1, 31)) for place, history in enumerate(histories)
    ]
    rows = build_rows(*[(history, target, [0]) for history, target in zip(histories, targets, strict=True)])

    counts, top = rank_against(rows, Table(scores), np.arange(1, 31, dtype=np.int32), 5, block)

    for place, (history, target) in enumerate(zip(histories, targets, strict=True)):
        others = [item for item in range(1, 31) if item not in history and item != target]
        assert counts.num_negatives[place] == len(others)
        assert counts.num_above[place] == sum(scores[place, item] > scores[place, target] for item in others)
        assert counts.num_tied[place] == sum(scores[place, item] == scores[place, target] for item in others)
        best = sorted([*others, target], key=lambda item: (-scores[place, item], item))[:5]
        assert top[place].tolist() == best


def test_rank_against_fewer_items_than_top_k_fills_up_with_padding() -> None:
    rows = build_rows(([1], 2, [3]))

    _, top = rank_against(rows, Table(np.array([[0.0, 9.0, 1.0, 2.0]])), np.array([1, 2, 3], np.int32), 4, 512)

    assert top.tolist() == [[3, 2, 0, 0]]


def test_best_candidates_put_a_tied_target_last() -> None:
    scores = np.array([[[1.0, 1.0, 2.0, 1.0]]])

    found = best_candidates(scores, np.array([[7, 8, 9, 10]]), 3)

    assert found[0, 0].tolist()[0] == 9
    assert 7 not in found[0, 0].tolist()
