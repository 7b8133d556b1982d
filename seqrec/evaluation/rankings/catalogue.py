"""The items that compete in the full protocol, and the names of categories."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from seqrec.core.columns import CATEGORY, CATEGORY_INDEX, GROUP, ITEM, ITEM_INDEX
from seqrec.core.errors import DataError
from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.evaluation.config import EvaluationConfig
from seqrec.events.vocabulary import CATEGORIES, ITEMS, Vocabulary, read_names
from seqrec.models.registry import family_of
from seqrec.scoring.run import TrainedRun
from seqrec.tables.files import read_table
from seqrec.tables.metadata import read_metadata
from seqrec.tables.prepared_schemas import VOCABULARY_ITEMS


@dataclass(frozen=True)
class Catalogue:
    """The items that a target competes with in the full protocol."""

    items: np.ndarray  # int32, all candidates, ascending.
    item_group: np.ndarray | None  # int32 [number of items + 1]: compete within a group; None if all items compete.

    @property
    def group_sizes(self) -> np.ndarray:
        """int64 [groups that have items], items of each; a single number where all items compete."""
        groups = np.zeros(len(self.items), np.int32) if self.item_group is None else self.item_group[self.items]
        return np.unique(groups, return_counts=True)[1]

    def competitors(self, group: int) -> np.ndarray:
        """int32: the items of a group, ascending."""
        return self.items if self.item_group is None else self.items[self.item_group[self.items] == group]


def read_catalogue(
    spark: SparkSession,
    storage: Storage,
    prepared: Manifest,
    vocabulary: Vocabulary,
    config: EvaluationConfig,
    runs: Sequence[TrainedRun],
) -> Catalogue:
    """All items of the vocabulary, and their main groups if targets compete within them.

    A catalogue of any size is ranked for retrieval models, whose scores of a block are one product.

    Raises:
        DataError: the catalogue is larger than `max_catalogue`, or groups are wanted and there is no metadata.
    """
    by_group = config.full_candidates == "group"
    ranking = [run.name for run in runs if family_of(run.config.name) == "ranking"]
    if vocabulary.num_items > config.max_catalogue and ranking and not by_group:
        raise DataError(
            f"prepared '{prepared.name}' has {vocabulary.num_items} items, more than evaluation.max_catalogue "
            f"({config.max_catalogue}), and '{ranking[0]}' scores each of them apart: use evaluation.protocol=sampled "
            "or evaluation.full_candidates=group, or raise it and lower evaluation.max_users."
        )
    items = np.arange(1, vocabulary.num_items + 1, dtype=np.int32)
    return Catalogue(items, _read_groups(spark, storage, prepared, vocabulary.num_items) if by_group else None)


def read_category_names(storage: Storage, prepared: Manifest) -> dict[int, str]:
    """Name of each category index; none where there are no categories."""
    index, names = read_names(storage, prepared.table(CATEGORIES), CATEGORY_INDEX, CATEGORY)
    return dict(zip(index.tolist(), names.to_pylist(), strict=True))


def _read_groups(spark: SparkSession, storage: Storage, prepared: Manifest, num_items: int) -> np.ndarray:
    """int32 [number of items + 1]: number of each item's main group; 0 where the metadata names none."""
    items = read_metadata(spark, storage, prepared.name)
    if items is None:
        raise DataError(
            f"ingested '{prepared.name}' has no metadata, so items have no main group: "
            "use evaluation.full_candidates=all."
        )
    vocabulary = read_table(spark, storage, prepared, ITEMS, VOCABULARY_ITEMS)
    groups = sorted(row[0] for row in items.select(GROUP).where(F.col(GROUP).isNotNull()).distinct().collect())
    if not groups:
        return np.zeros(num_items + 1, np.int32)
    numbers = F.create_map(
        *(F.lit(each) for pair in zip(groups, range(1, len(groups) + 1), strict=True) for each in pair)
    )
    number = F.coalesce(numbers[F.col(GROUP)], F.lit(0))
    numbered = vocabulary.join(items.groupBy(ITEM).agg(F.min(GROUP).alias(GROUP)), on=ITEM, how="inner")
    found = numbered.select(ITEM_INDEX, number.alias(GROUP)).toPandas()
    item_group = np.zeros(num_items + 1, np.int32)
    item_group[found[ITEM_INDEX].to_numpy()] = found[GROUP].to_numpy()
    return item_group
