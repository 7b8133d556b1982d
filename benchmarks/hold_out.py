"""Holds items out of prepared data: they lose every event but those that are the target of a test row.

    python benchmarks/hold_out.py WORKDIR NAME

Writes `prepared/NAME-cold` from `prepared/NAME`, which has features. A tenth of the items, drawn by a hash of their
ids, are moved behind all others in the vocabulary, with no training events: as items are that nobody has bought yet.
Their events leave the training segments, histories and validation rows; so the test rows on them ask for items that a
model can know by their features only. Statistics of features stay those of all items.
"""

import sys
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seqrec.core import columns as C
from seqrec.core.local_copies import save_array
from seqrec.core.manifest import Attempt, Dataset, FileEntry, Manifest, Recipe, Table, digest_of
from seqrec.core.storage import Storage
from seqrec.events.features import FEATURE_ROWS, FEATURE_WEIGHTS, read_item_features
from seqrec.events.ragged import Ragged, column, lists

SHARE = 10  # One item in so many is held out.


def main(workdir: str, name: str) -> None:
    storage = Storage(workdir)
    source = Dataset(storage, "prepared", name).require("prepare")
    recipe = Recipe(stage="prepare", settings={"held_out": SHARE}, inputs={"prepared": source.content})
    attempt = Dataset(storage, "prepared", f"{name}-cold").begin(recipe)
    items = read(storage, source, "vocabulary/items")
    is_held_out = np.zeros(len(items) + 1, bool)
    is_held_out[1:] = [zlib.crc32(item.encode()) % SHARE == 0 for item in items[C.ITEM].to_pylist()]
    train = read(storage, source, "sequences/train")
    counts = train_counts(train, is_held_out)
    # Trained items first, most events first, as `prepare` numbers them; then those without any.
    order = np.lexsort((np.arange(1, len(items) + 1), -counts[1:])) + 1
    index = np.zeros(len(items) + 1, np.int32)
    index[order] = np.arange(1, len(items) + 1)
    num_trained = int((counts > 0).sum())
    tables = {
        "vocabulary/items": put(attempt, "vocabulary/items", renumbered(items, order, counts)),
        "vocabulary/categories": source.tables["vocabulary/categories"],
        "vocabulary/features": source.tables["vocabulary/features"],
        "sequences/latest": source.tables["sequences/latest"],
        "sequences/train": put_train(attempt, train, is_held_out, index, len(source.table("sequences/train").files)),
    }
    for split in ("validation", "test"):
        rows = read(storage, source, f"sequences/{split}")
        keeps_target = split == "test"
        tables[f"sequences/{split}"] = put(
            attempt, f"sequences/{split}", without(rows, is_held_out, index, keeps_target=keeps_target)
        )
    features = read_item_features(storage, source, len(items))
    assert features is not None, "the data has no features"
    for table, values in ((FEATURE_ROWS, features.rows()), (FEATURE_WEIGHTS, features.weights())):
        path = f"{attempt.path}/{table}.npy"
        save_array(storage, path, np.concatenate([values[:1], values[order]]))
        tables[table] = Table(rows=len(items), content="", files=(entry(storage, path, len(items)),))
    details = source.details | {"num_trained_items": num_trained}
    made = attempt.publish(tables=tables, counts={}, details=details)
    held_out = int(is_held_out.sum())
    print(f"{held_out:,} of {len(items):,} items held out; {made.table('sequences/test').rows:,} test rows")


def read(storage: Storage, manifest: Manifest, name: str) -> pa.Table:
    parts = []
    for file in manifest.table(name).files:
        with storage.open_input(file.path) as stream:
            parts.append(pq.read_table(stream))
    return pa.concat_tables(parts).combine_chunks()


def train_counts(train: pa.Table, is_held_out: np.ndarray) -> np.ndarray:
    """Training events by old index; segments of these data overlap nowhere, as users have few events."""
    items = lists(train, C.ITEM_INDICES).values
    return np.bincount(items[~is_held_out[items]], minlength=len(is_held_out))


