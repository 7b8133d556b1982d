import numpy as np
import pytest
from scipy.stats import hypergeom

from seqrec.evaluation.sampling_correction import corrected_metrics, sampled_rank_probabilities

METRICS = {"hit_rate@10": ("hit_rate", 10), "ndcg@10": ("ndcg", 10), "mrr": ("mrr", 0)}


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

    found = corrected_metrics(ranks, counts, 99, num_items, METRICS)

    truth = (full_ranks <= 10).mean()
    uncorrected = counts[ranks <= 10].sum() / counts.sum()
    assert abs(found["hit_rate@10"] - truth) < 0.1 * abs(uncorrected - truth)


def test_corrected_metrics_of_all_items_are_the_full_metrics() -> None:
    ranks, counts = np.arange(1, 41), np.random.default_rng(2).integers(1, 50, 40)

    found = corrected_metrics(ranks, counts, 39, 40, {"hit_rate@10": ("hit_rate", 10)})

    # Nothing is sampled away: only the variance term is left, and it shrinks every metric towards its mean.
    full = counts[:10].sum() / counts.sum()
    assert found["hit_rate@10"] == pytest.approx(full, rel=0.15)


def test_corrected_metrics_of_a_large_catalogue_take_ranks_in_steps() -> None:
    full_ranks = np.random.default_rng(3).geometric(0.001, 20_000)
    ranks, counts = sampled(full_ranks, 50, 1_000_000)

    found = corrected_metrics(ranks, counts, 50, 1_000_000, METRICS)

    assert all(0.0 <= value < 0.05 for value in found.values())
