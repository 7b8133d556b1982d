import numpy as np
import pytest
from scipy.stats import hypergeom

from seqrec.core.metrics import METRICS
from seqrec.evaluation.statistics import sampling_correction
from seqrec.evaluation.statistics.sampling_correction import corrected_metrics, sampled_rank_probabilities

CUTOFFS = dict.fromkeys(METRICS, (10,))
NAMES = ("hit_rate@10", "ndcg@10", "mrr")


def sampled(full_ranks: np.ndarray, num_negatives: int, num_items: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    above = random.hypergeometric(full_ranks - 1, num_items - full_ranks, num_negatives)
    return np.unique(1 + above, return_counts=True)


def test_sampled_rank_probabilities_are_hypergeometric() -> None:
    full_ranks = np.array([1, 2, 50, 999, 1000])

    found = sampled_rank_probabilities(full_ranks, 20, 1000)

    expected = [hypergeom(999, rank - 1, 20).pmf(np.arange(21)) for rank in full_ranks]
    assert found == pytest.approx(np.array(expected), abs=1e-10)


def test_corrected_metrics_come_nearer_to_the_full_ranking() -> None:
    num_items = 2000
    full_ranks = np.random.default_rng(1).geometric(0.01, 50_000)
    full_ranks = full_ranks[full_ranks <= num_items]
    ranks, counts = sampled(full_ranks, 99, num_items)

    found = corrected_metrics(ranks, counts, 99, num_items, CUTOFFS)

    truth = (full_ranks <= 10).mean()
    uncorrected = counts[ranks <= 10].sum() / counts.sum()
    assert abs(found["hit_rate@10"] - truth) < 0.1 * abs(uncorrected - truth)


def test_corrected_metrics_of_all_items_are_the_full_metrics() -> None:
    ranks, counts = np.arange(1, 41), np.random.default_rng(2).integers(1, 50, 40)

    found = corrected_metrics(ranks, counts, 39, 40, CUTOFFS)

    # Nothing is sampled away, so there is neither bias nor variance.
    share = counts / counts.sum()
    gain = np.where(ranks <= 10, 1.0 / np.log2(ranks + 1.0), 0.0)
    expected = {"hit_rate@10": share[:10].sum(), "ndcg@10": share @ gain, "mrr": share @ (1.0 / ranks)}
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_corrected_metrics_trade_bias_for_variance_as_the_paper_says(name: str) -> None:
    num_items, num_negatives, trade_off, num_draws = 60, 12, 0.1, 3000
    random = np.random.default_rng(4)
    full_ranks = np.arange(1, num_items + 1)
    # Negatives drawn one by one from the catalogue, for a target of each full rank: nothing of the code under test.
    above = np.arange(num_items - 1) < full_ranks[:, None] - 1  # Which of the other items stand above the target.
    drawn = np.stack([random.permutation(num_items - 1)[:num_negatives] for _ in range(num_draws)])
    sampled_ranks = 1 + above[:, drawn].sum(axis=2)  # [full ranks, draws]
    is_hit = full_ranks <= 10
    true = {"hit_rate@10": is_hit, "ndcg@10": is_hit / np.log2(full_ranks + 1), "mrr": 1 / full_ranks}

    estimate = [
        corrected_metrics(np.array([rank]), np.array([1]), num_negatives, num_items, CUTOFFS)[name]
        for rank in range(1, num_negatives + 2)
    ]

    def objective(estimate: np.ndarray) -> float:
        estimates = estimate[sampled_ranks - 1]
        bias = estimates.mean(axis=1) - true[name]
        return float((bias**2 + trade_off * estimates.var(axis=1)).mean())

    best = objective(np.array(estimate))
    for scale in (0.95, 1.05):
        assert objective(scale * np.array(estimate)) > best
    for _ in range(20):
        other = random.normal(0.0, 0.05, num_negatives + 1) * np.abs(estimate).max()
        assert objective(np.array(estimate) + other) > best


def test_corrected_metrics_of_a_large_catalogue_take_ranks_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    num_items = 20_000
    full_ranks = np.random.default_rng(3).geometric(0.001, 20_000)
    ranks, counts = sampled(full_ranks[full_ranks <= num_items], 50, num_items)

    found = []
    for exact_ranks in (256, num_items):
        monkeypatch.setattr(sampling_correction, "_EXACT_RANKS", exact_ranks)
        found.append(corrected_metrics(ranks, counts, 50, num_items, CUTOFFS))

    assert found[0] == pytest.approx(found[1], rel=0.01)