def renumbered(items: pa.Table, order: np.ndarray, counts: np.ndarray) -> pa.Table:
    place = np.argsort(column(items, C.ITEM_INDEX))[order - 1]
    moved = items.take(pa.array(place))
    moved = moved.set_column(
        moved.schema.get_field_index(C.ITEM_INDEX), C.ITEM_INDEX, pa.array(np.arange(1, len(order) + 1), pa.int32())
    )
    return moved.set_column(
        moved.schema.get_field_index(C.TRAIN_COUNT), C.TRAIN_COUNT, pa.array(counts[order], pa.int64())
    )


def kept_lists(
    rows: pa.Table, items_name: str, times_name: str, is_held_out: np.ndarray, index: np.ndarray
) -> pa.Table:
    items, times = lists(rows, items_name), lists(rows, times_name)
    keep = ~is_held_out[items.values]
    kept = items.keep(keep)
    moved = Ragged(index[kept.values], kept.offsets)
    rows = rows.set_column(rows.schema.get_field_index(items_name), items_name, moved.to_arrow())
    return rows.set_column(rows.schema.get_field_index(times_name), times_name, times.keep(keep).to_arrow())


def put_train(attempt: Attempt, train: pa.Table, is_held_out: np.ndarray, index: np.ndarray, num_files: int) -> Table:
    rows = kept_lists(train, C.ITEM_INDICES, C.TIMESTAMPS, is_held_out, index)
    lengths = lists(rows, C.ITEM_INDICES).lengths
    rows = rows.filter(pa.array(lengths > 1)).combine_chunks()
    parts, files = np.arange(len(rows)) % num_files, []
    for number in range(num_files):
        part = rows.filter(pa.array(parts == number)).combine_chunks()
        path = f"{attempt.path}/sequences/train/part-{number:05d}.parquet"
        targets = int(lists(part, C.ITEM_INDICES).lengths.sum() - column(part, C.NUM_CONTEXT).sum())
        files.append(write(attempt, path, part, targets))
    return Table(rows=len(rows), content=digest_of([f.size for f in files])[:16], files=tuple(files))


def without(rows: pa.Table, is_held_out: np.ndarray, index: np.ndarray, *, keeps_target: bool) -> pa.Table:
    target = column(rows, C.TARGET_ITEM)
    rows = kept_lists(rows, C.HISTORY_ITEMS, C.HISTORY_TIMESTAMPS, is_held_out, index)
    rows = rows.set_column(
        rows.schema.get_field_index(C.TARGET_ITEM), C.TARGET_ITEM, pa.array(index[target], pa.int32())
    )
    negatives = lists(rows, C.NEGATIVE_ITEMS)
    moved = Ragged(index[negatives.values], negatives.offsets).to_arrow()
    rows = rows.set_column(rows.schema.get_field_index(C.NEGATIVE_ITEMS), C.NEGATIVE_ITEMS, moved)
    chosen = pc.greater(pc.list_value_length(rows[C.HISTORY_ITEMS]), 0)
    if not keeps_target:
        chosen = pc.and_(chosen, pa.array(~is_held_out[target]))
    return rows.filter(chosen).combine_chunks()


def put(attempt: Attempt, name: str, rows: pa.Table) -> Table:
    file = write(attempt, f"{attempt.path}/{name}/part-00000.parquet", rows, None)
    return Table(rows=len(rows), content=digest_of([name, file.size])[:16], files=(file,))


def write(attempt: Attempt, path: str, rows: pa.Table, targets: int | None) -> FileEntry:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd", row_group_size=max(1, len(rows)))
    content = sink.getvalue().to_pybytes()
    attempt.storage.write_bytes(path, content)
    return FileEntry(path=path, rows=len(rows), size=len(content), targets=targets)


def entry(storage: Storage, path: str, rows: int) -> FileEntry:
    return FileEntry(path=path, rows=rows, size=len(storage.read_bytes(path)))


if __name__ == "__main__":
    main(*sys.argv[1:])
