from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from seqrec.core.batch import EvalBatch
from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.feed.evaluation import EvaluationFeed, RowSample
from tests.feed import chosen_reader
from tests.feed.prepared_data import write_rows
from tests.feed.test_reader import evaluation_row

pytestmark = pytest.mark.usefixtures("reader")


def feed_of(prepared: tuple[Storage, Manifest], **changes: Any) -> EvaluationFeed:
    storage, manifest = prepared
    values: dict[str, Any] = {"batch_size": 64, "max_history_length": 6, "reader": chosen_reader.NAME, **changes}
    return EvaluationFeed(storage=storage, files=manifest.table("sequences/validation").files, **values)


def rows_of(batches: list[tuple[EvalBatch, int]]) -> np.ndarray:
    parts = [
        np.concatenate([b.history.items[0, :n], b.history.seconds_to_target[0, :n], b.candidate_items[0, :n]], axis=1)
        for b, n in batches
    ]
    return np.concatenate(parts)


def test_batches_cut_histories_and_put_the_target_first(empty_storage: Storage) -> None:
    table = write_rows(empty_storage, "t", [[evaluation_row(1, 2, 3), evaluation_row(4)]])
    feed = EvaluationFeed(
        storage=empty_storage, files=table.files, batch_size=3, max_history_length=2, reader=chosen_reader.NAME
    )

    ((batch, num_rows),) = feed.batches()

    assert num_rows == 2
    assert batch.history.items.tolist() == [[[2, 3], [4, 0], [0, 0]]]
    assert batch.history.length.tolist() == [[2, 1, 0]]
    assert batch.history.seconds_to_target.tolist() == [[[79, 69], [89, 0], [0, 0]]]
    assert batch.history.seconds_from_first.tolist() == [[[10, 20], [0, 0], [0, 0]]]
    assert batch.candidate_items.tolist() == [[[7, 8, 9], [7, 8, 9], [0, 0, 0]]]


def test_batches_all_have_one_shape(prepared: tuple[Storage, Manifest]) -> None:
    batches = list(feed_of(prepared).batches())

    assert {batch.candidate_items.shape for batch, _ in batches} == {(1, 64, 10)}
    assert sum(num_rows for _, num_rows in batches) == 200


@pytest.mark.parametrize("num_workers", [2, 3, 7])
def test_workers_together_have_every_row_once_in_order(prepared: tuple[Storage, Manifest], num_workers: int) -> None:
    alone = rows_of(list(feed_of(prepared, batch_size=500).batches()))

    parts = [
        list(feed_of(prepared, batch_size=16, worker_rank=r, num_workers=num_workers).batches())
        for r in range(num_workers)
    ]

    assert np.array_equal(np.concatenate([rows_of(part) for part in parts]), alone)


@pytest.mark.parametrize("num_workers", [2, 3, 7])
@pytest.mark.parametrize("sample", [None, RowSample(90, seed=3)])
def test_the_batches_of_all_workers_are_those_of_one(
    prepared: tuple[Storage, Manifest], num_workers: int, sample: RowSample | None
) -> None:
    changes = {"batch_size": 16, "sample": sample}
    alone = list(feed_of(prepared, **changes).catalogue_batches())

    parts = [feed_of(prepared, worker_rank=r, num_workers=num_workers, **changes) for r in range(num_workers)]
    together = [batch for part in parts for batch in part.catalogue_batches()]

    assert [n for _, n in together] == [n for _, n in alone]
    for (one, _), (other, _) in zip(together, alone, strict=True):
        assert one.history.items.tolist() == other.history.items.tolist()
        assert one.target_items.tolist() == other.target_items.tolist()
        assert one.own_items.tolist() == other.own_items.tolist()


def test_a_sample_is_drawn_by_seed_and_number_whatever_the_files_and_batches(
    prepared: tuple[Storage, Manifest],
) -> None:
    every = rows_of(list(feed_of(prepared).batches()))
    chosen = RowSample(50, seed=3).of(200)

    small, large = (rows_of(list(feed_of(prepared, batch_size=b, sample=RowSample(50, 3)).batches())) for b in (7, 500))

    assert np.array_equal(small, every[chosen])
    assert np.array_equal(large, small)
    assert len(set(chosen.tolist())) == 50
    assert set(chosen) < set(RowSample(51, seed=3).of(200))
    assert set(chosen) != set(RowSample(50, seed=4).of(200))
    assert RowSample(300, seed=3).of(200).tolist() == list(range(200))
    assert abs(RowSample(20_000, seed=1).of(100_000).mean() - 50_000) < 1000


def test_max_rows_takes_the_first_rows(prepared: tuple[Storage, Manifest]) -> None:
    alone = rows_of(list(feed_of(prepared).batches()))

    some = rows_of(list(feed_of(prepared, max_rows=70).batches()))

    assert np.array_equal(some, alone[:70])


def test_a_worker_without_rows_has_no_batches(prepared: tuple[Storage, Manifest]) -> None:
    assert list(feed_of(prepared, max_rows=1, worker_rank=0, num_workers=2).batches()) == []


def test_catalogue_batches_hold_everything_that_the_user_has(prepared: tuple[Storage, Manifest]) -> None:
    storage, manifest = prepared
    feed = feed_of(prepared, batch_size=7, max_history_length=3)

    sampled, whole = list(feed.batches()), list(feed.catalogue_batches())

    tables = [pq.read_table(storage.local(file.path)) for file in manifest.table("sequences/validation").files]
    stored = [items for table in tables for items in table["history_items"].to_pylist()]
    own = [items[items > 0].tolist() for batch, num_rows in whole for items in batch.own_items[0, :num_rows]]
    assert own == stored
    assert max(map(len, stored)) > 3
    for (candidates, n), (batch, num_rows) in zip(sampled, whole, strict=True):
        assert n == num_rows
        assert batch.target_items.tolist() == candidates.candidate_items[:, :, 0].tolist()
        assert batch.history.items.tolist() == candidates.history.items.tolist()
        assert batch.target_items.shape[1] == batch.own_items.shape[1] == 7
