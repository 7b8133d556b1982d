"""What candidates are found in, counted by Spark from events and metadata and written as arrays (`graph/`)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import IntegerType, LongType, StructField, StructType

from seqrec.core.columns import (
    ALSO_BUY,
    ALSO_VIEW,
    HISTORY_ITEMS,
    HISTORY_TIMESTAMPS,
    ITEM,
    ITEM_INDEX,
    ITEM_INDICES,
    NUM_CONTEXT,
    SECONDS_PER_DAY,
    TIMESTAMPS,
)
from seqrec.core.local_copies import map_array, save_array
from seqrec.core.manifest import Attempt, Dataset, Manifest
from seqrec.core.storage import Storage
from seqrec.events.ragged import column, lists
from seqrec.events.vocabulary import ITEMS as VOCABULARY_ITEMS_TABLE
from seqrec.events.vocabulary import Vocabulary
from seqrec.neighbours.co_visitation import (
    FIRST,
    SECOND,
    WEIGHT,
    WEIGHT_UNIT,
    add_up,
    count_pairs,
    keep_strongest,
)
from seqrec.neighbours.config import STRIDES, CandidatesConfig
from seqrec.neighbours.finder import CandidateFinder
from seqrec.neighbours.table import NeighbourTable, write_neighbours
from seqrec.tables import schemas as ingested_schemas
from seqrec.tables.arrow_bytes import BYTE_ROWS, from_bytes, to_byte_rows
from seqrec.tables.files import read_table
from seqrec.tables.prepared_schemas import LATEST, TRAIN, VOCABULARY_ITEMS, num_repeated_events

GRAPH = "graph"
_COUNTS = StructType([StructField(ITEM_INDEX, IntegerType(), False), StructField(WEIGHT, LongType(), False)])


@dataclass(frozen=True)
class GraphInputs:
    spark: SparkSession
    storage: Storage
    prepared: Manifest
    vocabulary: Vocabulary
    config: CandidatesConfig


def build_graph(inputs: GraphInputs, attempt: Attempt) -> dict[str, int]:
    """Writes the graph of every source of `config.sources`; gives its entries of each, and the newest event's time."""
    config, vocabulary = inputs.config, inputs.vocabulary
    events = read_events(inputs)
    sizes = {}
    if "co_visitation" in config.sources:
        sizes["co_visitation"] = _write_co_visitation(inputs, attempt, events)
    for source, edges in (("also_bought", ALSO_BUY), ("also_viewed", ALSO_VIEW)):
        if source in config.sources:
            sizes[source] = _write_metadata_edges(inputs, attempt, source, edges)
    newest = events.agg(F.max(F.element_at(TIMESTAMPS, -1))).first()[0] or 0
    popularity = count_popularity(events, vocabulary.num_items, int(newest), config)
    order = np.argsort(-popularity, kind="stable")
    popular = order[popularity[order] > 0].astype(np.int32)
    if "category_popularity" in config.sources:
        table = popular_by_category(popular, popularity, vocabulary, config.num_category_items)
        table.save(attempt.storage, f"{attempt.path}/{GRAPH}/category_popularity")
        sizes["category_popularity"] = len(table.items)
    save_array(attempt.storage, f"{attempt.path}/{GRAPH}/popular_items.npy", popular)
    shares = (popularity[popular] / max(1, popularity.sum())).astype(np.float32)
    save_array(attempt.storage, f"{attempt.path}/{GRAPH}/popular_shares.npy", shares)
    return sizes | {"popularity": len(popular), "newest_timestamp": int(newest)}


def open_finder(storage: Storage, candidates: Manifest, item_category: np.ndarray) -> CandidateFinder:
    """The finder of published candidates, its arrays mapped from their files."""
    config = CandidatesConfig(**{**candidates.settings, "sources": tuple(candidates.settings["sources"])})
    return finder_at(storage, f"candidates/{candidates.name}/{candidates.id}", config, item_category)


