"""Lists for blocks of items against loops over every item, and the ways in which two lists become one."""

import numpy as np
import pytest

from seqrec.neighbours.table import NeighbourTable
from seqrec.recommendation.similar_items.config import SimilarItemsConfig
from seqrec.recommendation.similar_items.item_lists import ItemLists, ItemVectors, blended, first_of
from seqrec.scoring.index.approximate import NearLists, write_lists


def unit_vectors(num_items: int, width: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(num_items, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def by_loop(vectors: np.ndarray, item: int, depth: int) -> list[int]:
    cosines = {other: float(vectors[item - 1] @ vectors[other - 1]) for other in range(1, len(vectors) + 1)}
    del cosines[item]
    return sorted(cosines, key=lambda other: -cosines[other])[:depth]


def test_the_nearest_vectors_are_those_of_the_largest_cosines_without_the_item_itself():
    vectors = unit_vectors(50, 8, seed=1)

    found = ItemVectors(vectors).nearest(np.arange(1, 53), depth=7)

    assert [row.tolist() for row in found.items[:50]] == [by_loop(vectors, item, 7) for item in range(1, 51)]
    assert not found.items[50:].any()  # Items that no run was trained on have no vector.
    assert (np.diff(found.scores[:50], axis=1) <= 0).all()


def test_fewer_vectors_than_the_depth_give_short_lists():
    found = ItemVectors(unit_vectors(4, 3, seed=2)).nearest(np.array([2]), depth=6)

    assert sorted(found.items[0].tolist()) == [0, 0, 0, 1, 3, 4]
    assert found.items[0, :3].all()
    assert not found.scores[0, 3:].any()


def test_near_lists_that_are_all_searched_find_what_a_comparison_with_all_finds(tmp_path):
    pytest.importorskip("faiss", reason="needs the extra seqrec[index]")
    vectors = unit_vectors(300, 16, seed=3)
    write_lists(vectors, tmp_path / "near.faiss", 8, 1)
    items = np.arange(1, 301)

    near = ItemVectors(vectors, NearLists.open(tmp_path / "near.faiss"), num_searched=8).nearest(items, depth=10)

    assert np.array_equal(near.items, ItemVectors(vectors).nearest(items, depth=10).items)


def test_the_first_entries_of_a_table():
    table = NeighbourTable(np.array([0, 0, 3, 3, 4]), np.array([3, 2, 9, 1]), np.array([5.0, 4.0, 1.0, 2.0]))

    found = first_of(table, np.array([1, 2, 3]), depth=2)

    assert found.items.tolist() == [[3, 2], [0, 0], [1, 0]]
    assert found.scores.tolist() == [[5.0, 4.0], [0.0, 0.0], [2.0, 0.0]]


def lists(*rows: list[int]) -> ItemLists:
    items = np.array(rows, np.int32)
    return ItemLists(items, (items > 0).astype(np.float32))


def test_an_item_in_both_lists_comes_before_those_in_one():
    found = blended(lists([5, 6, 7]), lists([8, 6, 0]), alike_share=0.5)

    assert found.items[0].tolist() == [6, 5, 8]  # 6 by 1/12; 5 and 8 by 1/22 each, and 5 came first in the first list.
    assert found.scores[0] == pytest.approx([0.5 / 12 + 0.5 / 12, 0.5 / 11, 0.5 / 11])


@pytest.mark.parametrize(("share", "expected"), [(0.0, [5, 6, 0]), (1.0, [8, 6, 9])])
def test_a_share_of_nothing_leaves_one_list(share, expected):
    assert blended(lists([5, 6, 0]), lists([8, 6, 9]), share).items[0].tolist() == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "alike"}, "kind is 'alike', but run is not set: name a finished run"),
        ({"depth": 10}, "depth is 10 and k 20: give a depth of at least k"),
        ({"alike_share": 1.5}, "alike_share is 1.5: give a share from 0 to 1"),
        ({"window": 0}, "window is 0: give at least 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SimilarItemsConfig(**settings)
