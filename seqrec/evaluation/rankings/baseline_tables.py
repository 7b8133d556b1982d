"""The arrays behind the baselines, counted by Spark from the training events, the vocabulary and the metadata."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from seqrec.core.columns import (
    ALSO_BUY,
    ITEM,
    ITEM_INDEX,
    ITEM_INDICES,
    SECONDS_PER_DAY,
    TIMESTAMPS,
)
from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.evaluation.config import EvaluationConfig
from seqrec.evaluation.rankings.baselines import (
    ItemId,
    ItemPairs,
    LastCategory,
    Popularity,
    RecentPopularity,
)
from seqrec.evaluation.rankings.ranker import Ranker
from seqrec.events.vocabulary import ITEMS, Vocabulary, read_names
from seqrec.neighbours.co_visitation import FIRST, SECOND, WEIGHT, PairWeights, count_pairs, keep_strongest
from seqrec.neighbours.metadata_links import read_links
from seqrec.tables.arrow_bytes import BYTE_ROWS, from_bytes, to_byte_rows
from seqrec.tables.files import read_table
from seqrec.tables.prepared_schemas import TRAIN, num_repeated_events

_WINDOW = 5  # An event is paired with this many next events.
_CO_VISITS = PairWeights(
    window=_WINDOW,
    direction="forward",
    half_life_days=None,
    max_events=None,
    unit=math.lcm(*range(1, _WINDOW + 1)),  # So that the n-th next event weighs an exact n-th of the next one.
)
_ENTRY_BYTES = 12  # Memory of an entry of a lookup table: a key and a weight.
_ENTRIES_A_TASK = 1 << 20  # Entries that one task collects, about.


@dataclass(frozen=True)
class BaselineInputs:
    """The data that baselines are made from, and the settings."""

    spark: SparkSession
    storage: Storage
    prepared: Manifest
    vocabulary: Vocabulary
    config: EvaluationConfig

    @property
    def max_entries(self) -> int:
        """The most entries that a baseline's lookup table may have."""
        return self.config.max_baseline_megabytes * 2**20 // _ENTRY_BYTES

    def too_large(self, entries: int) -> str:
        """The reason for leaving out a table of so many entries, as it stands in a note."""
        return (
            f"its table needs {entries * _ENTRY_BYTES / 2**20:,.0f} MB, more than "
            f"evaluation.max_baseline_megabytes ({self.config.max_baseline_megabytes})"
        )


def build_baselines(inputs: BaselineInputs) -> tuple[dict[str, Ranker], list[str]]:
    """The baselines of `config.baselines` by name, and a note for each that cannot be made from this data."""
    rankers: dict[str, Ranker] = {}
    notes = []
    for name in inputs.config.baselines:
        built = _BUILDERS[name](inputs)
        if isinstance(built, str):
            notes.append(f"Baseline {name} is left out: {built}.")
        else:
            rankers[name] = built
    return rankers, notes


def _popularity(inputs: BaselineInputs) -> Ranker | str:
    return Popularity(inputs.vocabulary.train_count)


def _last_category(inputs: BaselineInputs) -> Ranker | str:
    if not inputs.vocabulary.item_category.any():
        return "no item has a category"
    return LastCategory(inputs.vocabulary.item_category, inputs.vocabulary.train_count)


def _item_id(inputs: BaselineInputs) -> Ranker | str:
    index, names = read_names(inputs.storage, inputs.prepared.table(ITEMS), ITEM_INDEX, ITEM)
    order = np.zeros(inputs.vocabulary.num_items + 1, np.int32)
    order[index[np.argsort(names.to_numpy(zero_copy_only=False), kind="stable")]] = np.arange(1, len(index) + 1)
    return ItemId(order)


