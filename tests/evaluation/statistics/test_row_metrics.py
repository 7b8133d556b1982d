import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import ndcg_score, roc_auc_score

from seqrec.core import metrics
from seqrec.evaluation.statistics.row_metrics import (
    from_whole,
    metric_names,
    row_metrics,
    to_whole,
)

CUTOFFS = {**dict.fromkeys(metrics.METRICS, (1, 2, 5, 10)), "ndcg": (1, 2, 4, 6, 10)}


def measure(scores: np.ndarray) -> dict[str, np.ndarray]:
    """Each metric of each row of scores [B, N], the target's first."""
    values = row_metrics(metrics.target_counts(scores[:, None]), CUTOFFS)[:, 0]
    return dict(zip(metric_names(CUTOFFS), values.T, strict=True))


@pytest.fixture
def golden(shared: Path) -> tuple[np.ndarray, dict[str, float]]:
    with np.load(shared / "golden" / "metrics.npz") as stored:
        labels, scores = stored["labels"], stored["preds"]
    assert (labels[:, 0] == 1).all()
    return scores, json.loads((shared / "golden" / "metrics.json").read_text())


def test_row_metrics_equal_the_stated_values_on_all_golden_groups(golden: tuple) -> None:
    scores, _ = golden

    found = {name: round(float(values.mean()), 4) for name, values in measure(scores).items()}

    stated = {"group_auc": 0.6003, "mrr": 0.3658, "ndcg@2": 0.2470, "ndcg@4": 0.3429, "ndcg@6": 0.4303}
    stated |= {"ndcg@10": 0.5129, "hit_rate@1": 0.1650, "hit_rate@5": 0.6200}
    assert {name: found[name] for name in stated} == stated
    assert round(metrics.pooled_auc(scores[:, 0], scores[:, 1:]), 4) == 0.6071


def test_row_metrics_equal_a_plain_sort_on_golden_groups_without_a_tie(golden: tuple) -> None:
    scores, _ = golden
    scores = scores[(scores[:, 1:] != scores[:, :1]).all(axis=1)]
    assert len(scores) == 183

    found = measure(scores)

    ranks = np.array([[*np.argsort(-row)].index(0) + 1 for row in scores])
    labels = np.zeros(scores.shape)
    labels[:, 0] = 1
    assert found["mrr"] == pytest.approx(1 / ranks)
    assert np.array_equal(found["hit_rate@5"], ranks <= 5)
    assert found["group_auc"] == pytest.approx([roc_auc_score(a, b) for a, b in zip(labels, scores, strict=True)])
    for k in CUTOFFS["ndcg"][1:]:
        # The ideal gain is 1, and scikit-learn averages over ties among negatives, which changes nothing here.
        expected = [ndcg_score([a], [b], k=k) for a, b in zip(labels, scores, strict=True)]
        assert found[f"ndcg@{k}"] == pytest.approx(expected, abs=1e-12)


finite_scores = arrays.arrays(np.float64, (7, 12), elements=st.sampled_from([-2.0, -0.5, 0.0, 0.25, 1.0, 3.0]))


@given(finite_scores)
def test_row_metrics_keep_their_order(scores: np.ndarray) -> None:
    found = measure(scores)

    for k in (1, 2, 10):
        assert (found[f"ndcg@{k}"] >= 0).all()
        assert (found[f"ndcg@{k}"] <= found[f"hit_rate@{k}"]).all()
    assert (found["hit_rate@1"] <= found["hit_rate@2"]).all()
    assert (found["hit_rate@5"] <= found["hit_rate@10"]).all()
    assert (found["hit_rate@10"] <= 1).all()


@given(finite_scores)
def test_row_metrics_are_unchanged_by_increasing_rescaling(scores: np.ndarray) -> None:
    found, rescaled = measure(scores), measure(np.exp(scores) * 3 - 7)

    assert all(np.array_equal(found[name], rescaled[name]) for name in found)


def test_row_metrics_give_the_worst_rank_when_all_scores_tie() -> None:
    found = measure(np.zeros((1, 12)))

    assert found["mrr"] == pytest.approx([1 / 12])
    assert found["hit_rate@10"] == [0]
    assert found["group_auc"] == [0.5]


def test_to_whole_loses_less_than_a_billionth() -> None:
    values = np.random.default_rng(0).random(1000)

    assert np.abs(from_whole(to_whole(values)) - values).max() < 1e-9


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_to_whole_refuses_what_is_no_finite_number(value: float) -> None:
    with pytest.raises(ValueError, match=f"1 of 2 metrics of rows are not finite numbers, the first is {value}"):
        to_whole(np.array([0.5, value]))
