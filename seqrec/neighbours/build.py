"""The arrays that candidates are found in: counted by Spark from events and metadata, and opened again."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from seqrec.core.columns import (
    ALSO_BUY,
    ALSO_VIEW,
    HISTORY_ITEMS,
    HISTORY_TIMESTAMPS,
    ITEM_INDICES,
    NUM_CONTEXT,
    TIMESTAMPS,
)
from seqrec.core.local_copies import map_array, save_array
from seqrec.core.manifest import Attempt, Manifest
from seqrec.core.storage import Storage
from seqrec.events.ragged import column
from seqrec.events.vocabulary import Vocabulary
from seqrec.neighbours.co_visitation import FIRST, SECOND, WEIGHT, PairWeights, count_pairs, keep_strongest
from seqrec.neighbours.config import RETRIEVAL, STRIDES, TRANSITIONS, CandidatesConfig
from seqrec.neighbours.event_days import write_event_days
from seqrec.neighbours.finder import CandidateFinder
from seqrec.neighbours.metadata_links import PLACE, read_links
from seqrec.neighbours.popularity import count_popularity, most_popular, popular_by_category
from seqrec.neighbours.table import NeighbourTable, write_neighbours
from seqrec.tables.files import read_table
from seqrec.tables.prepared_schemas import LATEST, TRAIN, num_repeated_events

NEIGHBOURS = "graph"  # The folder of the arrays in published candidates; older ones must be found too.
_PAIR_UNIT = 1 << 20
_READ_ROWS = 1 << 18


@dataclass(frozen=True)
class NeighbourInputs:
    """The data that neighbours are counted from, and the settings."""

    spark: SparkSession
    storage: Storage
    prepared: Manifest
    vocabulary: Vocabulary
    config: CandidatesConfig


def build_neighbours(inputs: NeighbourInputs, attempt: Attempt) -> dict[str, int]:
    """Writes the arrays of each finder of `config.sources`.

    Returns: the number of entries by finder, and the time of the newest event as `newest_timestamp`.
    """
    config, vocabulary = inputs.config, inputs.vocabulary
    events = read_events(inputs)
    sizes = {}
    if "co_visitation" in config.sources:
        sizes["co_visitation"] = write_co_visitation(inputs, attempt, events, "co_visitation", "both")
    if TRANSITIONS in config.sources:
        sizes[TRANSITIONS] = write_co_visitation(inputs, attempt, events, TRANSITIONS, "forward")
    for finder, edges in (("also_bought", ALSO_BUY), ("also_viewed", ALSO_VIEW)):
        if finder in config.sources:
            sizes[finder] = _write_metadata_links(inputs, attempt, finder, edges)
    write_event_days(events, attempt, NEIGHBOURS)
    newest = int(events.agg(F.max(F.element_at(TIMESTAMPS, -1))).first()[0] or 0)
    popularity = count_popularity(
        events, vocabulary.num_items, newest, config.popularity_half_life_days, config.max_user_events
    )
    if "category_popularity" in config.sources:
        table = popular_by_category(popularity, vocabulary, config.num_category_items)
        table.save(attempt.storage, f"{attempt.path}/{NEIGHBOURS}/category_popularity")
        sizes["category_popularity"] = len(table.items)
    popular = most_popular(popularity)
    save_array(attempt.storage, f"{attempt.path}/{NEIGHBOURS}/popular_items.npy", popular)
    shares = (popularity[popular] / max(1, popularity.sum())).astype(np.float32)
    save_array(attempt.storage, f"{attempt.path}/{NEIGHBOURS}/popular_shares.npy", shares)
    return sizes | {"popularity": len(popular), "newest_timestamp": newest}


def settings_of(candidates: Manifest) -> CandidatesConfig:
    """The settings that published candidates were made with."""
    return CandidatesConfig(**{**candidates.settings, "sources": tuple(candidates.settings["sources"])})


def finder_at(storage: Storage, path: str, config: CandidatesConfig, item_category: np.ndarray) -> CandidateFinder:
    """The finder whose arrays `build_neighbours` wrote below `path`.

    Args:
        item_category: int32 [number of items + 1]
    """
    folder = f"{path}/{NEIGHBOURS}"
    popular = map_array(storage, f"{folder}/popular_items.npy")
    with_table = [name for name in config.sources if name not in ("popularity", RETRIEVAL)]
    return CandidateFinder(
        tables={name: NeighbourTable.open(storage, f"{folder}/{name}") for name in with_table},
        popular_items=popular if "popularity" in config.sources else popular[:0],
        item_category=item_category,
        max_candidates=config.max_candidates,
        num_recent_items=config.num_recent_items,
        history_decay=config.history_decay,
        history_half_life_days=config.history_half_life_days,
        exclude_own_items=config.exclude_own_items,
        strides={**STRIDES, **config.strides},
    )


def read_events(inputs: NeighbourInputs) -> DataFrame:
    """One row per history, with the events that count from place NUM_CONTEXT on.

    Recommendations for everyone use all events. Measured candidates use the training events and nothing later: the
    events of other users at test time must not help to find this user's target.
    """
    spark, storage, prepared = inputs.spark, inputs.storage, inputs.prepared
    if inputs.config.histories == "latest":
        latest = read_table(spark, storage, prepared, "sequences/latest", LATEST)
        items, times = F.col(HISTORY_ITEMS).alias(ITEM_INDICES), F.col(HISTORY_TIMESTAMPS).alias(TIMESTAMPS)
        return latest.select(items, times, F.lit(0).alias(NUM_CONTEXT))
    train = read_table(spark, storage, prepared, "sequences/train", TRAIN)
    return train.select(ITEM_INDICES, TIMESTAMPS, num_repeated_events().alias(NUM_CONTEXT))


def write_co_visitation(
    inputs: NeighbourInputs, attempt: Attempt, events: DataFrame, finder: str, direction: Literal["both", "forward"]
) -> int:
    """Counts pairs of `events`, as `read_events` gives them, and writes the table `finder`; returns its entries."""
    config = inputs.config
    weights = PairWeights(
        window=config.window,
        direction=direction,
        half_life_days=config.pair_half_life_days,
        max_events=config.max_user_events,
        unit=_PAIR_UNIT,
    )
    strongest = count_pairs(events, weights).transform(keep_strongest, config.num_neighbours)
    # Divided by the square root of the first item's training events: half way from a count to a probability.
    taken = np.maximum(inputs.vocabulary.train_count, 1)
    return _write_pairs(inputs, attempt, finder, strongest, 1.0 / (_PAIR_UNIT * np.sqrt(taken)))


def _write_metadata_links(inputs: NeighbourInputs, attempt: Attempt, finder: str, edges: str) -> int:
    """The metadata's own lists; an item weighs more the earlier it is named: 1 / (1 + place)."""
    links = read_links(inputs.spark, inputs.storage, inputs.prepared, edges, inputs.config.num_neighbours)
    num_keys = inputs.vocabulary.num_items + 1
    if links is None:
        write_neighbours(inputs.storage, f"{attempt.path}/{NEIGHBOURS}/{finder}", [], num_keys, 0)
        return 0
    pairs = links.where(F.col(FIRST) != F.col(SECOND)).withColumn(WEIGHT, 1.0 / (1.0 + F.col(PLACE)))
    return _write_pairs(inputs, attempt, finder, pairs, np.full(num_keys, 1.0))


