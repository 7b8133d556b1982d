from dataclasses import replace

import numpy as np
import pytest

from seqrec.core import columns as C
from seqrec.core.errors import DataError
from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.events.vocabulary import Vocabulary, read_names, read_vocabulary
from tests.feed.prepared_data import write_rows


def item_row(index: int) -> dict[str, object]:
    return {C.ITEM_INDEX: index, C.ITEM: f"item {index}", C.CATEGORY_INDEX: index - 1, C.TRAIN_COUNT: 100 - index}


def with_items(prepared: tuple[Storage, Manifest], storage: Storage, *indices: int) -> Manifest:
    table = write_rows(storage, "items", [[item_row(index)] for index in indices])
    details = {**prepared[1].details, "num_trained_items": len(indices)}
    return replace(prepared[1], tables={**prepared[1].tables, "vocabulary/items": table}, details=details)


def test_read_vocabulary_orders_by_index(prepared: tuple[Storage, Manifest], empty_storage: Storage) -> None:
    manifest = with_items(prepared, empty_storage, 3, 1, 2)

    vocabulary = read_vocabulary(empty_storage, manifest)

    assert vocabulary.item_category.tolist() == [0, 0, 1, 2]
    assert vocabulary.train_count.tolist() == [0, 99, 98, 97]
    assert vocabulary.num_items == 3


@pytest.mark.parametrize("indices", [(1, 3), (0, 1, 2), (1, 1, 2)], ids=["gap", "padding", "twice"])
def test_read_vocabulary_refuses_indices_that_are_not_dense(
    prepared: tuple[Storage, Manifest], empty_storage: Storage, indices: tuple[int, ...]
) -> None:
    manifest = with_items(prepared, empty_storage, *indices)

    with pytest.raises(DataError, match="indices are not 1 to"):
        read_vocabulary(empty_storage, manifest)


def test_read_names_sorts_by_index(prepared: tuple[Storage, Manifest], empty_storage: Storage) -> None:
    manifest = with_items(prepared, empty_storage, 3, 1, 2)

    index, names = read_names(empty_storage, manifest.table("vocabulary/items"), C.ITEM_INDEX, C.ITEM)

    assert index.tolist() == [1, 2, 3]
    assert names.to_pylist() == ["item 1", "item 2", "item 3"]


def test_vocabulary_refuses_arrays_that_do_not_belong_together() -> None:
    categories = np.array([0, 1, 5], np.int32)
    counts = np.ones(3, np.int64)

    with pytest.raises(DataError, match="holds 0 to 5 but there are 3 categories"):
        Vocabulary(num_trained_items=2, num_categories=3, item_category=categories, train_count=counts)
    with pytest.raises(DataError, match="num_trained_items is 3 but the vocabulary has 2 items"):
        Vocabulary(num_trained_items=3, num_categories=5, item_category=categories, train_count=counts)
    with pytest.raises(DataError, match="train_count has 2 entries and item_category 3"):
        Vocabulary(num_trained_items=2, num_categories=5, item_category=categories, train_count=counts[1:])
