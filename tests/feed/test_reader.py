import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqrec.core import columns as C
from seqrec.core.errors import DataError
from seqrec.core.manifest import FileEntry, Manifest
from seqrec.core.storage import Storage
from seqrec.feed.reader import read_segments, read_target_rows
from tests.feed.prepared_data import write_rows

TRAIN = "sequences/train"


def segment(*items: int, **changes: Any) -> dict[str, Any]:
    times = [100 * (number + 1) for number in range(len(items))]
    return {C.ITEM_INDICES: list(items), C.TIMESTAMPS: times, C.FIRST_TIMESTAMP: 100, C.NUM_CONTEXT: 1, **changes}


def evaluation_row(*history: int, negatives: tuple[int, ...] = (8, 9)) -> dict[str, Any]:
    return {
        C.HISTORY_ITEMS: list(history),
        C.HISTORY_TIMESTAMPS: [10 * (number + 1) for number in range(len(history))],
        C.FIRST_TIMESTAMP: 10,
        C.TARGET_ITEM: 7,
        C.TARGET_TIMESTAMP: 99,
        C.NEGATIVE_ITEMS: list(negatives),
    }


def test_read_segments_keeps_every_row_in_order(empty_storage: Storage, reader: str) -> None:
    table = write_rows(empty_storage, "t", [[segment(1, 2, 3), segment(4, 5)], [segment(6, 7)]])

    segments = read_segments(empty_storage, table.files, reader=reader)

    assert segments.items.values.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert segments.timestamps.tolist() == [100, 200, 300, 100, 200, 100, 200]
    assert segments.items.lengths.tolist() == [3, 2, 2]
    assert segments.first_timestamps.tolist() == [100, 100, 100]
    assert segments.num_context.tolist() == [1, 1, 1]
    assert segments.items.values.dtype == np.int32


def test_read_segments_keeps_the_order_of_the_files(empty_storage: Storage, reader: str) -> None:
    table = write_rows(empty_storage, "t", [[segment(n, n)] for n in range(1, 12)])
    reordered = [table.files[n] for n in (7, 2, 10, 0)]

    segments = read_segments(empty_storage, reordered, reader=reader)

    assert segments.items.values.tolist() == [8, 8, 3, 3, 11, 11, 1, 1]


def test_read_segments_reads_all_row_groups_of_a_file(empty_storage: Storage, reader: str) -> None:
    rows = [segment(n, n + 1) for n in range(1, 8)]
    table = write_rows(empty_storage, "t", [rows])
    path = empty_storage.local(table.files[0].path)
    pq.write_table(pq.read_table(path), path, row_group_size=3)
    entry = replace(table.files[0], size=path.stat().st_size)

    segments = read_segments(empty_storage, [entry], reader=reader)

    assert segments.items.values.tolist() == [item for n in range(1, 8) for item in (n, n + 1)]


def test_read_segments_loses_no_rows_in_many_passes(prepared: tuple[Storage, Manifest], reader: str) -> None:
    storage, manifest = prepared
    files = manifest.table(TRAIN).files

    passes = [read_segments(storage, files, reader=reader) for _ in range(20)]

    assert {len(segments.items.lengths) for segments in passes} == {manifest.table(TRAIN).rows}
    assert all(np.array_equal(segments.items.values, passes[0].items.values) for segments in passes)


def test_petastorm_reads_by_the_pool_that_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, empty_storage: Storage
) -> None:
    pytest.importorskip("petastorm", reason="Petastorm does not run on this stack", exc_type=ImportError)
    from seqrec.feed.readers import by_petastorm

    seen: dict[str, Any] = {}
    real = by_petastorm.make_batch_reader
    monkeypatch.setattr(
        by_petastorm, "make_batch_reader", lambda *args, **options: seen.update(options) or real(*args, **options)
    )
    table = write_rows(empty_storage, "t", [[segment(1, 2)]])

    read_segments(empty_storage, table.files)

    assert seen["reader_pool_type"] == "dummy"
    assert seen["num_epochs"] == 1
    assert "filters" not in seen


def _drop_file(path: Path, entry: FileEntry) -> FileEntry:
    path.unlink()
    return entry


def _cut_file(path: Path, entry: FileEntry) -> FileEntry:
    os.truncate(path, entry.size - 30)
    return entry


def _break_footer(path: Path, entry: FileEntry) -> FileEntry:
    path.write_bytes(path.read_bytes()[:-8] + b"\0" * 8)
    return entry


def _list_more_rows(path: Path, entry: FileEntry) -> FileEntry:
    return replace(entry, rows=entry.rows + 1)