def finder_at(storage: Storage, path: str, config: CandidatesConfig, item_category: np.ndarray) -> CandidateFinder:
    folder = f"{path}/{GRAPH}"
    popular = map_array(storage, f"{folder}/popular_items.npy")
    return CandidateFinder(
        tables={s: NeighbourTable.open(storage, f"{folder}/{s}") for s in config.sources if s != "popularity"},
        popular_items=popular if "popularity" in config.sources else popular[:0],
        item_category=item_category,
        max_candidates=config.max_candidates,
        num_recent_items=config.num_recent_items,
        history_decay=config.history_decay,
        history_half_life_days=config.history_half_life_days,
        exclude_own_items=config.exclude_own_items,
        strides={**STRIDES, **config.strides},
    )


def read_events(inputs: GraphInputs) -> DataFrame:
    """One row per history, with the events that count from NUM_CONTEXT on.

    For everyone's recommendations all events there are. To measure, the training events and nothing later: what
    another user took at test time must not tell of this one's.
    """
    spark, storage, prepared = inputs.spark, inputs.storage, inputs.prepared
    if inputs.config.histories == "latest":
        latest = read_table(spark, storage, prepared, "sequences/latest", LATEST)
        items, times = F.col(HISTORY_ITEMS).alias(ITEM_INDICES), F.col(HISTORY_TIMESTAMPS).alias(TIMESTAMPS)
        return latest.select(items, times, F.lit(0).alias(NUM_CONTEXT))
    train = read_table(spark, storage, prepared, "sequences/train", TRAIN)
    return train.select(ITEM_INDICES, TIMESTAMPS, num_repeated_events().alias(NUM_CONTEXT))


def count_popularity(events: DataFrame, num_items: int, newest: int, config: CandidatesConfig) -> np.ndarray:
    """int64 [num_items + 1]: events of each item, an old one counting less, in `WEIGHT_UNIT`s."""
    count = partial(_count_events, newest, config.popularity_half_life_days, config.max_user_events)
    counted = events.mapInArrow(count, _COUNTS).groupBy(ITEM_INDEX).agg(F.sum(WEIGHT).alias(WEIGHT))
    popularity = np.zeros(num_items + 1, np.int64)
    for packed in counted.mapInArrow(to_byte_rows, BYTE_ROWS).toLocalIterator():
        part = from_bytes(bytes(packed[0]))
        popularity[part.column(0).to_numpy()] = part.column(1).to_numpy()
    return popularity


def popular_by_category(
    popular: np.ndarray, popularity: np.ndarray, vocabulary: Vocabulary, num_items: int
) -> NeighbourTable:
    """The most popular items of each category, weighted by their share of it; a missing category (0) has none."""
    category = vocabulary.item_category[popular]
    order = np.argsort(category, kind="stable")  # Within a category the most popular stay first.
    category, items = category[order], popular[order]
    start = np.searchsorted(category, category)
    kept = (np.arange(len(category)) - start < num_items) & (category > 0)
    totals = np.bincount(
        category, weights=popularity[items].astype(np.float64), minlength=vocabulary.num_categories + 1
    )
    category, items = category[kept], items[kept]
    counts = np.bincount(category, minlength=vocabulary.num_categories + 1)
    return NeighbourTable(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        items=items.astype(np.int32),
        weights=(popularity[items] / totals[category]).astype(np.float32),
    )


def _write_co_visitation(inputs: GraphInputs, attempt: Attempt, events: DataFrame) -> int:
    config = inputs.config
    pairs = count_pairs(events, config.window, config.pair_half_life_days, config.max_user_events)
    # Divided by the root of how often the first item was taken: half way from a count to a probability.
    taken = np.maximum(inputs.vocabulary.train_count, 1)
    strongest = keep_strongest(pairs, config.num_neighbours)
    return _write_pairs(inputs, attempt, "co_visitation", strongest, 1.0 / (WEIGHT_UNIT * np.sqrt(taken)))


