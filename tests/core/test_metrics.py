import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seqrec.core import metrics as M

# Few different values, so that ties are common.
SCORES = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 6), st.integers(2, 7)), elements=st.sampled_from([-1.0, 0.0, 0.5, 2.0])
)


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
    assert M.ndcg(np.array([rank]), 3) == pytest.approx(gain)


@given(SCORES)
def test_metrics_are_ordered(scores: np.ndarray) -> None:
    ranks = M.target_ranks(scores)

    for k in range(1, scores.shape[1] + 1):
        assert 0.0 <= M.ndcg(ranks, k) <= M.hit_rate(ranks, k) <= M.hit_rate(ranks, k + 1) <= 1.0
    assert M.hit_rate(ranks, 1) <= M.mrr(ranks) + 1e-12
    assert M.hit_rate(ranks, scores.shape[1]) == 1.0


@given(SCORES)
def test_metrics_ignore_an_increasing_rescaling(scores: np.ndarray) -> None:
    rescaled = np.exp(3.0 * scores) + 5.0

    assert M.target_ranks(rescaled).tolist() == M.target_ranks(scores).tolist()
    assert M.group_auc(rescaled) == M.group_auc(scores)
    assert M.pooled_auc(rescaled[:, 0], rescaled[:, 1:]) == M.pooled_auc(scores[:, 0], scores[:, 1:])


@given(SCORES)
def test_group_auc_counts_pairs(scores: np.ndarray) -> None:
    wins = [[(row[0] > n) + 0.5 * (row[0] == n) for n in row[1:]] for row in scores]

    assert M.group_auc(scores) == pytest.approx(np.mean([np.mean(row) for row in wins]))


@given(SCORES)
def test_pooled_auc_counts_pairs(scores: np.ndarray) -> None:
    pairs = [(t > n) + 0.5 * (t == n) for t in scores[:, 0] for n in scores[:, 1:].ravel()]

    assert M.pooled_auc(scores[:, 0], scores[:, 1:]) == pytest.approx(np.mean(pairs))


def test_pooled_auc_of_nothing_is_not_a_number() -> None:
    assert np.isnan(M.pooled_auc(np.zeros(0), np.zeros(3)))


def test_log_loss_clips() -> None:
    loss = M.log_loss(np.array([1, 0]), np.array([0.0, 0.5]))

    assert loss == pytest.approx((11 * np.log(10) + np.log(2)) / 2)


def test_metrics_equal_the_reference(shared: Path) -> None:
    golden = np.load(shared / "golden" / "metrics.npz")
    expected = json.loads((shared / "golden" / "metrics.json").read_text())
    order = np.argsort(-golden["labels"], axis=1, kind="stable")  # The reference's groups with the target put first.
    scores = np.take_along_axis(golden["preds"], order, axis=1)
    ranks = M.target_ranks(scores)

    assert M.pooled_auc(scores[:, 0], scores[:, 1:]) == pytest.approx(expected["auc"], abs=6e-5)
    assert M.group_auc(scores) == pytest.approx(expected["group_auc"], abs=6e-5)
    assert M.log_loss(golden["labels"], golden["preds"]) == pytest.approx(expected["logloss"], abs=6e-5)
    # The reference breaks ties by an unstable sort; only 1 % of the groups hold a tie with the target.
    assert M.mrr(ranks) == pytest.approx(expected["mean_mrr"], abs=0.01)
    assert M.ndcg(ranks, 4) == pytest.approx(expected["ndcg@4"], abs=0.01)
    assert M.hit_rate(ranks, 5) == pytest.approx(expected["hit@5"], abs=0.02)
