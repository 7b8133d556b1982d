import numpy as np

from seqrec.preparation.filters.item_sampling import sample_items


def test_sample_items_takes_the_asked_share_of_items_that_occur():
    counts = np.array([5, 0, 1, 9, 2, 0, 7, 3])

    sampled = sample_items(counts, np.arange(8), 0.5, seed=1)

    assert sampled.sum() == 3
    assert not sampled[[1, 5]].any()


def test_sample_items_draws_by_popularity_without_replacement():
    counts = np.array([6, 3, 1])
    num_draws = 20_000

    chosen = np.zeros(3)
    for seed in range(num_draws // 1000):
        keys = np.arange(3_000) + 3_000 * seed
        for part in np.split(keys, 1000):
            chosen += sample_items(counts, part, 0.67, seed)

    first = counts / 10
    pairs = [first[a] * counts[b] / (10 - counts[a]) for a in range(3) for b in range(3) if a != b]
    ways = [(a, b) for a in range(3) for b in range(3) if a != b]
    expected = [sum(p for p, way in zip(pairs, ways, strict=True) if item in way) for item in range(3)]
    assert np.abs(chosen / num_draws - expected).max() < 0.02


def test_sample_items_keeps_the_same_items_when_others_are_added():
    counts, keys = np.full(1_000, 4), np.arange(1_000) * 7

    sampled = sample_items(counts, keys, 0.1, seed=5)
    order = np.random.default_rng(0).permutation(1_000)
    shuffled = sample_items(counts[order], keys[order], 0.1, seed=5)

    assert (sampled[order] == shuffled).all()
