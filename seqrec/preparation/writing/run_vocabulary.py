"""The vocabulary of a trained run, used to index new reviews, so that last night's model serves tonight's data."""

from dataclasses import dataclass

import numpy as np
from pyspark.sql import DataFrame, SparkSession

from seqrec.core.columns import ITEM, ITEM_INDEX, TRAIN_COUNT
from seqrec.core.manifest import Dataset
from seqrec.core.storage import Storage
from seqrec.preparation.writing.vocabulary import ItemIndices
from seqrec.tables.digest import content_digest
from seqrec.tables.files import read_table
from seqrec.tables.prepared_schemas import (
    ITEM_NUMBER,
    VOCABULARY_CATEGORIES,
    VOCABULARY_CATEGORIES_TABLE,
    VOCABULARY_ITEMS,
    VOCABULARY_ITEMS_TABLE,
)


@dataclass(frozen=True)
class RunVocabulary:
    """The vocabulary tables that a run carries."""

    items: DataFrame  # VOCABULARY_ITEMS
    categories: DataFrame  # VOCABULARY_CATEGORIES
    content: str  # Digest of the items.

    def index(self, numbered_items: DataFrame, num_numbers: int) -> ItemIndices:
        """The run's index of each item number in the reviews; 0 for items that the run does not know."""
        known = numbered_items.join(self.items, on=ITEM, how="inner").select(ITEM_NUMBER, ITEM_INDEX).toPandas()
        by_number = np.zeros(num_numbers, np.int32)
        by_number[known[ITEM_NUMBER].to_numpy()] = known[ITEM_INDEX].to_numpy()
        counts = self.items.select(ITEM_INDEX, TRAIN_COUNT).toPandas()
        train_counts = np.zeros(int(counts[ITEM_INDEX].max()) + 1, np.int64)
        train_counts[counts[ITEM_INDEX].to_numpy()] = counts[TRAIN_COUNT].to_numpy()
        return ItemIndices(by_number, train_counts)


def read_run_vocabulary(spark: SparkSession, storage: Storage, run: str) -> RunVocabulary:
    """Reads the vocabulary of the run `run`; it has no categories if the run was trained on data without metadata.

    Raises:
        DataError: there is no finished run of that name, or files of its vocabulary are missing or cut off.
    """
    manifest = Dataset(storage, "runs", run).require(made_by="train")
    items = read_table(spark, storage, manifest, VOCABULARY_ITEMS_TABLE, VOCABULARY_ITEMS)
    categories = read_table(spark, storage, manifest, VOCABULARY_CATEGORIES_TABLE, VOCABULARY_CATEGORIES)
    return RunVocabulary(items, categories, content_digest(items)[1])
