"""The part of `prepare` that makes features: new ones as declared, or those of the run whose vocabulary is used."""

from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from seqrec.core.errors import ConfigError
from seqrec.core.manifest import Attempt, Dataset, Manifest, Table
from seqrec.events.features import ItemFeatures, copy_features, missing_items, read_item_features, recipes_of
from seqrec.preparation.features.config import FeaturesConfig
from seqrec.preparation.features.item_table import count_missing, write_item_features
from seqrec.preparation.writing.vocabulary import ItemIndices

_PARTS = {"validation": "sequences/validation", "test": "sequences/test"}


@dataclass(frozen=True)
class PreparedFeatures:
    """What features add to a prepared dataset; all of it is empty without features."""

    tables: dict[str, Table] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    arrays: ItemFeatures | None = None

    def measure(self, spark: SparkSession, attempt: Attempt, indices: ItemIndices) -> dict[str, dict[str, Any]]:
        """By feature: values, rows, shared rows, and the share of events without a value in each part."""
        assert self.arrays is not None
        missing = missing_items(self.arrays)
        shares = count_missing(spark, attempt, missing, indices.train_counts, _PARTS)
        return {name: {**self.figures.get(name, {}), "share_missing": shares[name]} for name in missing}


def prepare_features(
    attempt: Attempt, items: DataFrame, indices: ItemIndices, config: FeaturesConfig, run: str | None
) -> PreparedFeatures:
    """Writes the features of the items in `vocabulary/items`.

    Args:
        run: the run whose vocabulary is used, and whose features then are; None makes new ones.

    Raises:
        ConfigError: the run was trained with other features than those declared.
    """
    if run is not None:
        return _features_of(attempt, Dataset(attempt.storage, "runs", run).require("train"), indices, config)
    if not config.all:
        return PreparedFeatures()
    written = write_item_features(attempt, items, indices.num_items, config.all)
    return PreparedFeatures(written.tables, written.details, written.figures, written.arrays)


def _features_of(attempt: Attempt, run: Manifest, indices: ItemIndices, config: FeaturesConfig) -> PreparedFeatures:
    """The features that a run carries: its items have the same indices, so the arrays serve as they are."""
    declared = {feature.name: feature.recipe for feature in config.all}
    if declared and declared != recipes_of(run):
        raise ConfigError(
            f"preparation.vocabulary={run.name}: that run's features are {', '.join(recipes_of(run)) or 'none'}, those "
            f"declared are {', '.join(declared)}, or their settings differ: leave out features, or declare the run's."
        )
    arrays = read_item_features(attempt.storage, run, indices.num_items)
    if arrays is None:
        return PreparedFeatures()
    tables, details = copy_features(attempt.storage, run, attempt.path)
    return PreparedFeatures(tables, details, {}, arrays)
