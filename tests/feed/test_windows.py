from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from seqrec.core.batch import TrainBatch
from seqrec.core.errors import DataError
from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.events.windows import Segments
from seqrec.feed.layout import Layout
from seqrec.feed.prefetching import prefetched
from seqrec.feed.reader import read_segments
from seqrec.feed.windows import WindowFeed
from tests.feed import chosen_reader

pytestmark = pytest.mark.usefixtures("reader")
LAYOUT = Layout(seed=1, num_streams=4, global_batch_size=40, files_per_group=1)
L = 12


def feed_of(prepared: tuple[Storage, Manifest], worker_rank: int = 0, **changes: Any) -> WindowFeed:
    storage, manifest = prepared
    files = manifest.table("sequences/train").files
    return WindowFeed(
        storage,
        files,
        replace(LAYOUT, **changes),
        worker_rank=worker_rank,
        max_history_length=L,
        reader=chosen_reader.NAME,
    )


def examples_of(batch: TrainBatch) -> list[tuple[int, ...]]:
    """Every example as numbers that tell it apart: history, times and target."""
    history = np.concatenate([batch.history.items, batch.history.seconds_to_target], axis=2)
    rows = np.concatenate([history, batch.history.seconds_from_first, batch.target_item[:, :, None]], axis=2)
    return [tuple(row) for row in rows.reshape(-1, rows.shape[2]).tolist()]


def test_batches_have_the_shapes_of_the_contract(prepared: tuple[Storage, Manifest]) -> None:
    batch = next(feed_of(prepared).batches(0))

    assert batch.target_item.shape == (4, 10)
    assert batch.history.items.shape == (4, 10, L)
    assert batch.history.length.shape == (4, 10)
    assert [array.dtype.name for array in (*batch.history, batch.target_item)] == [
        "int32", "int32", "float32", "float32", "int32",
    ]  # fmt: skip


def test_batches_use_no_example_twice_and_leave_out_few(prepared: tuple[Storage, Manifest]) -> None:
    storage, manifest = prepared
    segments = read_segments(storage, manifest.table("sequences/train").files, reader=chosen_reader.NAME)
    available: Counter = Counter()
    for items, times, first in _split(segments):
        for k in range(1, len(items)):
            window = slice(max(0, k - L), k)
            pad = [0] * (L - len(items[window]))
            to_target, from_first = times[k] - times[window], times[window] - first
            available[(*items[window], *pad, *to_target, *pad, *from_first, *pad, items[k])] += 1
    feed = feed_of(prepared)

    used = Counter(example for batch in feed.batches(0) for example in examples_of(batch))

    assert not used - available
    assert available.total() - used.total() == feed.plan(0).left_over


def test_batches_leave_out_others_in_the_next_epoch(prepared: tuple[Storage, Manifest]) -> None:
    feed = feed_of(prepared)

    epochs = [Counter(e for batch in feed.batches(epoch) for e in examples_of(batch)) for epoch in (0, 1)]

    assert epochs[0] - epochs[1]
    assert epochs[1] - epochs[0]


@pytest.mark.parametrize("num_workers", [2, 4])
def test_batches_are_the_same_for_any_number_of_workers(prepared: tuple[Storage, Manifest], num_workers: int) -> None:
    alone = feed_of(prepared).batches(2)
    together = [feed_of(prepared, rank, num_workers=num_workers) for rank in range(num_workers)]

    shares = zip(*(feed.batches(2) for feed in together), strict=True)

    num_steps = 0
    for batch, parts in zip(alone, shares, strict=True):
        for feed, part in zip(together, parts, strict=True):
            for own, stream in enumerate(feed.stream_ids):
                assert np.array_equal(part.target_item[own], batch.target_item[stream])
                assert np.array_equal(part.history.items[own], batch.history.items[stream])
                assert np.array_equal(part.history.seconds_to_target[own], batch.history.seconds_to_target[stream])
        num_steps += 1
    assert num_steps == feed_of(prepared).plan(2).steps


@pytest.mark.parametrize("first_step", [1, 17, 31])
@pytest.mark.parametrize("files_per_group", [1, 2])
def test_batches_from_a_step_on_equal_the_rest_of_the_epoch(
    prepared: tuple[Storage, Manifest], first_step: int, files_per_group: int
) -> None:
    feed = feed_of(prepared, files_per_group=files_per_group)
    whole = list(feed.batches(0))

    rest = list(feed.batches(0, first_step))

    assert len(rest) == len(whole) - first_step
    for batch, expected in zip(rest, whole[first_step:], strict=True):
        assert examples_of(batch) == examples_of(expected)


def test_batches_skip_whole_groups_without_reading_them(
    prepared: tuple[Storage, Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    import seqrec.feed.streams as streams

    read = []
    real = streams.read_segments
    monkeypatch.setattr(streams, "read_segments", lambda *args: read.append(args[1]) or real(*args))
    feed = feed_of(prepared)
    last = feed.plan(0).steps - 1

    list(feed.batches(0, last))

    assert len(read) == 4  # The last of two groups of each of four streams.


def test_batches_differ_between_seeds_and_epochs(prepared: tuple[Storage, Manifest]) -> None:
    firsts = [
        next(feed_of(prepared).batches(0)),
        next(feed_of(prepared).batches(1)),
        next(feed_of(prepared, seed=2).batches(0)),
    ]

    assert len({tuple(batch.target_item.ravel()) for batch in firsts}) == 3


def test_batches_raise_when_a_file_has_gone(prepared: tuple[Storage, Manifest]) -> None:
    storage, manifest = prepared
    files = [replace(file, size=file.size + 1) for file in manifest.table("sequences/train").files]
    feed = WindowFeed(storage, files, LAYOUT, worker_rank=0, max_history_length=L, reader=chosen_reader.NAME)

    with pytest.raises(DataError, match="the manifest lists"):
        list(prefetched(feed.batches(0), 2))


def _split(segments: Segments) -> Iterator[tuple[Any, Any, int]]:
    ends = segments.items.offsets[1:]
    for end, length, first in zip(ends, segments.items.lengths, segments.first_timestamps, strict=True):
        yield segments.items.values[end - length : end].tolist(), segments.timestamps[end - length : end], int(first)
