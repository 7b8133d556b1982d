import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import log_loss

from seqrec.core import metrics as M

# Few different values, so that ties are common.
SCORES = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 6), st.integers(2, 7)), elements=st.sampled_from([-1.0, 0.0, 0.5, 2.0])
)


def group_auc(scores: np.ndarray) -> float:
    return float(M.row_auc(M.target_counts(scores)).mean())


@pytest.mark.parametrize(
    ("scores", "rank"),
    [
        pytest.param([3.0, 1.0, 2.0], 1, id="best"),
        pytest.param([1.0, 3.0, 2.0], 3, id="worst"),
        pytest.param([1.0, 1.0, 0.0], 2, id="a tie counts against the target"),
        pytest.param([1.0, 1.0, 1.0], 3, id="all tied is last"),
        pytest.param([1.0, float("nan"), 0.0], 2, id="no number counts against the target"),
    ],
)
def test_target_ranks_of_one_row(scores: list[float], rank: int) -> None:
    ranks = M.target_ranks(np.array([scores], np.float32))

    assert ranks.tolist() == [rank]


@pytest.mark.parametrize(("rank", "gain"), [(1, 1.0), (2, 0.6309297535714575), (3, 0.5), (4, 0.0)])
def test_ndcg_at_3_of_one_row(rank: int, gain: float) -> None:
    assert M.ndcg(np.array([rank]), 3) == pytest.approx([gain])


@given(SCORES)
def test_metrics_are_ordered(scores: np.ndarray) -> None:
    ranks = M.target_ranks(scores)

    for k in range(1, scores.shape[1] + 1):
        for lower, higher in ((0.0, M.ndcg(ranks, k)), (M.ndcg(ranks, k), M.hit(ranks, k))):
            assert (lower <= higher).all()
        assert (M.hit(ranks, k) <= M.hit(ranks, k + 1)).all()
    assert (M.hit(ranks, 1) <= M.reciprocal_rank(ranks)).all()
    assert (M.hit(ranks, scores.shape[1]) == 1.0).all()


@given(SCORES)
def test_metrics_ignore_an_increasing_rescaling(scores: np.ndarray) -> None:
    rescaled = np.exp(3.0 * scores) + 5.0

    assert M.target_ranks(rescaled).tolist() == M.target_ranks(scores).tolist()
    assert group_auc(rescaled) == group_auc(scores)
    assert M.pooled_auc(rescaled[:, 0], rescaled[:, 1:]) == M.pooled_auc(scores[:, 0], scores[:, 1:])


@given(SCORES)
def test_group_auc_counts_pairs(scores: np.ndarray) -> None:
    wins = [[(row[0] > n) + 0.5 * (row[0] == n) for n in row[1:]] for row in scores]

    assert group_auc(scores) == pytest.approx(np.mean([np.mean(row) for row in wins]))


@given(SCORES)
def test_pooled_auc_counts_pairs(scores: np.ndarray) -> None:
    pairs = [(t > n) + 0.5 * (t == n) for t in scores[:, 0] for n in scores[:, 1:].ravel()]

    assert M.pooled_auc(scores[:, 0], scores[:, 1:]) == pytest.approx(np.mean(pairs))


def test_pooled_auc_of_nothing_is_not_a_number() -> None:
    assert np.isnan(M.pooled_auc(np.zeros(0), np.zeros(3)))


def test_row_log_loss_clips() -> None:
    loss = M.row_log_loss(np.array([[-100.0, 0.0]]))

    assert loss == pytest.approx([(11 * np.log(10) + np.log(2)) / 2])


def test_row_log_loss_equals_scikit_learn() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (50, 5))

    found = M.row_log_loss(logits)

    labels = np.tile([1, 0, 0, 0, 0], (50, 1))
    expected = [log_loss(a, 1 / (1 + np.exp(-b))) for a, b in zip(labels, logits, strict=True)]
    assert found == pytest.approx(expected, rel=1e-9)


def test_row_log_loss_is_bounded_as_the_reference_clips() -> None:
    found = M.row_log_loss(np.array([[-100.0, 100.0]]))

    assert found == pytest.approx([-np.log(1e-11)])


def test_measure_scores_of_two_rows() -> None:
    scores = np.array([[3.0, 1.0, 2.0], [1.0, 3.0, 2.0]], np.float32)

    metrics = M.measure_scores(scores, [1, 2])

    expected = {"auc": 0.5, "group_auc": 0.5, "mrr": (1 + 1 / 3) / 2}
    expected |= {"ndcg@1": 0.5, "hit_rate@1": 0.5, "ndcg@2": 0.5, "hit_rate@2": 0.5}
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)
    assert [name for name in metrics if name in expected] == list(expected)


@pytest.mark.parametrize(
    ("metric", "name", "is_name"),
    [
        ("mrr", "mrr", True),
        ("mrr", "mrr@3", False),
        ("ndcg", "ndcg@10", True),
        ("ndcg", "ndcg", False),
        ("ndcg", "ndcg@0", False),
        ("ndcg", "catalogue_ndcg@10", False),
    ],
)
def test_is_name_wants_a_cutoff_where_the_metric_has_one(metric: str, name: str, is_name: bool) -> None:
    assert M.METRICS[metric].is_name(name) is is_name


def test_every_metric_has_its_meaning_and_its_own_heading() -> None:
    headings = [metric.heading for metric in M.METRICS.values() if metric.heading]

    assert all(metric.meaning for metric in M.METRICS.values())
    assert all(name == metric.name for name, metric in M.METRICS.items())
    assert len(headings) == len(set(headings))


def test_metrics_of_top_items_count_each_item_by_its_rows() -> None:
    train_count = np.array([0, 6, 1, 0, 1])  # Four items, eight events.
    top = M.TopItemCounts(np.array([1, 3]), np.array([3, 1]), train_count)

    assert M.coverage(top) == 0.5
    assert M.average_popularity(top) == (3 * 6 + 0) / 4
    assert M.novelty(top) == pytest.approx((3 * -np.log2(7 / 12) - np.log2(1 / 12)) / 4)


def test_metrics_equal_the_reference(shared: Path) -> None:
    golden = np.load(shared / "golden" / "metrics.npz")
    expected = json.loads((shared / "golden" / "metrics.json").read_text())
    order = np.argsort(-golden["labels"], axis=1, kind="stable")  # The reference's groups with the target put first.
    scores = np.take_along_axis(golden["preds"], order, axis=1)
    ranks = M.target_ranks(scores)

    assert M.pooled_auc(scores[:, 0], scores[:, 1:]) == pytest.approx(expected["auc"], abs=6e-5)
    assert group_auc(scores) == pytest.approx(expected["group_auc"], abs=6e-5)
    logits = np.log(scores.astype(np.float64)) - np.log1p(-scores.astype(np.float64))
    assert M.row_log_loss(logits).mean() == pytest.approx(expected["logloss"], abs=6e-5)
    # The reference breaks ties by an unstable sort; only 1 % of the groups hold a tie with the target.
    assert M.reciprocal_rank(ranks).mean() == pytest.approx(expected["mean_mrr"], abs=0.01)
    assert M.ndcg(ranks, 4).mean() == pytest.approx(expected["ndcg@4"], abs=0.01)
    assert M.hit(ranks, 5).mean() == pytest.approx(expected["hit@5"], abs=0.02)
