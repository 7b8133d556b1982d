"""Writes the features of all items: two arrays that workers map into memory, the names of their rows, and figures."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import IntegerType, StringType

from seqrec.core.columns import FEATURE_ROW, ITEM_INDEX, TARGET_ITEM, TRAIN_COUNT
from seqrec.core.manifest import Attempt, FileEntry, Table
from seqrec.core.storage import scratch_folder
from seqrec.events.features import (
    FEATURE_NAMES,
    FEATURE_ROWS,
    FEATURE_WEIGHTS,
    FEATURES,
    NUM_FEATURE_ROWS,
    FeatureBlock,
    ItemFeatures,
)
from seqrec.events.ragged import column, lists, offsets_of
from seqrec.preparation.features import item_values as V
from seqrec.preparation.features.config import FeatureConfig
from seqrec.tables.digest import content_digest
from seqrec.tables.files import write_table
from seqrec.tables.prepared_schemas import EVALUATION, VOCABULARY_FEATURES, VOCABULARY_ITEMS, VOCABULARY_ITEMS_TABLE

_ROWS_AT_ONCE = 200_000


@dataclass(frozen=True)
class WrittenFeatures:
    """What `write_item_features` adds to a prepared dataset."""

    tables: dict[str, Table]
    details: dict[str, Any]
    figures: dict[str, dict[str, Any]]  # By feature: values, rows, collisions.
    arrays: ItemFeatures


def write_item_features(
    attempt: Attempt, items: DataFrame, num_items: int, features: Sequence[FeatureConfig]
) -> WrittenFeatures:
    """Writes the features of the items in `vocabulary/items`, which must be written already.

    Args:
        items: the ingested items.
    """
    spark = items.sparkSession
    stored = spark.read.schema(VOCABULARY_ITEMS).parquet(attempt.uri(VOCABULARY_ITEMS_TABLE))
    values = _kept(spark, V.read_values(stored, items, features), attempt.uri("scratch/feature_values"))
    numbers = [
        V.measure_number(values, n, feature) if feature.kind == "continuous" else None
        for n, feature in enumerate(features)
    ]
    texts, vocabularies = None, _no_vocabularies(spark)
    if any(feature.kind != "continuous" for feature in features):
        texts = V.texts_of(values, features)
        if any(feature.method == "vocabulary" for feature in features):
            made = V.build_vocabularies(texts, features)
            vocabularies = _kept(spark, made, attempt.uri("scratch/feature_vocabularies"))
    counted = {row[V.FEATURE]: row["count"] for row in vocabularies.groupBy(V.FEATURE).count().collect()}
    sizes = [V.size_of_block(feature, counted.get(n, 0), numbers[n]) for n, feature in enumerate(features)]
    starts = [1 + int(offset) for offset in offsets_of(np.array(sizes))[:-1]]  # Row 0 is padding.

    slots = V.missing_slots(values, features, numbers, starts)
    if texts is not None:
        slots = slots.unionAll(V.text_slots(texts, vocabularies, features, starts))
    for n, (feature, statistics) in enumerate(zip(features, numbers, strict=True)):
        if statistics is not None and statistics.mean is not None:
            slots = slots.unionAll(V.number_slots(values, n, feature, statistics, starts[n]))
    arrays = _write_arrays(attempt, slots, num_items)
    names = V.name_rows(vocabularies, features, starts, sizes)
    names = names.repartition(1).sortWithinPartitions(FEATURE_ROW).transform(_declared)
    tables = {**arrays, FEATURE_NAMES: write_table(names, attempt, FEATURE_NAMES)}
    blocks = [
        FeatureBlock(feature.name, start, start + size, feature.recipe, V.points_of(feature, statistics))
        for feature, start, size, statistics in zip(features, starts, sizes, numbers, strict=True)
    ]
    rows, weights = (arrays[name].files[0].path for name in (FEATURE_ROWS, FEATURE_WEIGHTS))
    return WrittenFeatures(
        tables,
        {FEATURES: [asdict(block) for block in blocks], NUM_FEATURE_ROWS: blocks[-1].end - 1},
        _figures(texts, features, sizes, numbers),
        ItemFeatures(attempt.storage.root, rows, weights, tuple(blocks)),
    )


def count_missing(
    spark: SparkSession,
    attempt: Attempt,
    missing: dict[str, np.ndarray],
    train_counts: np.ndarray,
    parts: dict[str, str],
) -> dict[str, dict[str, float | None]]:
    """By feature: the share of events whose item has no value, in training and among the targets of each part.

    Args:
        train_counts: int64 [num_items + 1], training events.
        parts: name of a part -> its table, such as "sequences/test".
    """
    counts = {"train": train_counts}
    for part, table in parts.items():
        targets = spark.read.schema(EVALUATION).parquet(attempt.uri(table)).groupBy(TARGET_ITEM).count().toPandas()
        counts[part] = np.zeros(len(train_counts), np.int64)
        counts[part][targets[TARGET_ITEM].to_numpy(np.int64)] = targets["count"].to_numpy()
    return {
        name: {
            part: round(float(of[is_missing].sum() / of.sum()), 4) if of.sum() else None for part, of in counts.items()
        }
        for name, is_missing in missing.items()
    }


def _kept(spark: SparkSession, table: DataFrame, uri: str) -> DataFrame:
    """The table, written down because it is read several times."""
    table.write.parquet(uri, mode="overwrite")
    return spark.read.schema(table.schema).parquet(uri)


def _no_vocabularies(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([], f"{V.FEATURE} int, {V.VALUE} string, {TRAIN_COUNT} long, {V.PLACE} int")


def _declared(names: DataFrame) -> DataFrame:
    kinds = {IntegerType(): F.lit(0), StringType(): F.lit("")}
    return names.select(
        *[F.coalesce(F.col(field.name), kinds[field.dataType]).alias(field.name) for field in VOCABULARY_FEATURES]
    )


def _write_arrays(attempt: Attempt, slots: DataFrame, num_items: int) -> dict[str, Table]:
    """Rows and weights as .npy files; an item's slots ascend by row."""
    spark, uri = slots.sparkSession, attempt.uri("scratch/feature_slots")
    grouped = slots.groupBy(ITEM_INDEX).agg(F.sort_array(F.collect_list(F.struct("row", "weight"))).alias("slots"))
    listed = grouped.select(ITEM_INDEX, F.col("slots.row").alias("row"), F.col("slots.weight").alias("weight"))
    listed.write.parquet(uri, mode="overwrite")
    listed = spark.read.schema(listed.schema).parquet(uri)
    width = listed.agg(F.max(F.size("row"))).first()[0]
    content = content_digest(listed)[1]
    storage, tables = attempt.storage, {}
    with scratch_folder() as folder:
        local = {FEATURE_ROWS: folder / "rows.npy", FEATURE_WEIGHTS: folder / "weights.npy"}
        rows, weights = (
            np.lib.format.open_memmap(path, "w+", dtype, (num_items + 1, width))
            for path, dtype in zip(local.values(), (np.int32, np.float16), strict=True)
        )
        for file in storage.list_files(f"{attempt.path}/scratch/feature_slots"):
            if file.path.endswith(".parquet"):
                with storage.open_input(file.path) as stream:
                    for batch in pq.ParquetFile(stream).iter_batches(_ROWS_AT_ONCE):
                        of_items = lists(batch, "row")
                        place = np.arange(len(of_items.values)) - of_items.offsets[:-1][of_items.owners]
                        item = column(batch, ITEM_INDEX)[of_items.owners]
                        rows[item, place] = of_items.values
                        weights[item, place] = lists(batch, "weight").values
        for array in (rows, weights):
            array.flush()
        for name, path in local.items():
            stored = f"{attempt.path}/{name}.npy"
            storage.upload(path, stored)
            entry = FileEntry(path=stored, rows=num_items, size=path.stat().st_size)
            tables[name] = Table(rows=num_items, content=content, files=(entry,))
    return tables


