import sys

import numpy as np
import pytest

from seqrec.core.errors import ConfigError, DataError
from seqrec.scoring.index import approximate
from seqrec.scoring.index.approximate import NearLists, default_num_lists, import_faiss, write_lists
from seqrec.scoring.index.exact import best_of_all
from seqrec.scoring.index.item_index import ItemIndex


def states_and_vectors(num_items=3000):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(30, 16))
    vectors = centres[rng.integers(0, 30, num_items)] + 0.4 * rng.normal(size=(num_items, 16))
    states = centres[rng.integers(0, 30, 40)] + 0.2 * rng.normal(size=(40, 16))
    return states.astype(np.float32), vectors.astype(np.float32)


@pytest.mark.parametrize("few_lists", [4096, 8])  # The centres in a flat table, and in a graph.
def test_with_all_lists_searched_an_approximate_index_is_exact(tmp_path, monkeypatch, few_lists):
    pytest.importorskip("faiss", reason="needs the extra seqrec[index]")
    monkeypatch.setattr(approximate, "_FEW_LISTS", few_lists)
    states, vectors = states_and_vectors()
    excluded = np.random.default_rng(1).integers(0, 3001, (40, 6)).astype(np.int32)
    write_lists(vectors, tmp_path / "lists", num_lists=16, num_threads=1)

    index = ItemIndex(vectors, NearLists.open(tmp_path / "lists"), num_searched=16)

    assert index.lists is not None
    assert index.lists.num_lists == 16
    for found, expected in zip(
        index.search(states, 10, excluded), best_of_all(states, vectors, 10, excluded), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_fewer_lists_find_most_items_and_give_their_own_scores(tmp_path):
    pytest.importorskip("faiss", reason="needs the extra seqrec[index]")
    states, vectors = states_and_vectors()
    write_lists(vectors, tmp_path / "lists", num_lists=None, num_threads=1)

    index = ItemIndex(vectors, NearLists.open(tmp_path / "lists"), num_searched=4)
    items, scores = index.search(states, 10)

    best, _ = best_of_all(states, vectors, 10)
    assert np.mean([len(np.intersect1d(*rows)) for rows in zip(items, best, strict=True)]) > 7
    np.testing.assert_allclose(scores, np.einsum("bkv,bv->bk", vectors[items - 1], states), rtol=1e-5)


def test_a_catalogue_smaller_than_k_gives_short_lists(tmp_path):
    pytest.importorskip("faiss", reason="needs the extra seqrec[index]")
    states, vectors = states_and_vectors(num_items=5)
    write_lists(vectors, tmp_path / "lists", num_lists=1, num_threads=1)

    items, _ = ItemIndex(vectors, NearLists.open(tmp_path / "lists"), 1).search(states, 8)

    assert (np.sort(items, axis=1) == [0, 0, 0, 1, 2, 3, 4, 5]).all()
    assert (items[:, 5:] == 0).all()


def test_a_broken_file_is_one_line(tmp_path):
    pytest.importorskip("faiss", reason="needs the extra seqrec[index]")
    (tmp_path / "lists").write_bytes(b"nothing of the kind")

    with pytest.raises(DataError, match="not a readable index"):
        NearLists.open(tmp_path / "lists")


def test_a_missing_library_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)

    with pytest.raises(ConfigError, match=r"faiss-cpu, which is not installed: pip install 'seqrec\[index\]'"):
        import_faiss()


def test_states_that_are_not_finite_are_refused():
    with pytest.raises(DataError, match="not all finite"):
        ItemIndex(np.ones((3, 2), np.float32)).search(np.array([[np.nan, 1.0]], np.float32), 2)


@pytest.mark.parametrize(("num_items", "num_lists"), [(1, 1), (1_000, 32), (1_000_000, 4096), (15_000_000, 16_384)])
def test_the_default_number_of_lists_grows_with_the_root(num_items, num_lists):
    assert default_num_lists(num_items) == num_lists
