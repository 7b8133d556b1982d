from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from seqrec.events.ragged import Ragged
from seqrec.events.rows import HistoryRows
from seqrec.neighbours.config import FINDERS, STRIDES, CandidatesConfig
from seqrec.neighbours.finder import CandidateFinder
from seqrec.neighbours.table import NeighbourTable

DAY = 86_400
NUM_ITEMS = 30


def table_of(neighbours: dict[int, list[tuple[int, float]]], num_keys: int = NUM_ITEMS + 1) -> NeighbourTable:
    entries = [entry for key in range(num_keys) for entry in neighbours.get(key, [])]
    counts = [len(neighbours.get(key, [])) for key in range(num_keys)]
    items, weights = zip(*entries, strict=True)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return NeighbourTable(offsets, np.array(items, np.int32), np.array(weights, np.float32))


def histories_of(rows: list[list[int]], days_apart: int = 1) -> HistoryRows:
    items = Ragged.from_lengths(np.array(sum(rows, []), np.int32), np.array([len(row) for row in rows]))
    times = np.concatenate([np.arange(len(row)) * DAY * days_apart for row in rows]).astype(np.int64)
    return HistoryRows(
        items=items,
        timestamps=times,
        first_timestamps=np.zeros(len(rows), np.int64),
        as_of=np.full(len(rows), 100 * DAY),
    )


def finder_of(tables, popular=(), **settings) -> CandidateFinder:
    defaults = dict(
        max_candidates=8,
        num_recent_items=3,
        history_decay=0.5,
        history_half_life_days=10.0,
        exclude_own_items=True,
        strides=STRIDES,
    )
    return CandidateFinder(
        tables=tables,
        popular_items=np.array(popular, np.int32),
        item_category=(np.arange(NUM_ITEMS + 1) % 4).astype(np.int32),
        **(defaults | settings),
    )


@pytest.fixture(scope="module")
def random_world():
    random = np.random.default_rng(3)
    neighbours = {
        key: [(int(i), float(random.random())) for i in random.permutation(np.arange(1, NUM_ITEMS + 1))[:6]]
        for key in range(1, NUM_ITEMS + 1)
    }
    rows = [random.integers(1, NUM_ITEMS + 1, random.integers(1, 9)).tolist() for _ in range(40)]
    return neighbours, rows


def test_lists_add_up_the_weights_of_recent_items(random_world):
    neighbours, rows = random_world
    finder = finder_of({"co_visitation": table_of(neighbours)})

    found = finder.find(histories_of(rows)).items

    for row, items in zip(rows, found, strict=True):
        scores = defaultdict(float)
        for age, item in enumerate(row[::-1][:3]):
            for other, weight in neighbours[item]:
                scores[other] += 0.5**age * 0.5 ** (age / 10) * weight
        expected = sorted((i for i in scores if i not in row), key=lambda i: -scores[i])[:8]
        assert items[items > 0].tolist() == expected


def test_find_gives_a_user_the_same_in_any_batch(random_world):
    neighbours, rows = random_world
    finder = finder_of({"co_visitation": table_of(neighbours)}, popular=range(1, 31))

    together = finder.find(histories_of(rows))
    alone = [finder.find(histories_of([row])) for row in rows]

    assert (together.items == np.concatenate([each.items for each in alone])).all()
    assert (together.sources == np.concatenate([each.sources for each in alone])).all()


def test_find_fills_up_with_popular_items_that_are_not_the_users_own(random_world):
    _, rows = random_world
    finder = finder_of({}, popular=[5, 4, 3, 2, 1, 6, 7, 8, 9])

    found = finder.find(histories_of(rows)).items

    for row, items in zip(rows, found, strict=True):
        expected = [item for item in [5, 4, 3, 2, 1, 6, 7, 8, 9] if item not in row][:8]
        assert items[items > 0].tolist() == expected