def _figures(
    texts: DataFrame | None,
    features: Sequence[FeatureConfig],
    sizes: Sequence[int],
    numbers: Sequence[V.NumberStatistics | None],
) -> dict[str, dict[str, Any]]:
    """By feature: distinct values of trained items, rows, and the share of values that share their hashed row."""
    found: dict[int, Any] = {}
    if texts is not None:
        buckets = F.element_at(F.array(*[F.lit(f.num_buckets) for f in features]), F.col(V.FEATURE) + 1)
        bucket = F.pmod(F.xxhash64(V.VALUE, V.FEATURE), buckets)
        distinct = texts.filter(F.col(TRAIN_COUNT) > 0).select(V.FEATURE, V.VALUE).distinct()
        counted = distinct.groupBy(V.FEATURE, bucket.alias("bucket")).count()
        counted = counted.groupBy(V.FEATURE).agg(
            F.sum("count").alias("values"),
            F.sum(F.when(F.col("count") > 1, F.col("count")).otherwise(0)).alias("shared"),
        )
        found = {row[V.FEATURE]: row for row in counted.collect()}
    figures = {}
    for n, feature in enumerate(features):
        figure: dict[str, Any] = {"rows": sizes[n]}
        statistics = numbers[n]
        if statistics is None:
            figure["values"] = found[n]["values"] if n in found else 0
        elif statistics.mean is not None:
            figure |= {"mean": round(statistics.mean, 4), "deviation": round(statistics.deviation or 0.0, 4)}
        if feature.method == "hash" and figure["values"]:
            figure["share_of_values_with_a_shared_row"] = round(found[n]["shared"] / found[n]["values"], 4)
        figures[feature.name] = figure
    return figures
