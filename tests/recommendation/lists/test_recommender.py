import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqrec.events.ragged import Ragged
from seqrec.events.rows import HistoryRows
from seqrec.neighbours.config import FINDERS, STRIDES
from seqrec.neighbours.finder import CandidateFinder, Candidates
from seqrec.recommendation.candidates.sources import CandidateSources
from seqrec.recommendation.config import RecommendationConfig
from seqrec.recommendation.lists.recommender import (
    HISTORY,
    LIST_SOURCES,
    NO_HISTORY,
    Recommender,
    best_of,
    drop_own,
    with_own,
    with_places,
)


def candidates_of(rows: list[list[int]]) -> Candidates:
    width = max(map(len, rows))
    items = np.array([row + [0] * (width - len(row)) for row in rows], np.int32)
    return Candidates(items, (items % len(FINDERS)).astype(np.int8))


def histories_of(rows: list[list[int]], first_day: int = 0) -> HistoryRows:
    items = Ragged.from_lengths(np.array(sum(rows, []), np.int32), np.array([len(row) for row in rows]))
    times = np.concatenate([first_day + np.arange(len(row)) for row in rows]).astype(np.int64)
    ones = np.ones(len(rows), np.int64)
    return HistoryRows(items=items, timestamps=times, first_timestamps=ones * first_day, as_of=ones * 100)


class FixedScorer:
    """Scores an item by its number: real code asks a model, which these tests are not about."""

    def scores(self, histories: HistoryRows, candidates: np.ndarray) -> np.ndarray:
        return candidates.astype(np.float32)


def recommender_of(popular: list[int], exclude_in_finder: bool = True, **settings) -> Recommender:
    finder = CandidateFinder(
        tables={},
        popular_items=np.array(popular, np.int32),
        item_category=np.zeros(31, np.int32),
        max_candidates=20,
        num_recent_items=3,
        history_decay=0.5,
        history_half_life_days=10.0,
        exclude_own_items=exclude_in_finder,
        strides=STRIDES,
    )
    shares = np.linspace(1.0, 0.5, len(popular)).astype(np.float32)
    config = RecommendationConfig(**{"k": 3, "candidate_weight": 0.0, **settings})
    return Recommender(config, FixedScorer(), CandidateSources(finder, None), np.array(popular, np.int32), shares)  # type: ignore[arg-type]


def items_of(lists) -> list[list[int]]:
    return [row[row > 0].tolist() for row in lists.items]


def test_with_places_takes_the_weighted_logarithm_of_the_place():
    found = with_places(np.zeros((1, 3), np.float32), 1.5)

    assert found[0] == pytest.approx([0.0, -1.5 * np.log(2), -1.5 * np.log(3)])


def test_best_of_prefers_the_earlier_of_equal_scores():
    found = best_of(candidates_of([[7, 5, 6]]), np.array([[1.0, 2.0, 2.0]], np.float32), 2)

    assert items_of(found) == [[5, 6]]
    assert found.scores.tolist() == [[2.0, 2.0]]
    assert found.sources.tolist() == [[5 % len(FINDERS), 6 % len(FINDERS)]]


def test_best_of_leaves_places_without_a_candidate_empty_whatever_their_score():
    found = best_of(candidates_of([[7], [5, 6]]), np.array([[-3.0, 9.0], [1.0, 2.0]], np.float32), 4)

    assert found.items.tolist() == [[7, 0, 0, 0], [6, 5, 0, 0]]


@given(st.lists(st.lists(st.tuples(st.integers(1, 30), st.integers(-3, 3)), max_size=12), min_size=1, max_size=5))
def test_best_of_orders_as_python_sorts(rows):
    rows = [list(dict(row).items()) for row in rows]  # Each item once.
    width = max(1, *map(len, rows))
    scores = np.array([[s for _, s in row] + [9] * (width - len(row)) for row in rows], np.float32)
    candidates = candidates_of([[i for i, _ in row] + [0] * (width - len(row)) for row in rows])

    found = best_of(candidates, scores, 5)

    assert items_of(found) == [[i for i, _ in sorted(row, key=lambda pair: -pair[1])][:5] for row in rows]


def test_drop_own_empties_the_places_of_own_items_only():
    histories = histories_of([[5, 9], [7]])

    found = drop_own(histories, candidates_of([[7, 5, 6], [7, 5, 6]]))

    assert found.items.tolist() == [[7, 0, 6], [0, 5, 6]]


def test_with_own_puts_each_own_item_once_after_the_candidates():
    found = with_own(histories_of([[9, 5, 9], [7]]), candidates_of([[1, 2], [3, 4]]))

    assert [row[row > 0].tolist() for row in found.items] == [[1, 2, 5, 9], [3, 4, 7]]
    assert set(found.sources[:, 2:][found.items[:, 2:] > 0]) == {LIST_SOURCES.index(HISTORY)}


def test_with_own_goes_on_with_the_places_of_each_user():
    histories = histories_of([[9, 5, 9], [], [7]])

    narrow = with_own(histories, candidates_of([[1], [1, 2], []]))
    wide = with_own(histories, candidates_of([[1, 0, 0, 0], [1, 2, 0, 0], [0, 0, 0, 0]]))

    for found in (narrow, wide):
        assert found.items[:, :3].tolist() == [[1, 5, 9], [1, 2, 0], [7, 0, 0]]
        assert not found.items[:, 3:].any()
        is_own = found.sources == LIST_SOURCES.index(HISTORY)
        assert (is_own & (found.items > 0)).tolist() == np.isin(found.items, [5, 7, 9]).tolist()


def test_recommend_leaves_own_items_out_though_the_candidates_hold_them():
    recommender = recommender_of([1, 2, 3, 4, 5, 6], exclude_in_finder=False)

    assert items_of(recommender.recommend(histories_of([[6, 4]]))) == [[5, 3, 2]]


def test_recommend_offers_own_items_when_asked_though_the_candidates_lack_them():
    recommender = recommender_of([1, 2, 3, 4, 5, 6], exclude_own_items=False)

    assert items_of(recommender.recommend(histories_of([[6, 4]]))) == [[6, 5, 4]]


def test_recommend_answers_with_popular_items_where_all_events_are_yet_to_come():
    recommender = recommender_of([4, 2, 6, 1])

    lists = recommender.recommend(histories_of([[5, 6], [5]], first_day=101))

    assert items_of(lists) == [[4, 2, 6], [4, 2, 6]]  # In order of popularity, not of the scorer.
    assert {LIST_SOURCES[source] for source in lists.sources.ravel()} == {NO_HISTORY}
    assert (np.diff(lists.scores, axis=1) <= 0).all()


def test_recommend_tells_the_users_of_a_batch_apart():
    recommender = recommender_of([1, 2, 3, 4, 5, 6, 7])

    lists = recommender.recommend(histories_of([[7], [], [6, 5]]))

    assert items_of(lists) == [[6, 5, 4], [1, 2, 3], [7, 4, 3]]


def test_popularity_list_is_shorter_where_fewer_items_are_known():
    lists = recommender_of([4, 2]).popularity_list()

    assert lists.items.tolist() == [[4, 2, 0]]
    assert lists.scores.tolist() == [[1.0, 0.5, 0.0]]
