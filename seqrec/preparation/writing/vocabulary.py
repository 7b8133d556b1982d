"""Item indices, and the rows of the vocabulary tables.

Items that occur in training come first, ordered by how often they do, then all others. Index 0 is padding and has no
row. Category 0 is a missing category and has no row either, so it never shifts the other categories.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark import Broadcast
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import IntegerType, LongType, StringType, StructType

from seqrec.core.columns import CATEGORY, CATEGORY_INDEX, ITEM, ITEM_INDEX, TRAIN_COUNT
from seqrec.events.ragged import column
from seqrec.tables.prepared_schemas import ITEM_NUMBER, VOCABULARY_CATEGORIES, VOCABULARY_ITEMS

_ITEMS_PER_FILE = 1_000_000


@dataclass(frozen=True)
class ItemIndices:
    """The index of each item number, and how often each index occurs in training."""

    by_number: np.ndarray  # int32 [numbers], the index of each item number; 0 if the item is not in the vocabulary.
    train_counts: np.ndarray  # int64 [items + 1], training events by index; [0] is 0.

    @property
    def num_items(self) -> int:
        return len(self.train_counts) - 1

    @property
    def num_trained_items(self) -> int:
        return int((self.train_counts > 0).sum())

    def counts_by_index(self, counts: np.ndarray) -> np.ndarray:
        """int64 [items + 1], the given counts by item number as counts by index; unknown items are left out."""
        by_index = np.bincount(self.by_number, weights=counts, minlength=self.num_items + 1).astype(np.int64)
        by_index[0] = 0
        return by_index

    def numbers_by_index(self) -> np.ndarray:
        """int64 [items + 1], the item number (rank of the id) of each index; -1 for padding and absent items."""
        numbers = np.full(self.num_items + 1, -1, np.int64)
        numbers[self.by_number] = np.arange(len(self.by_number))
        numbers[0] = -1
        return numbers


def number_items(is_kept: np.ndarray, train_counts: np.ndarray) -> ItemIndices:
    """Indices from 1 for the kept items, ordered by training events, most first, then by id.

    Args:
        is_kept: bool, by item number, which ascends with the item id.
        train_counts: int64, training events by item number.
    """
    kept = np.flatnonzero(is_kept)
    kept = kept[np.lexsort((kept, -train_counts[kept]))]
    by_number = np.zeros(len(is_kept), np.int32)
    by_number[kept] = np.arange(1, len(kept) + 1)
    return ItemIndices(by_number, np.concatenate([[0], train_counts[kept]]))


def build_item_rows(numbered_items: DataFrame, indices: Broadcast) -> DataFrame:
    """One row per item of the vocabulary: its id, index and training events. `indices` broadcasts an `ItemIndices`."""
    schema = f"{ITEM} string, {ITEM_INDEX} int, {TRAIN_COUNT} long"
    return numbered_items.select(ITEM, ITEM_NUMBER).mapInArrow(partial(_with_index, indices), schema)


def with_category(item_rows: DataFrame, items: DataFrame) -> DataFrame:
    """Adds `category`, null where the metadata names none."""
    # `nullif` would be shorter, but fails on Spark 3.5.0, which Databricks' runtime 15.4 has.
    named = items.select(ITEM, F.when(F.col(CATEGORY) != "", F.col(CATEGORY)).alias(CATEGORY))
    return item_rows.join(named, on=ITEM, how="left")


def build_categories(categorized: DataFrame) -> DataFrame:
    """One row per category of the vocabulary's items, ordered by training events, most first, then by name."""
    counted = (
        categorized.filter(F.col(CATEGORY).isNotNull()).groupBy(CATEGORY).agg(F.sum(TRAIN_COUNT).alias(TRAIN_COUNT))
    )
    # Categories are few, so one partition can number them.
    ordered = counted.repartition(1).sortWithinPartitions(F.desc(TRAIN_COUNT), CATEGORY)
    index = (F.monotonically_increasing_id() + 1).cast("int")
    return ordered.select(index.alias(CATEGORY_INDEX), CATEGORY, TRAIN_COUNT).transform(
        _declared, VOCABULARY_CATEGORIES
    )


def build_items(categorized: DataFrame, categories: DataFrame, num_items: int) -> DataFrame:
    """One row per item of the vocabulary, in the order of the indices."""
    known = categories.select(CATEGORY, CATEGORY_INDEX)
    joined = categorized.join(known, on=CATEGORY, how="left").fillna(0, [CATEGORY_INDEX])
    num_files = max(1, -(-num_items // _ITEMS_PER_FILE))
    spread = joined.repartition(1) if num_files == 1 else joined.repartitionByRange(num_files, ITEM_INDEX)
    return spread.sortWithinPartitions(ITEM_INDEX).transform(_declared, VOCABULARY_ITEMS)


def collect_categories(items: DataFrame, num_items: int) -> np.ndarray:
    """int32 [items + 1], the category index of each item index; [0] is 0."""
    columns = items.select(ITEM_INDEX, CATEGORY_INDEX).toPandas()
    category_of = np.zeros(num_items + 1, np.int32)
    category_of[columns[ITEM_INDEX].to_numpy()] = columns[CATEGORY_INDEX].to_numpy()
    return category_of


def _declared(table: DataFrame, schema: StructType) -> DataFrame:
    """The columns of `schema`, declared as never null, which Spark does not know after a left join or an aggregate."""
    defaults = {StringType(): "", IntegerType(): 0, LongType(): 0}
    return table.select(
        *[
            F.coalesce(
                F.col(field.name).cast(field.dataType), F.lit(defaults[field.dataType]).cast(field.dataType)
            ).alias(field.name)
            for field in schema
        ]
    )


def _with_index(indices: Broadcast, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        index = indices.value.by_number[column(batch, ITEM_NUMBER)]
        kept = batch.filter(pa.array(index > 0))
        index = index[index > 0]
        counts = indices.value.train_counts[index]
        yield pa.RecordBatch.from_arrays(
            [kept.column(0), pa.array(index), pa.array(counts)], names=[ITEM, ITEM_INDEX, TRAIN_COUNT]
        )
