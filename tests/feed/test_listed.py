from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from seqrec.core import columns as C
from seqrec.core.errors import DataError
from seqrec.core.manifest import FileEntry, Manifest
from seqrec.core.storage import Storage
from seqrec.feed.layout import Layout
from seqrec.feed.listed import ListedFeed
from seqrec.feed.windows import WindowFeed
from tests.feed import chosen_reader
from tests.feed.prepared_data import write_prepared, write_rows

pytestmark = pytest.mark.usefixtures("reader")
LAYOUT = Layout(seed=1, num_streams=4, global_batch_size=40, files_per_group=2)
L, M = 12, 3
Listed = tuple[Storage, Manifest, tuple[FileEntry, ...]]


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Listed:
    """Prepared data; beside each target t a list that tells t: 0 to 4 items, 1000 * t + 1, 1000 * t + 2, ..."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    storage, manifest = write_prepared(tmp_path_factory.mktemp("listed"), num_users=200)
    files = []
    for file in manifest.table("sequences/train").files:
        path = storage.local(file.path)
        assert path is not None
        targets = [
            item for row in pq.read_table(path).to_pylist() for item in row[C.ITEM_INDICES][row[C.NUM_CONTEXT] :]
        ]
        files.append([{C.TARGET_ITEM: item, C.CANDIDATE_ITEMS: list_of(item)} for item in targets])
    types = {C.TARGET_ITEM: pa.int32(), C.CANDIDATE_ITEMS: pa.list_(pa.int32())}
    return storage, manifest, write_rows(storage, "lists", files, types).files


def list_of(target: int) -> list[int]:
    return [1000 * target + place for place in range(1, 1 + target % 5)]


def feed_of(listed: Listed, worker_rank: int = 0, **changes: Any) -> ListedFeed:
    storage, manifest, files = listed
    return ListedFeed(
        storage,
        manifest.table("sequences/train").files,
        replace(LAYOUT, **changes),
        worker_rank=worker_rank,
        max_history_length=L,
        list_files=files,
        list_length=M,
        reader=chosen_reader.NAME,
    )


def test_every_example_has_the_list_of_its_own_target(listed: Listed) -> None:
    num_examples = 0
    for batch in feed_of(listed).batches(3):
        assert batch.listed_items.shape == (4, 10, M)
        assert batch.listed_items.dtype == np.int32
        for target, items in zip(batch.target_item.ravel(), batch.listed_items.reshape(-1, M), strict=True):
            assert items.tolist() == (list_of(target) + [0] * M)[:M]
            num_examples += 1
    assert num_examples > 500


def test_lists_change_nothing_else_of_a_batch(listed: Listed) -> None:
    storage, manifest, _ = listed
    plain = WindowFeed(
        storage, manifest.table("sequences/train").files, LAYOUT, worker_rank=0, max_history_length=L
    )  # fmt: skip

    for with_list, without in zip(feed_of(listed).batches(1), plain.batches(1), strict=True):
        assert np.array_equal(with_list.target_item, without.target_item)
        assert all(map(np.array_equal, with_list.history, without.history))


@pytest.mark.parametrize("num_workers", [2, 4])
def test_lists_are_the_same_for_any_number_of_workers_and_from_any_step(listed: Listed, num_workers: int) -> None:
    alone = list(feed_of(listed).batches(0))
    for rank in range(num_workers):
        feed = feed_of(listed, rank, num_workers=num_workers)
        for batch, expected in zip(feed.batches(0, first_step=5), alone[5:], strict=True):
            assert np.array_equal(batch.listed_items, expected.listed_items[feed.stream_ids])


def test_lists_of_other_targets_are_refused(listed: Listed) -> None:
    storage, manifest, files = listed
    feed = feed_of((storage, manifest, files[::-1]))

    with pytest.raises(DataError, match="lists of other targets"):
        next(feed.batches(0))
