"""Item ids and titles by item index: an Arrow file that every worker maps into memory."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from seqrec.core.columns import ITEM, ITEM_INDEX, TITLE
from seqrec.core.local_copies import local_copy
from seqrec.core.manifest import Attempt, Dataset, Manifest
from seqrec.core.storage import Storage, scratch_folder
from seqrec.events.vocabulary import ITEMS
from seqrec.tables.files import read_table
from seqrec.tables.metadata import read_metadata
from seqrec.tables.prepared_schemas import VOCABULARY_ITEMS

_SCHEMA = pa.schema([(ITEM, pa.string()), (TITLE, pa.string())])
_ROWS = 1 << 16  # Rows of a record batch: small enough that a look-up copies little.


def write_item_names(spark: SparkSession, attempt: Attempt, prepared: Manifest, path: str) -> None:
    """Writes ids and titles in order of item index; a title is null where the metadata has none."""
    storage = attempt.storage
    names = read_table(spark, storage, prepared, ITEMS, VOCABULARY_ITEMS).select(ITEM_INDEX, ITEM)
    items = read_metadata(spark, storage, prepared.name)
    if items is not None:
        titles = items.where(F.col(TITLE).isNotNull()).groupBy(ITEM).agg(F.min(TITLE).alias(TITLE))
        names = names.join(titles, on=ITEM, how="left")
    else:
        names = names.withColumn(TITLE, F.lit(None).cast("string"))
    ordered = names.repartitionByRange(ITEM_INDEX).sortWithinPartitions(ITEM_INDEX)
    scratch = f"{attempt.path}/scratch/names"
    ordered.write.parquet(attempt.uri("scratch/names"), mode="overwrite", compression="zstd")
    files = [file.path for file in storage.list_files(scratch) if file.path.endswith(".parquet")]
    with scratch_folder() as folder:
        local = folder / "names.arrow"
        with pa.ipc.new_file(str(local), _SCHEMA) as writer:
            for file in files:
                with storage.open_input(file) as stream:
                    for batch in pq.ParquetFile(stream).iter_batches(_ROWS, columns=[ITEM, TITLE]):
                        writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=_SCHEMA))
        storage.upload(local, path)
    storage.delete(scratch)


@dataclass(frozen=True)
class ItemNames:
    """Looked up by item index, from 1."""

    batches: list[pa.RecordBatch]
    starts: np.ndarray  # int64, index of the first item of each batch.

    @classmethod
    def open(cls, storage: Storage, path: str) -> "ItemNames":
        file = pa.ipc.open_file(pa.memory_map(str(local_copy(storage, path))))
        batches = [file.get_batch(number) for number in range(file.num_record_batches)]
        sizes = [batch.num_rows for batch in batches]
        return cls(batches, 1 + np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64))

    def look_up(self, items: np.ndarray) -> tuple[pa.Array, pa.Array]:
        """Ids and titles of item indices int [n]."""
        unique, place = np.unique(items, return_inverse=True)
        batch = np.searchsorted(self.starts, unique, side="right") - 1
        parts = [
            self.batches[number].take(pa.array(unique[batch == number] - self.starts[number]))
            for number in np.unique(batch)
        ]
        if not parts:
            return pa.array([], pa.string()), pa.array([], pa.string())
        table = pa.Table.from_batches(parts).combine_chunks().take(pa.array(place))
        return table.column(ITEM).combine_chunks(), table.column(TITLE).combine_chunks()


def names_of(storage: Storage, prepared: Manifest, items: np.ndarray) -> dict[int, tuple[str, str | None]]:
    """Id and title of a few item indices, without Spark."""
    if not len(items):
        return {}
    wanted = pa.array(np.unique(items), pa.int32())
    ids: dict[int, str] = {}
    for file in prepared.table(ITEMS).files:
        with storage.open_input(file.path) as stream:
            rows = pq.read_table(stream, columns=[ITEM_INDEX, ITEM], filters=[(ITEM_INDEX, "in", wanted.to_pylist())])
        ids |= dict(zip(rows.column(ITEM_INDEX).to_pylist(), rows.column(ITEM).to_pylist(), strict=True))
    titles: dict[str, str] = {}
    ingested = Dataset(storage, "ingested", prepared.name).manifest()
    if ingested is not None and "items" in ingested.tables:
        for file in ingested.tables["items"].files:
            with storage.open_input(file.path) as stream:
                rows = pq.read_table(stream, columns=[ITEM, TITLE], filters=[(ITEM, "in", list(ids.values()))])
            for item, title in zip(rows.column(ITEM).to_pylist(), rows.column(TITLE).to_pylist(), strict=True):
                if title is not None:
                    titles[item] = min(title, titles.get(item, title))
    return {index: (item, titles.get(item)) for index, item in ids.items()}
