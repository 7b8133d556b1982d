import numpy as np
import pytest

from seqrec.scoring.index import exact
from seqrec.scoring.index.exact import NO_SCORE, best_of_all, best_of_some


def plain_best(states, vectors, k, excluded):
    """A full sort of Python's own, one row at a time."""
    items, scores = [], []
    for state, barred in zip(states, excluded, strict=True):
        ranked = sorted((-float(state @ vector), item) for item, vector in enumerate(vectors, 1) if item not in barred)
        ranked = ranked[:k] + [(-NO_SCORE, 0)] * (k - len(ranked))
        items.append([item for _, item in ranked])
        scores.append([-score for score, _ in ranked])
    return np.array(items), np.array(scores)


def whole_numbers(num_states, num_items, seed=0):
    """Few different values: products are exact, and many of them are equal."""
    rng = np.random.default_rng(seed)
    states, vectors = (rng.integers(-2, 3, (n, 4)).astype(np.float32) for n in (num_states, num_items))
    states[0] = 0.0  # All items tie.
    return states, vectors, rng.integers(0, num_items + 1, (num_states, 5)).astype(np.int32)


@pytest.mark.parametrize("block", [1, 7, 50, 1000])
@pytest.mark.parametrize("k", [1, 9, 60])
def test_best_of_all_is_a_full_sort_with_ties_by_item(monkeypatch, block, k):
    monkeypatch.setattr(exact, "_ITEMS_AT_ONCE", block)
    monkeypatch.setattr(exact, "_STATES_AT_ONCE", 8)
    states, vectors, excluded = whole_numbers(20, 50)

    items, scores = best_of_all(states, vectors, k, excluded)

    expected_items, expected_scores = plain_best(states, vectors, k, excluded)
    assert items.dtype == np.int32
    np.testing.assert_array_equal(items, expected_items)
    np.testing.assert_array_equal(scores, expected_scores)


def test_best_of_all_of_real_numbers(monkeypatch):
    monkeypatch.setattr(exact, "_ITEMS_AT_ONCE", 64)
    rng = np.random.default_rng(1)
    states, vectors = rng.normal(size=(30, 8)).astype(np.float32), rng.normal(size=(500, 8)).astype(np.float32)
    vectors[300] = vectors[20]  # Equal vectors in different blocks.

    items, scores = best_of_all(states, vectors, 500)

    places = np.argsort(items, axis=1)
    np.testing.assert_array_equal(places[:, 300], places[:, 20] + 1)
    np.testing.assert_array_equal(scores, -np.sort(-scores, axis=1))
    products = states.astype(np.float64) @ vectors.astype(np.float64).T
    np.testing.assert_allclose(scores, np.take_along_axis(products, items - 1, axis=1), atol=1e-5)


def test_best_of_all_without_states():
    items, scores = best_of_all(np.zeros((0, 4), np.float32), np.ones((3, 4), np.float32), 2)

    assert items.shape == scores.shape == (0, 2)


def test_negative_zero_ties_with_zero():
    vectors = np.array([[-0.0], [0.0], [-0.0]], np.float32)

    items, _ = best_of_all(np.ones((1, 1), np.float32), vectors, 3)

    assert items.tolist() == [[1, 2, 3]]


def test_best_of_some_leaves_out_padding_and_what_is_excluded():
    vectors = np.array([[3.0], [2.0], [1.0], [5.0]], np.float32)

    items, scores = best_of_some(
        np.ones((2, 1), np.float32), vectors, np.array([[1, 0, 4], [2, 3, 0]]), 3, np.array([[4, 0], [1, 0]], np.int32)
    )

    assert items.tolist() == [[1, 0, 0], [2, 3, 0]]
    assert scores.tolist() == [[3.0, NO_SCORE, NO_SCORE], [2.0, 1.0, NO_SCORE]]
