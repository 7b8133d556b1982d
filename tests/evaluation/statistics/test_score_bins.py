import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from seqrec.evaluation.statistics.score_bins import ScoreCounts, auc, dropped_bits, row_auc_terms, score_bins, shares


def count(scores: np.ndarray, dropped: int) -> ScoreCounts:
    bins = score_bins(scores, dropped)
    distinct = np.unique(bins)
    targets = [(bins[:, 0] == each).sum() for each in distinct]
    negatives = [(bins[:, 1:] == each).sum() for each in distinct]
    return ScoreCounts(distinct, np.array(targets), np.array(negatives))


def pooled(scores: np.ndarray) -> float:
    labels = np.zeros(scores.shape)
    labels[:, 0] = 1
    return roc_auc_score(labels.ravel(), scores.ravel())


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=30))
def test_score_bins_keep_the_order_of_scores(values: list[float]) -> None:
    scores = np.array(values, np.float32)

    bins = score_bins(scores, 0)

    assert np.array_equal(np.sign(bins[:, None] - bins), np.sign(scores[:, None].astype(float) - scores.astype(float)))


def test_auc_of_few_scores_equals_scikit_learn() -> None:
    scores = np.random.default_rng(0).normal(0, 1, (200, 10)).round(1).astype(np.float32)

    found = auc(count(scores, dropped_bits(scores.size)))

    assert found == pytest.approx(pooled(scores), abs=1e-12)


def test_auc_of_many_scores_is_near_scikit_learn() -> None:
    scores = np.random.default_rng(1).normal(0, 0.1, (400, 10)).astype(np.float32) + 0.3

    found = auc(count(scores, dropped_bits(10**9)))

    assert found == pytest.approx(pooled(scores), abs=1e-5)


def test_auc_counts_more_pairs_than_fit_64_bits() -> None:
    many = np.array([3 * 10**9])

    found = auc(ScoreCounts(np.array([0, 1]), np.append(0, 4 * many), np.append(many, 0)))

    assert found == 1.0


def test_auc_without_negatives_is_not_a_number() -> None:
    assert np.isnan(auc(ScoreCounts(np.array([0]), np.array([3]), np.array([0]))))


def test_row_auc_terms_have_the_auc_as_their_mean() -> None:
    scores = np.random.default_rng(2).normal(0, 1, (50, 5)).round(1).astype(np.float32)
    counts = count(scores, 0)

    terms = row_auc_terms(score_bins(scores, 0), shares(counts), auc(counts))

    assert terms.mean() == pytest.approx(pooled(scores), abs=1e-12)


def test_row_auc_terms_spread_like_the_auc_of_resamples() -> None:
    random = np.random.default_rng(3)
    scores = random.normal(0, 1, (300, 5)).astype(np.float32)
    scores[:, 0] += 0.5
    counts = count(scores, 0)
    resamples = [pooled(scores[random.integers(0, 300, 300)]) for _ in range(300)]

    terms = row_auc_terms(score_bins(scores, 0), shares(counts), auc(counts))

    assert terms.std() / np.sqrt(300) == pytest.approx(np.std(resamples), rel=0.15)
