"""The values of items' features, one row per item and value, and the statistics that decide which row each becomes.

All statistics are of training events: an item counts as often as it occurs in training, an untrained item not at all.
Legend: a *slot* is a row of the table of vectors with its weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.window import Window

from seqrec.core.columns import FEATURE_ROW, FEATURE_VALUE, ITEM, ITEM_INDEX, TRAIN_COUNT
from seqrec.preparation.features.config import FeatureConfig

FEATURE, VALUE, PLACE, NUM_VALUES = "feature", "value", "place", "num_values"
_OTHER = "(other)"  # Name of the row that infrequent values share.
MISSING = "(missing)"
_MOST_SPREAD = 5.0  # Standardised values are cut at so many standard deviations.


@dataclass(frozen=True)
class NumberStatistics:
    """What training events say of a number; all None or empty where no trained item has a value."""

    mean: float | None
    deviation: float | None
    quantiles: tuple[float, ...]  # Ascending, each once.


def read_values(vocabulary: DataFrame, items: DataFrame, features: Sequence[FeatureConfig]) -> DataFrame:
    """One row per item of the vocabulary: index, training events, and a column `v<n>` with the values of feature n."""
    columns = [_values(feature).alias(f"v{number}") for number, feature in enumerate(features)]
    described = items.select(ITEM, *columns)
    return vocabulary.select(ITEM, ITEM_INDEX, TRAIN_COUNT).join(described, on=ITEM, how="left").drop(ITEM)


def texts_of(values: DataFrame, features: Sequence[FeatureConfig]) -> DataFrame:
    """One row per item and text: number of the feature, the value, its place, and how many values the item has."""
    parts = [
        values.select(
            ITEM_INDEX,
            TRAIN_COUNT,
            F.lit(number).alias(FEATURE),
            F.size(f"v{number}").alias(NUM_VALUES),
            F.posexplode(f"v{number}").alias(PLACE, VALUE),
        )
        for number, feature in enumerate(features)
        if feature.kind != "continuous"
    ]
    return reduce(DataFrame.unionAll, parts)


def build_vocabularies(texts: DataFrame, features: Sequence[FeatureConfig]) -> DataFrame:
    """The values with a row of their own: feature, value, its number from 0 (most training events first, then by
    name), and training events.
    """
    chosen = [number for number, feature in enumerate(features) if feature.method == "vocabulary"]
    most = F.element_at(
        F.create_map(*[F.lit(part) for n in chosen for part in (n, features[n].max_vocabulary)]), F.col(FEATURE)
    )
    counted = (
        texts.filter(F.col(FEATURE).isin(chosen) & (F.col(TRAIN_COUNT) > 0))
        .groupBy(FEATURE, VALUE)
        .agg(F.sum(TRAIN_COUNT).alias(TRAIN_COUNT))
    )
    order = Window.partitionBy(FEATURE).orderBy(F.desc(TRAIN_COUNT), VALUE)
    return counted.withColumn(PLACE, F.row_number().over(order) - 1).filter(F.col(PLACE) < most)


def measure_number(values: DataFrame, number: int, feature: FeatureConfig) -> NumberStatistics:
    """Mean, standard deviation and quantiles of feature `number` over training events."""
    value, count = F.col(f"v{number}"), F.col(TRAIN_COUNT)
    shares = [bucket / feature.num_buckets for bucket in range(feature.num_buckets + 1)]
    listed = ", ".join(map(str, shares))
    known = values.filter(value.isNotNull() & (count > 0))
    row = known.agg(
        (F.sum(value * count) / F.sum(count)).alias("mean"),
        (F.sum(value * value * count) / F.sum(count)).alias("square"),
        F.expr(f"percentile(v{number}, array({listed}), {TRAIN_COUNT})").alias("quantiles"),
    ).first()
    if row["mean"] is None:
        return NumberStatistics(None, None, ())
    deviation = max(row["square"] - row["mean"] ** 2, 0.0) ** 0.5
    return NumberStatistics(row["mean"], deviation, tuple(sorted(set(row["quantiles"]))))


def size_of_block(feature: FeatureConfig, num_known: int, statistics: NumberStatistics | None) -> int:
    """Rows of a feature: `missing`, then for texts the buckets, or `other` and the known values; for numbers buckets,
    knots, or a slope and a constant.
    """
    if feature.method == "hash":
        return 1 + feature.num_buckets
    if feature.method == "vocabulary":
        return 2 + num_known
    assert statistics is not None
    if feature.method == "standardised":
        return 3
    return 1 + max(1, len(statistics.quantiles) - (feature.method == "quantiles"))


def points_of(feature: FeatureConfig, statistics: NumberStatistics | None) -> tuple[float, ...]:
    """What the rows of a number stand for, after that of a missing value: see `FeatureBlock`."""
    if statistics is None or statistics.mean is None:
        return ()
    knots = statistics.quantiles
    if feature.method == "standardised":
        return statistics.mean, statistics.deviation or 0.0
    if feature.method == "piecewise_linear" or len(knots) < 2:
        return knots
    return tuple((lower + upper) / 2 for lower, upper in pairwise(knots))


def text_slots(
    texts: DataFrame, vocabularies: DataFrame, features: Sequence[FeatureConfig], starts: Sequence[int]
) -> DataFrame:
    """Item index, row and weight of every text; the weights of an item's values add up to 1."""
    known = vocabularies.select(FEATURE, VALUE, F.col(PLACE).alias("known"))
    start = _by_feature(starts)
    buckets = _by_feature([feature.num_buckets if feature.method == "hash" else 0 for feature in features])
    hashed = F.pmod(F.xxhash64(VALUE, FEATURE), buckets)
    own = F.when(buckets > 0, 1 + hashed).otherwise(F.coalesce(2 + F.col("known"), F.lit(1)))
    return texts.join(known, on=[FEATURE, VALUE], how="left").select(
        ITEM_INDEX, (start + own).cast("int").alias("row"), (1.0 / F.col(NUM_VALUES)).cast("float").alias("weight")
    )