def _recent_popularity(inputs: BaselineInputs) -> Ranker | str:
    """Events of each (item, day); context events are another segment's and are not counted twice."""
    events = _train_segments(inputs).select(
        F.explode(F.arrays_zip(_own(ITEM_INDICES), _own(TIMESTAMPS))).alias("event")
    )
    item, day = F.col(f"event.{ITEM_INDICES}"), F.floor(F.col(f"event.{TIMESTAMPS}") / SECONDS_PER_DAY)
    by_day = events.groupBy(item.alias("item"), day.alias("day")).agg(F.count(F.lit(1)).alias("weight"))
    counted = collect_entries(by_day, "item", "day", inputs.max_entries)
    if isinstance(counted, int):
        return inputs.too_large(counted)
    items, days, weights = counted
    first_day = int(days.min(initial=0)) if len(days) else 0
    num_days = int(days.max(initial=0)) - first_day + 1 if len(days) else 1
    keys = items * (num_days + 1) + (days - first_day)
    order = np.argsort(keys)
    cumulative = np.concatenate([[0], np.cumsum(weights[order].astype(np.int64))])
    return RecentPopularity(first_day, num_days, inputs.config.recent_days, keys[order], cumulative)


def _co_visitation(inputs: BaselineInputs) -> Ranker | str:
    """How often one item followed another within a few events, nearer ones counting more; the strongest pairs only."""
    pairs = count_pairs(_train_segments(inputs), _CO_VISITS)
    return _item_pairs(inputs, pairs.transform(keep_strongest, inputs.config.num_neighbours))


def _also_bought(inputs: BaselineInputs) -> Ranker | str:
    links = read_links(inputs.spark, inputs.storage, inputs.prepared, ALSO_BUY)
    if links is None:
        return "there is no metadata"
    built = _item_pairs(inputs, links.withColumn(WEIGHT, F.lit(1)))
    if isinstance(built, ItemPairs) and not len(built.keys):
        return "the metadata names no also-bought items of this vocabulary"
    return built


def _item_pairs(inputs: BaselineInputs, pairs: DataFrame) -> Ranker | str:
    counted = collect_entries(pairs, FIRST, SECOND, inputs.max_entries)
    if isinstance(counted, int):
        return inputs.too_large(counted)
    first, second, weight = counted
    num_items = inputs.vocabulary.num_items
    keys = first * (num_items + 1) + second
    order = np.argsort(keys)
    whole = np.minimum(weight[order], np.iinfo(np.int32).max)  # Beyond int32 the most frequent pairs tie.
    return ItemPairs(
        num_recent=inputs.config.num_recent_items,
        num_items=num_items,
        keys=keys[order],
        weights=whole.astype(np.int32),
        train_count=inputs.vocabulary.train_count,
    )


def collect_entries(
    table: DataFrame, first: str, second: str, max_entries: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | int:
    """Two key columns (int64) and the column `weight` (float64) as arrays; their number alone if it is too large."""
    entries = table.select(
        F.col(first).cast("long"), F.col(second).cast("long"), F.col("weight").cast("double")
    ).persist()
    try:
        number = entries.count()
        if number > max_entries:
            return number
        # Few tasks: the counted table is small, while starting a Python worker for each of many partitions takes long.
        tasks = 1 + number // _ENTRIES_A_TASK
        packed = entries.coalesce(tasks).mapInArrow(to_byte_rows, BYTE_ROWS).collect()
    finally:
        entries.unpersist()
    if not packed:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    columns = pa.Table.from_batches([from_bytes(bytes(row[0])) for row in packed]).columns
    return columns[0].to_numpy(), columns[1].to_numpy(), columns[2].to_numpy()


def _train_segments(inputs: BaselineInputs) -> DataFrame:
    return read_table(inputs.spark, inputs.storage, inputs.prepared, "sequences/train", TRAIN)


def _own(column: str) -> Column:
    """The events that no other segment of the user repeats."""
    return F.slice(column, num_repeated_events() + 1, F.size(column)).alias(column)


_BUILDERS: dict[str, Callable[[BaselineInputs], Ranker | str]] = {
    "popularity": _popularity,
    "recent_popularity": _recent_popularity,
    "last_category": _last_category,
    "co_visitation": _co_visitation,
    "also_bought": _also_bought,
    "item_id": _item_id,
}
