from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqrec.core import columns as C
from seqrec.core.batch import RunBatch
from seqrec.core.errors import DataError, SeqrecError
from seqrec.core.manifest import FileEntry
from seqrec.core.storage import Storage
from seqrec.feed import runs as runs_of_feed
from seqrec.feed import streams
from seqrec.feed.layout import Layout
from seqrec.feed.plan import describe_plan
from seqrec.feed.runs import RunFeed, count_runs, run_widths
from tests.feed import chosen_reader
from tests.feed.prepared_data import write_rows

pytestmark = pytest.mark.usefixtures("reader")
LAYOUT = Layout(seed=1, num_streams=4, global_batch_size=40, files_per_group=1)
L = 12
NUM_USERS, NUM_FILES = 400, 8
Prepared = tuple[Storage, tuple[FileEntry, ...]]


@pytest.fixture(scope="module")
def segments(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Training files in which item n is event n: no item occurs twice, and a user's items ascend in time order.

    A third of the users is longer than a run; every tenth row is a later segment, with five events of context.
    """
    storage = Storage(str(tmp_path_factory.mktemp("runs")))
    rng = np.random.default_rng(5)
    files: list[list[dict[str, Any]]] = [[] for _ in range(NUM_FILES)]
    item = 1
    for number in range(NUM_USERS):
        length = int(rng.integers(2, 9)) if number % 3 else int(rng.integers(9, 40))
        items = list(range(item, item + length))
        item += length
        context = 5 if number % 10 == 9 and length > 5 else 1
        row = {C.ITEM_INDICES: items, C.TIMESTAMPS: [event * 1000 for event in items]}
        files[number % NUM_FILES].append({**row, C.FIRST_TIMESTAMP: 0, C.NUM_CONTEXT: context})
    return storage, write_rows(storage, "train", files).files


def feed_of(segments: Prepared, worker_rank: int = 0, **changes: Any) -> RunFeed:
    storage, files = segments
    return RunFeed(
        storage,
        files,
        replace(LAYOUT, **changes),
        worker_rank=worker_rank,
        max_history_length=L,
        reader=chosen_reader.NAME,
    )


def arrays_of(batch: RunBatch) -> tuple[np.ndarray, ...]:
    return *batch.runs, batch.target_items


def runs_in(batch: RunBatch) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Every run as its items and targets without padding, stream by stream."""
    found = []
    for stream in range(batch.target_items.shape[0]):
        for row in range(batch.target_items.shape[1]):
            length = batch.runs.length[stream, row]
            items, targets = batch.runs.items[stream, row], batch.target_items[stream, row]
            assert not items[length:].any()
            assert not targets[length:].any()
            found.append((tuple(items[:length].tolist()), tuple(targets[:length].tolist())))
    return found


def test_batches_have_the_shapes_of_the_contract(segments: Prepared) -> None:
    for batch in feed_of(segments).batches(0):
        width = batch.target_items.shape[2]
        assert width in run_widths(L) == (8, 12)
        assert batch.runs.items.shape == batch.runs.seconds_from_previous.shape == (4, 10, width)
        assert batch.target_items.shape == (4, 10, width)
        assert batch.runs.length.shape == (4, 10)
        assert [array.dtype.name for array in arrays_of(batch)] == [
            "int32", "int32", "float32", "int32",
        ]  # fmt: skip
        assert (np.diff(batch.runs.length, axis=1) <= 0).all(), "the longest runs come first"


def test_parts_of_a_share_are_alike_and_begin_with_their_longest_runs(segments: Prepared) -> None:
    whole = feed_of(segments).batches(0)
    for expected, batch in zip(whole, feed_of(segments, num_parts=5).batches(0), strict=True):
        assert Counter(runs_in(batch)) == Counter(runs_in(expected))
        parts = batch.runs.length.reshape(4, 5, 2)  # Five parts of two runs.
        assert (np.diff(parts, axis=2) <= 0).all()
        assert np.array_equal(parts[:, :, 0], expected.runs.length[:, :5])
        assert np.array_equal(parts[:, :, 1], expected.runs.length[:, 5:])


def test_batches_of_short_runs_are_narrow(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    row = {C.ITEM_INDICES: [1, 2, 3], C.TIMESTAMPS: [1, 2, 3], C.FIRST_TIMESTAMP: 1, C.NUM_CONTEXT: 1}
    files = write_rows(storage, "train", [[row] * 20] * 4).files
    feed = RunFeed(storage, files, LAYOUT, worker_rank=0, max_history_length=50, reader=chosen_reader.NAME)

    assert {batch.target_items.shape for batch in feed.batches(0)} == {(4, 10, 8)}


def test_every_target_is_fed_once_but_those_of_the_runs_left_over(segments: Prepared) -> None:
    storage, files = segments
    available: Counter[int] = Counter()
    for file in files:
        for row in read_rows(storage, file):
            available.update(row[C.ITEM_INDICES][max(row[C.NUM_CONTEXT], 1) :])
    feed = feed_of(segments)
    plan = feed.plan(0)

    used = [run for batch in feed.batches(0) for run in runs_in(batch)]

    assert len(used) == plan.steps * LAYOUT.global_batch_size
    assert plan.examples - len(used) == plan.left_over
    assert plan.left_over <= 0.05 * plan.examples + LAYOUT.global_batch_size
    targets = Counter(target for _, targets in used for target in targets if target)
    assert max(targets.values()) == 1
    assert not targets - available
    missing = sum((available - targets).values())
    assert 0 < missing <= plan.left_over * L
    assert available.total() == plan.targets == sum(file.targets or 0 for file in files)


def test_no_input_holds_its_target_or_a_later_event(segments: Prepared) -> None:
    """Items ascend in time order here, and no event occurs twice."""
    for batch in feed_of(segments).batches(0):
        for items, targets in runs_in(batch):
            for place, target in enumerate(targets):
                if target:
                    read = items[: place + 1]
                    assert max(read) < target
                    # What is read are exactly the events before the target, without a gap.
                    assert list(read) == list(range(target - len(read), target))


def test_times_are_those_between_the_events(segments: Prepared) -> None:
    batch = next(feed_of(segments).batches(0))

    is_later = np.arange(batch.runs.items.shape[2]) > 0
    expected = 1000.0 * (is_later & (batch.runs.items > 0))
    assert np.array_equal(batch.runs.seconds_from_previous, expected.astype(np.float32))


def test_batches_leave_out_others_in_the_next_epoch(segments: Prepared) -> None:
    feed = feed_of(segments)

    epochs = [Counter(run for batch in feed.batches(epoch) for run in runs_in(batch)) for epoch in (0, 1)]

    assert epochs[0] - epochs[1]
    assert epochs[1] - epochs[0]


@pytest.mark.parametrize("num_workers", [2, 4])
def test_batches_are_the_same_for_any_number_of_workers(segments: Prepared, num_workers: int) -> None:
    alone = feed_of(segments).batches(2)
    together = [feed_of(segments, rank, num_workers=num_workers) for rank in range(num_workers)]

    num_steps = 0
    for batch, *parts in zip(alone, *(feed.batches(2) for feed in together), strict=True):
        for feed, part in zip(together, parts, strict=True):
            for own, stream in enumerate(feed.stream_ids):
                # Workers may pad to other widths; the runs are the same, row by row.
                width = min(batch.target_items.shape[2], part.target_items.shape[2])
                for mine, whole in zip(arrays_of(part), arrays_of(batch), strict=True):
                    assert np.array_equal(mine[own, ..., :width], whole[stream, ..., :width])
                    if mine.ndim == 3:
                        assert not mine[own, :, width:].any()
                        assert not whole[stream, :, width:].any()
        num_steps += 1
    assert num_steps == feed_of(segments).plan(2).steps


@pytest.mark.parametrize("files_per_group", [1, 2])
def test_batches_from_a_step_on_equal_the_rest_of_the_epoch(segments: Prepared, files_per_group: int) -> None:
    feed = feed_of(segments, files_per_group=files_per_group)
    whole = list(feed.batches(0))

    for first_step in (1, len(whole) // 2, len(whole) - 1):
        rest = list(feed.batches(0, first_step))

        assert len(rest) == len(whole) - first_step
        for batch, expected in zip(rest, whole[first_step:], strict=True):
            for mine, others in zip(arrays_of(batch), arrays_of(expected), strict=True):
                assert np.array_equal(mine, others)


def test_batches_skip_whole_groups_without_reading_them(segments: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    real = streams.read_segments
    monkeypatch.setattr(streams, "read_segments", lambda *args: read.append(args[1]) or real(*args))
    feed = feed_of(segments)

    list(feed.batches(0, feed.plan(0).steps - 1))

    assert len(read) == 4  # The last of two groups of each of four streams.


def test_batches_differ_between_seeds_and_epochs(segments: Prepared) -> None:
    firsts = [
        next(feed_of(segments).batches(0)),
        next(feed_of(segments).batches(1)),
        next(feed_of(segments, seed=2).batches(0)),
    ]

    assert len({tuple(runs_in(batch)) for batch in firsts}) == 3


def test_the_runs_of_a_file_are_used_in_another_order(segments: Prepared) -> None:
    """Items ascend within a file here, so in the file's order the first batches would hold the lowest ones."""
    feed = feed_of(segments)
    first_files = [read_rows(segments[0], groups[0].files[0]) for groups in feed.plan(0).streams]

    batch = next(feed.batches(0))

    for stream, rows in enumerate(first_files):
        assert batch.runs.items[stream, :, 0].max() > rows[len(rows) // 2][C.ITEM_INDICES][0]


def test_the_plan_counts_runs_and_targets(segments: Prepared) -> None:
    feed = feed_of(segments)
    plan = feed.plan(0)

    text = describe_plan(plan, LAYOUT)

    assert plan.examples == sum(count_runs(*segments, L))
    assert f"epoch 1: {plan.steps:,} steps of 40 runs (4 streams x 10)" in text
    assert f"runs: {plan.examples:,} of {plan.targets:,} targets; left over {plan.left_over:,}" in text


def test_a_step_that_a_stream_cannot_fill_is_refused(segments: Prepared) -> None:
    feed = feed_of(segments, global_batch_size=4000)

    with pytest.raises(DataError, match="only [0-9]+ of the [0-9]+ runs of events, and a step takes 1,000 of each"):
        feed.plan(0)


def test_runs_that_are_counted_already_are_not_counted_again(segments: Prepared, tmp_path: Path) -> None:
    _, files = segments
    counted = tuple(count_runs(*segments, L))
    nothing = Storage(str(tmp_path))  # Without the files: to count them would fail.

    feed = RunFeed(nothing, files, LAYOUT, worker_rank=0, max_history_length=L, num_runs=counted)

    assert feed.plan(0) == feed_of(segments).plan(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"targets": 3}, "training targets read, the manifest lists 3"), ({"path": "train/gone.parquet"}, "gone.parquet")],
)
def test_count_runs_names_a_file_that_is_not_as_listed(
    segments: Prepared, change: dict[str, Any], message: str
) -> None:
    storage, files = segments

    with pytest.raises(SeqrecError, match=message):
        count_runs(storage, [replace(files[0], **change)], L)


def test_run_widths_are_few_and_end_with_the_longest() -> None:
    assert run_widths(50) == (8, 16, 32, 50)
    assert run_widths(64) == (8, 16, 32, 64)
    assert run_widths(5) == (5,)


def read_rows(storage: Storage, file: FileEntry) -> list[dict[str, Any]]:
    with storage.open_input(file.path) as stream:
        return runs_of_feed.pq.read_table(stream).to_pylist()
