import numpy as np

from seqrec.evaluation.baselines import ItemId, ItemPairs, LastCategory, Popularity, RecentPopularity
from tests.evaluation.rows_by_hand import build_rows

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
    ranking = RecentPopularity(10, 11, 8, keys, np.array([0, 4, 6, 7, 10, 18]))
    rows = build_rows(([3], 1, [2, 3]), days=[[1, 20]])

    scores = ranking.scores(rows, rows.candidates)

    assert scores.tolist() == [[1, 3, 0]]


def test_recent_popularity_before_all_events_is_nothing() -> None:
    ranking = RecentPopularity(10, 11, 8, np.array([12]), np.array([0, 4]))
    rows = build_rows(([3], 1, [2, 3]), days=[[1, 5]])

    assert ranking.scores(rows, rows.candidates).tolist() == [[0, 0, 0]]


def test_item_pairs_add_up_over_the_last_items() -> None:
    pairs = {(1, 4): 2.0, (2, 3): 1.0, (2, 4): 3.0, (5, 3): 9.0}
    keys = np.array([first * 6 + second for first, second in pairs])
    ranking = ItemPairs(2, 5, keys, np.array([*pairs.values()], np.float32), COUNTS)
    rows = build_rows(([5, 1, 2], 3, [4, 1]))

    scores = ranking.scores(rows, rows.candidates)

    assert np.floor(scores).tolist() == [[1.0, 5.0, 0.0]]
    assert scores[0, 2] == COUNTS[1] / 10


def test_baselines_score_shared_candidates_like_own_ones() -> None:
    rows = build_rows(([1, 2], 3, [1, 2, 5]), ([3], 3, [1, 2, 5]))
    shared = np.array([3, 1, 2, 5], np.int32)

    rankings = (
        Popularity(COUNTS),
        LastCategory(CATEGORY, COUNTS),
        ItemPairs(2, 5, np.array([13]), np.ones(1, np.float32), COUNTS),
    )

    for ranking in rankings:
        assert np.array_equal(ranking.scores(rows, shared), ranking.scores(rows, rows.candidates))
