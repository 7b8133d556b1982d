import numpy as np

from seqrec.evaluation.rankings.baselines import ItemId, ItemPairs, LastCategory, Popularity, RecentPopularity
from tests.evaluation.rows_by_hand import build_rows, places

COUNTS = np.array([0, 5, 9, 1, 0, 7])
CATEGORY = np.array([0, 1, 2, 1, 2, 0], np.int32)


def order(scores: np.ndarray, candidates: np.ndarray) -> list[int]:
    """Candidates of the first row, the best first."""
    candidates = np.broadcast_to(candidates, scores.shape)
    return candidates[0][np.argsort(-scores[0], kind="stable")].tolist()


def test_popularity_orders_by_training_events() -> None:
    rows = build_rows(([1, 2], 3, [1, 2, 5]))

    scores = Popularity(COUNTS).scores(rows, rows.candidates)

    assert order(scores, rows.candidates) == [2, 5, 1, 3]


def test_last_category_puts_the_last_items_category_first() -> None:
    rows = build_rows(([2, 3], 3, [1, 2, 5]))

    scores = LastCategory(CATEGORY, COUNTS).scores(rows, rows.candidates)

    assert order(scores, rows.candidates) == [1, 3, 2, 5]


def test_last_category_of_an_item_without_one_is_popularity() -> None:
    rows = build_rows(([2, 5], 3, [1, 2, 5]))

    scores = LastCategory(CATEGORY, COUNTS).scores(rows, rows.candidates)

    assert order(scores, rows.candidates) == [2, 5, 1, 3]


def test_item_id_puts_the_highest_id_first() -> None:
    rows = build_rows(([1], 1, [2, 3]))

    scores = ItemId(np.array([0, 2, 3, 1])).scores(rows, rows.candidates)

    assert order(scores, rows.candidates) == [2, 1, 3]


def test_recent_popularity_counts_the_days_before_the_target() -> None:
    # Item 1 has 4 events on day 10, 2 on day 11, 1 on day 12; item 2 has 3 on day 19, 8 on day 20. The target is on
    # day 20 and looks 8 days back.
    days = np.array([0, 1, 2, 9, 10])
    keys = np.array([1, 1, 1, 2, 2]) * 12 + days
    ranker = RecentPopularity(10, 11, 8, keys, np.array([0, 4, 6, 7, 10, 18]))
    rows = build_rows(([3], 1, [2, 3]), days=[[1, 20]])

    scores = ranker.scores(rows, rows.candidates)

    assert scores.tolist() == [[1, 3, 0]]


def test_recent_popularity_before_all_events_is_nothing() -> None:
    ranker = RecentPopularity(10, 11, 8, np.array([12]), np.array([0, 4]))
    rows = build_rows(([3], 1, [2, 3]), days=[[1, 5]])

    assert ranker.scores(rows, rows.candidates).tolist() == [[0, 0, 0]]


def test_item_pairs_add_up_over_the_last_items() -> None:
    pairs = {(1, 4): 2, (2, 3): 1, (2, 4): 3, (5, 3): 9}
    keys = np.array([first * 6 + second for first, second in pairs])
    ranker = ItemPairs(2, 5, keys, np.array([*pairs.values()], np.int32), COUNTS)
    rows = build_rows(([5, 1, 2], 3, [4, 1]))

    scores = ranker.scores(rows, rows.candidates)

    assert np.floor(scores).tolist() == [[1.0, 5.0, 0.0]]
    assert scores[0, 2] == COUNTS[1] / 32


def test_item_pairs_let_popularity_decide_among_equal_sums_only() -> None:
    random = np.random.default_rng(0)
    counts = random.integers(0, 30_000_000, 301)
    counts[1:100] = counts[100:199]  # Ties of popularity as well.
    weights = {(int(a), int(b)): int(w) for a, b, w in random.integers((1, 1, 1), (4, 301, 5), (600, 3))}
    weights |= {(1, 299): 1_000_000, (1, 300): 1_000_001}
    pairs = sorted(weights)
    keys = np.array([first * 301 + second for first, second in pairs])
    ranker = ItemPairs(3, 300, keys, np.array([weights[pair] for pair in pairs], np.int32), counts)
    rows = build_rows(([1, 2, 3], 1, [2]))
    candidates = np.arange(1, 301, dtype=np.int32)

    scores = ranker.scores(rows, candidates)[0]

    sums = [sum(weights.get((first, second), 0) for first in (1, 2, 3)) for second in range(1, 301)]
    assert len(set(sums)) < 20
    pairs_of = list(zip(sums, counts[1:], strict=True))
    assert places(scores) == places(pairs_of)
    # Where scores are kept as float32, popularity is rounded, but never lifts an item to a higher sum.
    rounded = scores.astype(np.float32)
    for low, high in zip(sorted(set(sums))[:-1], sorted(set(sums))[1:], strict=True):
        assert rounded[np.equal(sums, low)].max() < rounded[np.equal(sums, high)].min()


def test_baselines_score_shared_candidates_like_own_ones() -> None:
    rows = build_rows(([1, 2], 3, [1, 2, 5]), ([3], 3, [1, 2, 5]))
    shared = np.array([3, 1, 2, 5], np.int32)

    rankers = (
        Popularity(COUNTS),
        LastCategory(CATEGORY, COUNTS),
        ItemPairs(2, 5, np.array([13]), np.ones(1, np.int32), COUNTS),
    )

    for ranker in rankers:
        assert np.array_equal(ranker.scores(rows, shared), ranker.scores(rows, rows.candidates))
