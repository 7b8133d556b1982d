import numpy as np
import pytest

from seqrec.scoring.intervals import interval, poisson_weights, sign_flip_p_value, signs, weighted_sums

USERS = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, 5000)


def test_poisson_weights_have_mean_and_variance_one() -> None:
    weights = poisson_weights(USERS, 1, 200).astype(float)

    assert weights.mean() == pytest.approx(1.0, abs=0.005)
    assert weights.var() == pytest.approx(1.0, abs=0.01)
    assert (weights == 0).mean() == pytest.approx(np.exp(-1), abs=0.003)


def test_poisson_weights_of_users_and_of_replicates_are_independent() -> None:
    weights = poisson_weights(USERS, 1, 200).astype(float)

    between_replicates = np.corrcoef(weights[:, :40].T) - np.eye(40)
    between_users = np.corrcoef(weights[:40]) - np.eye(40)
    assert np.abs(between_replicates).max() < 5 / np.sqrt(5000)
    assert np.abs(between_users).max() < 5 / np.sqrt(200)


def test_poisson_weights_depend_on_user_and_seed_alone() -> None:
    weights = poisson_weights(USERS, 1, 100)

    assert np.array_equal(poisson_weights(USERS[::-1][:10], 1, 100), weights[::-1][:10])
    assert not np.array_equal(poisson_weights(USERS, 2, 100), weights)


def test_signs_are_fair_and_not_the_weights() -> None:
    drawn = signs(USERS, 1, 200).astype(float)

    assert set(np.unique(drawn)) == {-1.0, 1.0}
    assert drawn.mean() == pytest.approx(0.0, abs=0.005)
    assert abs(np.corrcoef(drawn.ravel(), poisson_weights(USERS, 1, 200).ravel())[0, 1]) < 0.005


def test_weighted_sums_are_exact_in_any_order() -> None:
    values = np.random.default_rng(1).integers(0, 2**34, (5000, 3))

    found = weighted_sums(poisson_weights, USERS, 1, 100, values)

    order = np.random.default_rng(2).permutation(5000)
    halves = (order[:1234], order[1234:])
    parts = sum(weighted_sums(poisson_weights, USERS[half], 1, 100, values[half]) for half in halves)
    assert np.array_equal(found, parts)
    assert found[7, 2] == sum(
        int(w) * int(v) for w, v in zip(poisson_weights(USERS, 1, 100)[:, 7], values[:, 2], strict=True)
    )


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    covered = 0
    for trial in range(200):
        random = np.random.default_rng(trial)
        users, values = random.integers(-(2**63), 2**63 - 1, 200), random.random(200)
        columns = np.stack([np.ones(200, np.int64), np.rint(values * 2**30).astype(np.int64)], axis=1)
        sums = weighted_sums(poisson_weights, users, 5, 400, columns)
        low, high = interval(sums[:, 1] / sums[:, 0] / 2**30, 0.9)
        covered += low <= 0.5 <= high

    assert 0.83 <= covered / 200 <= 0.96


@pytest.mark.parametrize(("lead", "is_significant"), [(0.0, False), (0.2, True), (-0.2, True)])
def test_sign_flip_p_value_tells_a_lead_from_noise(lead: float, is_significant: bool) -> None:
    difference = np.random.default_rng(3).normal(lead, 1.0, 1000)
    whole = np.rint(difference * 2**30).astype(np.int64)[:, None]

    flipped = weighted_sums(signs, USERS[:1000], 1, 1000, whole)[:, 0]
    p_value = sign_flip_p_value(float(whole.sum()), flipped)

    assert (p_value < 0.05) == is_significant
