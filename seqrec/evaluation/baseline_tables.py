"""The arrays behind the baselines, counted by Spark from the training events and the vocabulary."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pyspark.sql import SparkSession

from seqrec.core.columns import ITEM, ITEM_INDEX
from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.evaluation.baselines import ItemId, LastCategory, Popularity, Ranking
from seqrec.evaluation.config import EvaluationConfig
from seqrec.feed.vocabulary import ITEMS, Vocabulary, read_names


@dataclass(frozen=True)
class Material:
    """What baselines are made from."""

    spark: SparkSession
    storage: Storage
    prepared: Manifest
    vocabulary: Vocabulary
    config: EvaluationConfig


def build_baselines(material: Material) -> tuple[dict[str, Ranking], list[str]]:
    """The baselines of `config.baselines` by name, and a note for each that this data cannot give."""
    rankings: dict[str, Ranking] = {}
    notes = []
    for name in material.config.baselines:
        built = _BUILDERS[name](material)
        if isinstance(built, str):
            notes.append(f"Baseline {name} is left out: {built}.")
        else:
            rankings[name] = built
    return rankings, notes


def _popularity(material: Material) -> Ranking | str:
    return Popularity(material.vocabulary.train_count)


def _last_category(material: Material) -> Ranking | str:
    if not material.vocabulary.item_category.any():
        return "no item has a category"
    return LastCategory(material.vocabulary.item_category, material.vocabulary.train_count)


def _item_id(material: Material) -> Ranking | str:
    index, names = read_names(material.storage, material.prepared.table(ITEMS), ITEM_INDEX, ITEM)
    order = np.zeros(material.vocabulary.num_items + 1, np.int32)
    order[index[np.argsort(names.to_numpy(zero_copy_only=False), kind="stable")]] = np.arange(1, len(index) + 1)
    return ItemId(order)


_BUILDERS: dict[str, Callable[[Material], Ranking | str]] = {
    "popularity": _popularity,
    "last_category": _last_category,
    "item_id": _item_id,
}
