import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqrec.core.errors import DataError
from seqrec.core.keyed_random import keyed
from seqrec.events.ragged import Ragged
from seqrec.preparation.negatives.negatives import draw_negatives
from seqrec.preparation.negatives.population import Population, check_enough

COUNTS = np.array([0, 50, 30, 10, 5, 5, 0, 3, 2, 1, 1])  # By item index; 0 is padding, item 6 never occurs.


def keys_for(num_rows, seed=1):
    return keyed(np.arange(num_rows), seed)


@pytest.mark.parametrize("sampling", ["popularity", "power", "uniform", "category"])
@pytest.mark.parametrize("exclude_own", [False, True])
def test_draw_negatives_are_distinct_and_never_the_target(sampling, exclude_own):
    category_of = np.array([0, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0], np.int32)
    population = Population.build(COUNTS, sampling, 0.5, category_of)
    targets = np.resize([1, 2, 3, 4, 5, 7, 8, 9, 10], 300)
    own = Ragged.from_lengths(np.resize([1, 2, 4, 9], 600), np.full(300, 2)) if exclude_own else None

    drawn = draw_negatives(population, keys_for(300), targets, 5, own)

    assert all(len(set(row)) == 5 for row in drawn.tolist())
    assert not (drawn == targets[:, None]).any()
    assert not np.isin(drawn, [0, 6]).any()
    if exclude_own:
        assert not (drawn[:, :, None] == own.values.reshape(300, 1, 2)).any()


@settings(max_examples=60)
@given(st.lists(st.integers(0, 10_000), min_size=3, max_size=12), st.integers(0, 2**32), st.data())
def test_draw_negatives_fills_up_to_the_last_item(counts, seed, data):
    counts = np.array([0, *counts, 1, 1])
    present = np.flatnonzero(counts)
    target = data.draw(st.sampled_from(present.tolist()))
    population = Population.build(counts, "popularity", 1.0)

    drawn = draw_negatives(population, keys_for(3, seed), np.full(3, target), len(present) - 1)

    assert all(sorted([target, *row]) == present.tolist() for row in drawn.tolist())


def test_draw_negatives_do_not_depend_on_the_rows_beside_them():
    population = Population.build(COUNTS, "popularity", 1.0)
    keys, targets = keys_for(50), np.resize([1, 2, 3], 50)

    together = draw_negatives(population, keys, targets, 7)
    apart = np.concatenate([draw_negatives(population, keys[i : i + 1], targets[i : i + 1], 7) for i in range(50)])

    assert (together == apart).all()


@pytest.mark.parametrize(("sampling", "power"), [("popularity", 1.0), ("power", 0.5), ("uniform", 0.0)])
def test_first_negative_follows_the_weights(sampling, power):
    population = Population.build(COUNTS, sampling, 0.5)
    num_rows = 40_000

    first = draw_negatives(population, keys_for(num_rows), np.full(num_rows, 1), 1)[:, 0]

    weights = np.where(COUNTS > 0, COUNTS.astype(float) ** power, 0.0)
    weights[1] = 0.0  # The target.
    found = np.bincount(first, minlength=len(COUNTS)) / num_rows
    assert np.abs(found - weights / weights.sum()).max() < 0.01


def test_draws_without_replacement_follow_successive_sampling():
    counts = np.array([0, 1000, 10, 5, 5, 1])  # One item outweighs the others, so that rejection gives up.
    population = Population.build(counts, "popularity", 1.0)
    num_rows = 40_000

    drawn = draw_negatives(population, keys_for(num_rows), np.full(num_rows, 5), 3)

    left_out = np.bincount(1 + 2 + 3 + 4 - drawn.sum(axis=1), minlength=5)[1:] / num_rows
    weights = {1: 1000, 2: 10, 3: 5, 4: 5}
    sequential = dict.fromkeys(weights, 0.0)
    for a in weights:
        for b in weights.keys() - {a}:
            for c in weights.keys() - {a, b}:
                rest = sum(weights.values())
                chance = weights[a] / rest * weights[b] / (rest - weights[a])
                chance *= weights[c] / (rest - weights[a] - weights[b])
                sequential[(weights.keys() - {a, b, c}).pop()] += chance
    assert np.abs(left_out - [sequential[item] for item in (1, 2, 3, 4)]).max() < 0.01


def test_category_negatives_come_from_the_target_s_category_as_far_as_it_goes():
    category_of = np.array([0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2], np.int32)
    population = Population.build(COUNTS, "category", 1.0, category_of)

    drawn = draw_negatives(population, keys_for(200), np.resize([1, 5], 200), 4)

    assert (np.sort(drawn[::2, :3]) == [2, 3, 4]).all()
    assert (drawn[::2, 3] >= 5).all()
    assert (drawn[1::2] >= 6).all()


def test_check_enough_says_how_many_items_there_are():
    population = Population.build(COUNTS, "popularity", 1.0)

    check_enough(population, {"num_test_negatives": 8}, 1, excludes_own=False)
    with pytest.raises(DataError, match=r"num_test_negatives is 9, but .* 9 items .* set .*\.num_test_negatives=8\."):
        check_enough(population, {"num_test_negatives": 9}, 1, excludes_own=False)


def test_negatives_at_a_time_come_from_its_period_as_far_as_it_goes():
    counts = np.array([[0, 9, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0], [0, 5, 0, 0, 4, 3, 2, 1]])
    population = Population.build_by_period(counts)
    targets, periods = np.resize([1, 4], 400), np.repeat([0, 1, 2, 2], 100)

    drawn = draw_negatives(population, keys_for(400), targets, 4, periods=periods)

    assert all(len(set(row)) == 4 for row in drawn.tolist())
    assert not (drawn == targets[:, None]).any()
    first, empty, last = drawn[:100], drawn[100:200], drawn[200:]
    assert set(first[::2, :2].ravel()) == {2, 3}  # All of its period but the target, then others.
    assert set(first[::2, 2:].ravel()) <= {4, 5, 6, 7}
    assert set(empty.ravel()) == set(range(1, 8))  # A period without events: as by popularity.
    assert set(last[::2].ravel()) == {4, 5, 6, 7}
    assert set(last[1::2].ravel()) == {1, 5, 6, 7}


def test_the_first_negative_at_a_time_follows_the_weights_of_the_period():
    counts = np.array([[0, 9, 1, 10, 0], [0, 1, 1, 0, 100]])
    population = Population.build_by_period(counts)

    drawn = draw_negatives(population, keys_for(40_000), np.full(40_000, 3), 1, periods=np.zeros(40_000, int))

    assert np.abs(np.bincount(drawn[:, 0], minlength=5) / 40_000 - [0, 0.9, 0.1, 0, 0]).max() < 0.01


def test_draw_negatives_bars_what_the_owner_has_whichever_rows_are_its_own():
    population = Population.build(COUNTS, "category", 1.0, np.array([0, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0], np.int32))
    owner = np.resize([1, 0, 0, 2], 200)
    targets = np.resize([1, 2, 3, 4, 5, 7, 8], 200)
    own = Ragged.from_lengths(np.array([3, 4, 5, 1, 2]), np.array([3, 0, 2]))

    shared = draw_negatives(population, keys_for(200), targets, 5, own, owner)
    apart = draw_negatives(population, keys_for(200), targets, 5, own.take(owner))

    assert (shared == apart).all()
    for row, items in zip(owner, shared.tolist(), strict=True):
        assert not set(items) & {0: {3, 4, 5}, 1: set(), 2: {1, 2}}[row]