def _write_metadata_edges(inputs: GraphInputs, attempt: Attempt, source: str, edges: str) -> int:
    """The metadata's own lists; the sooner an item is named the more it weighs."""
    manifest = Dataset(inputs.storage, "ingested", inputs.prepared.name).manifest()
    num_keys = inputs.vocabulary.num_items + 1
    if manifest is None or "items" not in manifest.tables or not manifest.tables["items"].rows:
        write_neighbours(inputs.storage, f"{attempt.path}/{GRAPH}/{source}", [], num_keys, 0)
        return 0
    items = read_table(inputs.spark, inputs.storage, manifest, "items", ingested_schemas.ITEMS)
    vocabulary = read_table(inputs.spark, inputs.storage, inputs.prepared, VOCABULARY_ITEMS_TABLE, VOCABULARY_ITEMS)
    known = vocabulary.select(ITEM, F.col(ITEM_INDEX).alias(FIRST))
    others = vocabulary.select(F.col(ITEM).alias("other"), F.col(ITEM_INDEX).alias(SECOND))
    named = items.select(ITEM, F.posexplode(F.slice(edges, 1, inputs.config.num_neighbours)).alias("place", "other"))
    pairs = (
        named.join(known, on=ITEM, how="inner")
        .join(others, on="other", how="inner")
        .where(F.col(FIRST) != F.col(SECOND))
        .groupBy(FIRST, SECOND)
        .agg(F.max(F.lit(WEIGHT_UNIT) - F.col("place")).cast("long").alias(WEIGHT))
    )
    return _write_pairs(inputs, attempt, source, pairs.transform(_by_place), np.full(num_keys, 1.0))


def _by_place(pairs: DataFrame) -> DataFrame:
    """The weight 1 / (1 + place) instead of a whole number that falls with the place."""
    return pairs.withColumn(WEIGHT, 1.0 / (1.0 + (F.lit(WEIGHT_UNIT) - F.col(WEIGHT))))


def _write_pairs(inputs: GraphInputs, attempt: Attempt, source: str, pairs: DataFrame, scale: np.ndarray) -> int:
    """Sorted by Spark, then copied into arrays by the driver, a row group at a time."""
    storage, scratch = attempt.storage, f"{attempt.path}/scratch/{source}"
    ordered = pairs.select(FIRST, SECOND, WEIGHT).repartitionByRange(FIRST)
    ordered = ordered.sortWithinPartitions(FIRST, F.desc(WEIGHT), SECOND)
    ordered.write.parquet(attempt.uri(f"scratch/{source}"), mode="overwrite", compression="zstd")
    files = [file.path for file in storage.list_files(scratch) if file.path.endswith(".parquet")]
    size = 0
    for path in files:
        with storage.open_input(path) as stream:
            size += pq.ParquetFile(stream).metadata.num_rows
    parts = _read_pairs(storage, files, scale)
    write_neighbours(storage, f"{attempt.path}/{GRAPH}/{source}", parts, inputs.vocabulary.num_items + 1, size)
    storage.delete(scratch)
    return size


def _read_pairs(
    storage: Storage, files: list[str], scale: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    for path in files:
        with storage.open_input(path) as stream:
            for batch in pq.ParquetFile(stream).iter_batches(1 << 18):
                first = column(batch, FIRST)
                yield first, column(batch, SECOND), (column(batch, WEIGHT) * scale[first]).astype(np.float32)


def _count_events(
    newest: int, half_life_days: float, max_events: int, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        items, times = lists(batch, ITEM_INDICES), lists(batch, TIMESTAMPS).values
        counts_from = np.maximum(column(batch, NUM_CONTEXT), items.lengths - max_events)
        place = np.arange(len(items.values)) - np.repeat(items.offsets[:-1], items.lengths)
        own = place >= np.repeat(counts_from, items.lengths)
        days = (newest - times[own]) / SECONDS_PER_DAY
        # At least 1: an old item is still more popular than one that nobody took.
        weights = np.maximum(np.rint(WEIGHT_UNIT * np.exp2(-days / half_life_days)).astype(np.int64), 1)
        keys, sums = add_up(items.values[own].astype(np.int64), weights)
        yield pa.RecordBatch.from_pydict({ITEM_INDEX: keys.astype(np.int32), WEIGHT: sums})