def number_slots(
    values: DataFrame, number: int, feature: FeatureConfig, statistics: NumberStatistics, start: int
) -> DataFrame:
    """Item index, row and weight for the items that have a value of a number."""
    value, knots = F.col(f"v{number}"), statistics.quantiles
    known = values.filter(value.isNotNull())
    if feature.method == "standardised":
        spread = (value - F.lit(statistics.mean)) / F.lit(max(statistics.deviation or 0.0, 1e-9))
        spread = F.greatest(F.lit(-_MOST_SPREAD), F.least(F.lit(_MOST_SPREAD), spread))
        slots = F.array(_slot(F.lit(start + 1), F.lit(1.0)), _slot(F.lit(start + 2), spread))
    else:
        # The number of inner quantiles at or below the value: the bucket, or the knot below it.
        bucket = reduce(lambda a, b: a + b, [(value >= F.lit(k)).cast("int") for k in knots[1:-1]], F.lit(0))
        if feature.method == "quantiles" or len(knots) < 2:
            slots = F.array(_slot(start + 1 + bucket, F.lit(1.0)))
        else:
            lower, upper = (F.element_at(F.array(*map(F.lit, part)), bucket + 1) for part in (knots[:-1], knots[1:]))
            share = F.greatest(F.lit(0.0), F.least(F.lit(1.0), (value - lower) / (upper - lower)))
            slots = F.array(_slot(start + 1 + bucket, 1.0 - share), _slot(start + 2 + bucket, share))
    return known.select(ITEM_INDEX, F.explode(slots).alias("slot")).select(ITEM_INDEX, "slot.row", "slot.weight")


def missing_slots(
    values: DataFrame, features: Sequence[FeatureConfig], numbers: Sequence[NumberStatistics | None], starts: list[int]
) -> DataFrame:
    """Item index, row and weight for the items without a value of a feature, or without any in training."""
    parts = []
    for number, start in enumerate(starts):
        column = F.col(f"v{number}")
        is_missing = (
            column.isNull() if features[number].kind == "continuous" else F.coalesce(F.size(column), F.lit(0)) < 1
        )
        statistics = numbers[number]
        if statistics is not None and statistics.mean is None:
            is_missing = F.lit(True)
        parts.append(F.when(is_missing, F.lit(start)))
    rows = F.filter(F.array(*parts), lambda row: row.isNotNull())
    return values.select(ITEM_INDEX, F.explode(rows).alias("row"), F.lit(1.0).cast("float").alias("weight"))


def name_rows(
    vocabularies: DataFrame, features: Sequence[FeatureConfig], starts: Sequence[int], sizes: Sequence[int]
) -> DataFrame:
    """Row and name of every row but padding, such as `brand=Sony`; rows of two datasets are matched by these names."""
    spark = vocabularies.sparkSession
    start = _by_feature(starts)
    parts = [
        vocabularies.select(
            (start + 2 + F.col(PLACE)).cast("int").alias(FEATURE_ROW),
            F.concat(_by_feature([f"{feature.name}=" for feature in features]), VALUE).alias(FEATURE_VALUE),
        )
    ]
    for feature, first, size in zip(features, starts, sizes, strict=True):
        num_plain = 2 if feature.method == "vocabulary" else size
        rows = spark.range(num_plain)
        label = F.when(F.col("id") == 0, F.lit(MISSING)).otherwise(
            F.lit(_OTHER) if feature.method == "vocabulary" else F.col("id").cast("string")
        )
        # The sign differs from that of values: `brand#(other)` is not a brand of that name.
        parts.append(
            rows.select(
                (first + F.col("id")).cast("int").alias(FEATURE_ROW),
                F.concat(F.lit(f"{feature.name}#"), label).alias(FEATURE_VALUE),
            )
        )
    return reduce(DataFrame.unionAll, parts)


def _values(feature: FeatureConfig) -> Column:
    """The values of a feature: an array of texts, each once and none empty, or a number."""
    column = F.col(feature.column)
    if feature.kind == "continuous":
        number = column.cast("double")
        number = F.when(F.isnan(number), None).otherwise(number)
        return F.when(number > -1.0, F.log1p(number)) if feature.logarithm else number
    if feature.kind == "categorical":
        texts = F.array(column)
    elif feature.words:
        words = F.split(F.trim(F.regexp_replace(F.lower(column), r"[^\p{L}\p{N}]+", " ")), " ")
        texts = F.concat(words, *[_neighbouring(words, length) for length in range(2, feature.words + 1)])
    else:
        texts = column
    kept = F.array_distinct(F.filter(texts, lambda text: text.isNotNull() & (text != "")))
    return F.slice(kept, 1, feature.max_values) if feature.kind == "multi" else kept


def _neighbouring(words: Column, length: int) -> Column:
    """Every `length` words that follow each other, as one text."""
    places = F.sequence(F.lit(1), F.greatest(F.size(words) - (length - 1), F.lit(1)))
    # One argument: a second one would be the place in the array.
    return F.transform(places, lambda at: F.array_join(F.slice(words, at, length), " "))


def _slot(row: Column, weight: Column) -> Column:
    return F.struct(row.cast("int").alias("row"), weight.cast("float").alias("weight"))


def _by_feature(values: Sequence[int] | Sequence[str]) -> Column:
    """The value that belongs to the number in the column `feature`."""
    return F.element_at(F.array(*map(F.lit, values)), F.col(FEATURE) + 1)