def test_find_keeps_own_items_when_asked():
    finder = finder_of({}, popular=[1, 2, 3], exclude_own_items=False)

    found = finder.find(histories_of([[2]])).items

    assert found[0, :3].tolist() == [1, 2, 3]


def test_find_says_which_source_put_an_item_highest():
    tables = {"co_visitation": table_of({1: [(9, 0.5), (8, 0.4)]}), "also_bought": table_of({1: [(7, 1.0), (8, 0.9)]})}
    finder = finder_of(tables, popular=[9, 6])

    found = finder.find(histories_of([[1]]))

    sources = {int(i): FINDERS[s] for i, s in zip(found.items[0], found.sources[0], strict=True) if i}
    assert sources == {9: "co_visitation", 8: "co_visitation", 7: "also_bought", 6: "popularity"}


@pytest.mark.parametrize(("stride", "expected"), [(1, [9, 7, 8, 5, 6]), (2, [9, 8, 7, 6, 5]), (4, [9, 8, 6, 7, 5])])
def test_find_thins_a_list_by_its_stride(stride, expected):
    tables = {
        "co_visitation": table_of({1: [(9, 0.5), (8, 0.4), (6, 0.3)]}),
        "also_bought": table_of({1: [(7, 1.0), (5, 0.9)]}),
    }

    found = finder_of(tables, strides={**STRIDES, "also_bought": stride}).find(histories_of([[1]]))

    assert [int(item) for item in found.items[0] if item] == expected


@pytest.mark.parametrize("strides", [{"also_bougth": 3}, {"popularity": 0}, {"popularity": 2.5}, {"popularity": 1001}])
def test_candidates_config_refuses_a_stride_that_means_nothing(strides):
    with pytest.raises(ValueError, match="strides has"):
        CandidatesConfig(strides=strides)


def test_find_looks_up_categories_by_the_category_of_the_item():
    tables = {"category_popularity": table_of({2: [(10, 0.7), (14, 0.3)], 3: [(11, 1.0)]}, num_keys=4)}

    found = finder_of(tables).find(histories_of([[6], [7], [8]])).items

    assert [row[row > 0].tolist() for row in found] == [[10, 14], [11], []]


def test_find_answers_an_empty_history_with_popular_items():
    found = finder_of({"co_visitation": table_of({1: [(2, 1.0)]})}, popular=[4, 3]).find(histories_of([[], [1]])).items

    assert [row[row > 0].tolist() for row in found] == [[4, 3], [2, 4, 3]]


def test_find_puts_the_nth_of_a_less_trusted_list_beside_a_later_one_of_the_first():
    table = table_of({1: [(item, 1.0 / item) for item in range(2, 28)]})  # 26 items, the first of them heaviest.
    finder = finder_of({"co_visitation": table}, popular=[30, 29], max_candidates=24)

    found = finder.find(histories_of([[1]])).items

    assert found[0].tolist() == [*range(2, 22), 30, *range(22, 25)]  # The first of popularity stands at place 20.


def test_lists_hold_no_more_than_max_candidates():
    table = table_of({1: [(item, 1.0 / item) for item in range(2, 28)]})
    finder = finder_of({"co_visitation": table}, popular=range(1, 31), max_candidates=4)

    found = finder.lists(histories_of([[1], [2]]))

    rows = {source: [(keys >> 28 == row).sum() for row in (0, 1)] for source, keys in found.items()}
    assert rows == {"co_visitation": [4, 0], "popularity": [4, 4]}


def test_lists_keep_the_order_of_a_history_that_ended_long_ago():
    finder = finder_of({"co_visitation": table_of({1: [(9, 1.0)], 2: [(8, 0.9)]})})
    rows = histories_of([[1, 2]])
    long_ago = replace(rows, as_of=rows.as_of + 100_000 * DAY)

    found = finder.find(long_ago).items

    assert found[0, :2].tolist() == finder.find(rows).items[0, :2].tolist() == [8, 9]
