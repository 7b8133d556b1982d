"""Figures of lists against loops and known values."""

import numpy as np
import pyarrow as pa
import pytest

from seqrec.events.ragged import Ragged
from seqrec.events.rows import UserHistories
from seqrec.recommendation.rules.figures import FiguresInputs, count_figures, figures_of, spread, unlikeness

INPUTS = FiguresInputs(
    train_count=np.array([0, 7, 3, 1, 0]),
    category=np.array([0, 1, 1, 2, 0], np.int32),
    vectors=None,
    popular=np.array([1, 2], np.int32),
)


def histories(targets: list[int] | None, num_rows: int) -> UserHistories:
    return UserHistories(
        items=Ragged.from_lengths(np.zeros(0, np.int32), np.zeros(num_rows, np.int64)),
        timestamps=np.zeros(0, np.int64),
        first_timestamps=np.zeros(num_rows, np.int64),
        as_of=np.zeros(num_rows, np.int64),
        users=pa.array([str(row) for row in range(num_rows)]),
        target_items=None if targets is None else np.array(targets, np.int32),
    )


def gini_by_pairs(times: list[int]) -> float:
    """Half the relative mean absolute difference."""
    values = np.array(times, float)
    return float(np.abs(values[:, None] - values).sum() / (2 * len(values) ** 2 * values.mean()))


@pytest.mark.parametrize("times", [[5, 5, 5], [0, 0, 9], [0, 1, 1, 4, 4, 4, 30], [2, 0, 0, 0, 1]])
def test_the_gini_index_is_that_of_all_pairs_of_items(times):
    number, items = np.unique([each for each in times if each], return_counts=True)
    order = np.random.default_rng(1).permutation(len(number))

    found = spread(number[order], items[order], len(times))

    assert found["gini"] == pytest.approx(gini_by_pairs(times))
    assert found["coverage"] == pytest.approx(np.mean(np.array(times) > 0))


def test_no_list_covers_nothing():
    assert spread(np.zeros(0, np.int64), np.zeros(0, np.int64), 9) == {"coverage": 0.0, "gini": 0.0}


def test_figures_are_means_over_lists():
    items = np.array([[1, 3, 0], [2, 0, 0], [0, 0, 0], [4, 3, 1]], np.int32)

    found = figures_of(count_figures(INPUTS, "x", items, histories([3, 2, 1, 2], 4)))["x"]

    bits = -np.log2((np.array([0, 7, 3, 1, 0]) + 1) / 15)  # 11 events, and one more for each of four items.
    novelty = [bits[[1, 3]].mean(), bits[2], bits[[4, 3, 1]].mean()]
    assert found["novelty"] == pytest.approx(np.mean(novelty))
    assert found["length"] == pytest.approx(6 / 4)
    assert found["filled"] == pytest.approx(3 / 4)
    assert found["hit_rate@3"] == pytest.approx(2 / 4)
    assert found["ndcg@3"] == pytest.approx((1 / np.log2(3) + 1) / 4)
    assert found["surprising_hit_rate@3"] == pytest.approx(1 / 4)  # Item 2 is in the list of everybody.
    assert found["unlikeness"] == pytest.approx((1.0 + 1.0) / 2)  # Two lists have a pair.


def test_without_targets_there_are_no_hits():
    found = figures_of(count_figures(INPUTS, "x", np.array([[1, 2]], np.int32), histories(None, 1)))["x"]

    assert not any("@" in name for name in found)
    assert found["unlikeness"] == 0.0  # Both are of category 1.


def test_unlikeness_is_the_mean_of_all_pairs_of_vectors():
    random = np.random.default_rng(3)
    vectors = random.normal(size=(4, 5)).astype(np.float32)
    items = np.array([[1, 4, 2, 9], [3, 2, 0, 0], [1, 0, 0, 0]], np.int32)  # No vector for item 9.

    found = unlikeness(FiguresInputs(INPUTS.train_count, INPUTS.category, vectors, INPUTS.popular), items)

    unit = np.concatenate([[np.zeros(5)], vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.zeros((5, 5))])
    for row, expected in zip(items[:2], found[:2], strict=True):
        real = row[row > 0]
        pairs = [1 - unit[a] @ unit[b] for n, a in enumerate(real) for b in real[n + 1 :]]
        assert expected == pytest.approx(np.mean(pairs), abs=1e-6)
    assert found[2] == 0.0