def _write_pairs(inputs: NeighbourInputs, attempt: Attempt, finder: str, pairs: DataFrame, scale: np.ndarray) -> int:
    """Writes pairs sorted by Spark; the driver then copies them into arrays, a row group at a time.

    Args:
        scale: float64 [number of items + 1], by which the weights of each first item are multiplied.
    Returns: the number of pairs.
    """
    storage, scratch = attempt.storage, f"{attempt.path}/scratch/{finder}"
    ordered = pairs.select(FIRST, SECOND, WEIGHT).repartitionByRange(FIRST)
    ordered = ordered.sortWithinPartitions(FIRST, F.desc(WEIGHT), SECOND)
    ordered.write.parquet(attempt.uri(f"scratch/{finder}"), mode="overwrite", compression="zstd")
    files = [file.path for file in storage.list_files(scratch) if file.path.endswith(".parquet")]
    size = 0
    for path in files:
        with storage.open_input(path) as stream:
            size += pq.ParquetFile(stream).metadata.num_rows
    parts = _read_pairs(storage, files, scale)
    write_neighbours(storage, f"{attempt.path}/{NEIGHBOURS}/{finder}", parts, inputs.vocabulary.num_items + 1, size)
    storage.delete(scratch)
    return size


def _read_pairs(
    storage: Storage, files: list[str], scale: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Keys, items and scaled weights of consecutive pairs."""
    for path in files:
        with storage.open_input(path) as stream:
            for batch in pq.ParquetFile(stream).iter_batches(_READ_ROWS):
                first = column(batch, FIRST)
                yield first, column(batch, SECOND), (column(batch, WEIGHT) * scale[first]).astype(np.float32)