def _list_more_targets(path: Path, entry: FileEntry) -> FileEntry:
    return replace(entry, targets=(entry.targets or 0) + 1)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(_drop_file, "part-00001.parquet: is missing", id="missing"),
        pytest.param(_cut_file, r"part-00001.parquet: has \d+ bytes, the manifest lists \d+", id="cut off"),
        pytest.param(_break_footer, "part-00001.parquet: .*", id="broken footer"),
        pytest.param(_list_more_rows, "part-00001.parquet: 2 rows in the file, the manifest lists 3", id="rows"),
        pytest.param(_list_more_targets, "3 training targets read, the manifest lists 4", id="targets"),
    ],
)
def test_read_segments_names_what_differs(damage: Any, message: str, empty_storage: Storage, reader: str) -> None:
    table = write_rows(empty_storage, "t", [[segment(1, 2)], [segment(3, 4), segment(5, 6)]])
    entry = damage(empty_storage.local(table.files[1].path), table.files[1])

    with pytest.raises(DataError, match=message):
        read_segments(empty_storage, [table.files[0], entry], reader=reader)


@pytest.mark.parametrize(
    ("rows", "types", "message"),
    [
        pytest.param([segment(1, 2, first_timestamp=None)], {}, "first_timestamp holds nulls", id="null"),
        pytest.param([segment(1, None)], {}, "item_indices holds nulls", id="null in a list"),
        pytest.param(
            [segment(1, 2), segment(3, 4, timestamps=None)],
            {},
            "timestamps holds nulls in place of",
            id="null for a list",
        ),
        pytest.param(
            [segment(1, 2)],
            {C.ITEM_INDICES: pa.list_(pa.int64())},
            r"item_indices is list.*expected list<int32>",
            id="type",
        ),
        pytest.param(
            [segment(1, 2)],
            {C.ITEM_INDICES: pa.list_(pa.int32(), 2)},
            r"item_indices is fixed_size_list.*expected list<int32>",
            id="fixed-size list",
        ),
        pytest.param(
            [segment(1, 2)], {C.NUM_CONTEXT: pa.int64()}, "num_context is int64, expected int32", id="scalar type"
        ),
        pytest.param([segment(1, 2, timestamps=[1])], {}, "differ in length within a row", id="lengths"),
    ],
)
def test_read_segments_refuses_columns_that_would_lose_values(
    rows: list[dict[str, Any]], types: dict[str, Any], message: str, empty_storage: Storage, reader: str
) -> None:
    table = write_rows(empty_storage, "t", [rows], types)

    with pytest.raises(DataError, match=message):
        read_segments(empty_storage, table.files, reader=reader)


def test_read_segments_names_a_missing_column(empty_storage: Storage, reader: str) -> None:
    rows = [{C.ITEM_INDICES: [1], C.TIMESTAMPS: [1], C.NUM_CONTEXT: 1}]
    table = write_rows(empty_storage, "t", [rows])

    with pytest.raises(DataError, match="column first_timestamp is not there"):
        read_segments(empty_storage, table.files, reader=reader)


def test_read_target_rows_keeps_histories_of_any_length(empty_storage: Storage, reader: str) -> None:
    table = write_rows(empty_storage, "t", [[evaluation_row(1, 2, 3), evaluation_row(4)]])

    rows = read_target_rows(empty_storage, table.files, reader=reader)

    assert rows.items.values.tolist() == [1, 2, 3, 4]
    assert rows.lengths.tolist() == [3, 1]
    assert rows.target_items.tolist() == [7, 7]
    assert rows.negative_items.tolist() == [[8, 9], [8, 9]]


def test_read_target_rows_refuses_negatives_of_unequal_number(empty_storage: Storage, reader: str) -> None:
    table = write_rows(empty_storage, "t", [[evaluation_row(1), evaluation_row(2, negatives=(8,))]])

    with pytest.raises(DataError, match="negative_items differs in length between rows"):
        read_target_rows(empty_storage, table.files, reader=reader)


class RemoteStorage(Storage):
    """A storage that plain programs cannot open: what lies on an object store looks like this to the reader."""

    def local(self, path: str = "") -> Path | None:
        return None


def test_read_segments_copies_remote_files_and_deletes_the_copies(
    prepared: tuple[Storage, Manifest], tmp_path: Path, reader: str
) -> None:
    storage, manifest = prepared
    files = manifest.table(TRAIN).files[:3]

    remote = read_segments(RemoteStorage(storage.root), files, str(tmp_path / "scratch"), reader=reader)

    assert np.array_equal(remote.items.values, read_segments(storage, files, reader=reader).items.values)
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("folder", ["with space", "ünï", "50%25", "a#b", "a?b"])
def test_read_segments_reads_from_any_folder(folder: str, tmp_path: Path, reader: str) -> None:
    storage = Storage(str(tmp_path / folder))
    table = write_rows(storage, "t", [[segment(1, 2, 3)], [segment(4, 5)]])

    segments = read_segments(storage, table.files, reader=reader)

    assert segments.items.values.tolist() == [1, 2, 3, 4, 5]


