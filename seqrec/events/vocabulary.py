"""The vocabulary as arrays over item indices. Models take it as it is, and reading it needs no JVM."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from seqrec.core import columns as C
from seqrec.core.errors import DataError, StorageError, reason_of
from seqrec.core.manifest import Manifest, Table
from seqrec.core.storage import Storage, scratch_folder
from seqrec.events.features import ItemFeatures, read_item_features

ITEMS = "vocabulary/items"
CATEGORIES = "vocabulary/categories"


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Index 0 is padding; indices 1 to `num_trained_items` occur in the training events, higher ones do not.

    Raises:
        DataError: the arrays do not belong together.
    """

    num_trained_items: int
    num_categories: int  # Categories have indices 0 (missing) to `num_categories`.
    item_category: np.ndarray  # int32 [num_items + 1], category index of each item; 0 for padding.
    train_count: np.ndarray  # int64 [num_items + 1], training events of each item; 0 for padding.
    features: ItemFeatures | None = None  # Features of the items; None if none are declared.

    def __post_init__(self) -> None:
        table = self.item_category
        if table.ndim != 1 or table.dtype != np.int32:
            raise DataError(f"item_category is {table.dtype} {list(table.shape)}: expected int32 of one dimension.")
        if not 1 <= self.num_trained_items <= self.num_items:
            raise DataError(
                f"num_trained_items is {self.num_trained_items} but the vocabulary has {self.num_items} items: "
                "prepare the data again, or keep more events."
            )
        if table[0] != 0:
            raise DataError(f"item_category[0] is {table[0]}: padding must have category 0.")
        if table.min() < 0 or table.max() > self.num_categories:
            raise DataError(
                f"item_category holds {table.min()} to {table.max()} but there are {self.num_categories} categories: "
                "the vocabulary's items and categories do not belong together."
            )
        if self.train_count.shape != table.shape:
            raise DataError(
                f"train_count has {len(self.train_count)} entries and item_category {len(table)}: "
                "the vocabulary's counts and categories do not belong together."
            )

    @property
    def num_items(self) -> int:
        return len(self.item_category) - 1


def read_vocabulary(storage: Storage, manifest: Manifest) -> Vocabulary:
    """The vocabulary of prepared data or of a run.

    Raises:
        DataError: a file is missing or broken, the indices are not 1, 2, ... each once, or items and categories do not
            belong together.
    """
    items = _read_columns(storage, manifest.table(ITEMS), [C.ITEM_INDEX, C.CATEGORY_INDEX, C.TRAIN_COUNT])
    index = items[C.ITEM_INDEX].to_numpy()
    num_items = manifest.table(ITEMS).rows
    _check_indices(index, num_items, f"{manifest.stage} '{manifest.name}': {ITEMS}")
    item_category = np.zeros(num_items + 1, np.int32)
    item_category[index] = items[C.CATEGORY_INDEX].to_numpy()
    train_count = np.zeros(num_items + 1, np.int64)
    train_count[index] = items[C.TRAIN_COUNT].to_numpy()
    return Vocabulary(
        num_trained_items=manifest.details["num_trained_items"],
        num_categories=manifest.details["num_categories"],
        item_category=item_category,
        train_count=train_count,
        features=read_item_features(storage, manifest, num_items),
    )


def read_names(storage: Storage, table: Table, index_column: str, name_column: str) -> tuple[np.ndarray, pa.Array]:
    """Indices (int64, sorted) and names (a string array) of a vocabulary table, such as item ids; it may be empty."""
    if not table.rows:  # A table without rows has no files, such as the categories of data without metadata.
        return np.zeros(0, np.int64), pa.array([], pa.string())
    columns = _read_columns(storage, table, [index_column, name_column])
    index = columns[index_column].to_numpy().astype(np.int64)
    order = np.argsort(index, kind="stable")
    return index[order], columns[name_column].combine_chunks().take(pa.array(order))


def copy_table(storage: Storage, table: Table, path: str, scratch: str | None) -> None:
    """Writes all files of a table of the vocabulary as one, reading one row group at a time."""
    try:
        with scratch_folder(scratch) as folder:
            local = folder / "table.parquet"
            writer: pq.ParquetWriter | None = None
            for part in _row_groups(storage, table):
                writer = writer or pq.ParquetWriter(local, part.schema, compression="zstd")
                writer.write_table(part)
            if writer is None:
                raise StorageError(f"{storage.uri(path)}: the vocabulary has no files. Prepare the data again.")
            writer.close()
            storage.upload(local, path)
    except OSError as error:
        raise StorageError(
            f"{storage.uri(path)}: cannot copy the vocabulary by way of {scratch or tempfile.gettempdir()}: "
            f"{error.strerror or error}. Free some space or set training.scratch."
        ) from error


def _row_groups(storage: Storage, table: Table) -> Iterator[pa.Table]:
    for file in table.files:
        with storage.open_input(file.path) as stream:
            source = pq.ParquetFile(stream)
            yield from map(source.read_row_group, range(source.num_row_groups))


def _check_indices(index: np.ndarray, num_items: int, where: str) -> None:
    seen = np.zeros(num_items + 1, np.bool_)
    inside = (index >= 1) & (index <= num_items)
    seen[index[inside]] = True
    if len(index) != num_items or not inside.all() or not seen[1:].all():
        raise DataError(
            f"{where}: {len(index)} rows whose indices are not 1 to {num_items}, each once. "
            "Prepare the data again (--set force=true)."
        )


def _read_columns(storage: Storage, table: Table, columns: list[str]) -> pa.Table:
    parts = []
    for file in table.files:
        with storage.open_input(file.path) as stream:
            try:
                parts.append(pq.read_table(stream, columns=columns))
            except (OSError, pa.ArrowException) as error:
                raise DataError(
                    f"{storage.uri(file.path)}: not a readable vocabulary file: {reason_of(error)}."
                ) from None
    return pa.concat_tables(parts)