def test_read_segments_reads_what_spark_wrote(spark: Any, tmp_path: Path, reader: str) -> None:
    from pyspark.sql.types import ArrayType, IntegerType, LongType, StructField, StructType

    schema = StructType(
        [
            StructField(C.ITEM_INDICES, ArrayType(IntegerType())),
            StructField(C.TIMESTAMPS, ArrayType(LongType())),
            StructField(C.FIRST_TIMESTAMP, LongType()),
            StructField(C.NUM_CONTEXT, IntegerType()),
        ]
    )
    rows = [([1, 2, 3], [10, 20, 30], 10, 1), ([4, 5], [7, 9], 7, 1), ([6], [8], 2, 0)]
    spark.createDataFrame(rows, schema).coalesce(1).write.parquet(str(tmp_path / "t"), compression="zstd")
    storage = Storage(str(tmp_path))
    file = next(f for f in storage.list_files("t") if f.path.endswith(".parquet"))

    segments = read_segments(storage, [FileEntry(path=file.path, rows=3, size=file.size, targets=4)], reader=reader)

    assert sorted(segments.items.values.tolist()) == [1, 2, 3, 4, 5, 6]
    assert sorted(zip(segments.first_timestamps.tolist(), segments.items.lengths.tolist(), strict=True)) == [
        (2, 1),
        (7, 2),
        (10, 3),
    ]


def test_petastorm_is_of_the_version_that_loses_nothing() -> None:
    pytest.importorskip("petastorm", reason="Petastorm does not run on this stack", exc_type=ImportError)
    from importlib.metadata import version

    assert version("petastorm") == "0.12.1"


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, sprung: Path):
        self._sprung = sprung

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self._sprung,)


@pytest.mark.parametrize("num_files", [1, 2])
def test_pickled_metadata_is_never_read(num_files: int, empty_storage: Storage, tmp_path: Path, reader: str) -> None:
    """Petastorm unpickles what stands under these keys beside, or in, files that it finds by itself."""
    trap = pickle.dumps(Trap(tmp_path / "sprung"))
    keys = (b"dataset-toolkit.unischema.v1", b"dataset-toolkit.num_row_groups_per_file.v1")
    table = write_rows(empty_storage, "t", [[segment(1, 2)], [segment(3, 4)]][:num_files])
    files = []
    for file in table.files:
        path = empty_storage.local(file.path)
        assert path is not None
        rows = pq.read_table(path).replace_schema_metadata(dict.fromkeys(keys, trap))
        pq.write_table(rows, path)
        files.append(replace(file, size=path.stat().st_size))
        for name in ("_metadata", "_common_metadata"):
            pq.write_metadata(rows.schema, path.with_name(name))

    segments = read_segments(empty_storage, files, reader=reader)

    assert segments.items.values.tolist() == [1, 2, 3, 4][: 2 * num_files]
    assert not (tmp_path / "sprung").exists()
    pickle.loads(trap)
    assert (tmp_path / "sprung").exists(), "the trap works"


READ_WITHOUT_PETASTORM = """
import sys
from pathlib import Path
from seqrec.core.storage import Storage
from seqrec.core.manifest import FileEntry
from seqrec.core.errors import ConfigError
from seqrec.feed.evaluation import EvaluationFeed
from seqrec.feed.reader import read_segments
from seqrec.feed.windows import WindowFeed

sys.modules["petastorm"] = None  # An import of it fails from here on.
storage = Storage(sys.argv[1])
path = Path(sys.argv[1], sys.argv[2])
file = FileEntry(path=sys.argv[2], rows=1, size=path.stat().st_size, targets=2)
print(read_segments(storage, [file], reader="pyarrow").items.values.tolist())
try:
    read_segments(storage, [file])
except ConfigError as error:
    print(error)
"""


def test_without_petastorm_pyarrow_reads_and_petastorm_names_it(empty_storage: Storage) -> None:
    table = write_rows(empty_storage, "t", [[segment(1, 2, 3)]])
    command = [sys.executable, "-c", READ_WITHOUT_PETASTORM, str(empty_storage.local()), table.files[0].path]

    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()

    assert output[0] == "[1, 2, 3]"
    assert output[1].startswith("feed.reader is petastorm, which cannot be imported: ")
    assert output[1].endswith(". Set feed.reader=pyarrow.")
