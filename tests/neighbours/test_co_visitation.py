from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from seqrec.core.columns import ITEM_INDICES, NUM_CONTEXT, TIMESTAMPS
from seqrec.events.ragged import Ragged
from seqrec.neighbours import co_visitation
from seqrec.neighbours.co_visitation import PairWeights, count_pairs, keep_strongest, pair_weights

DAY = 86_400
UNIT = 1 << 20
SCHEMA = f"{ITEM_INDICES} array<int>, {TIMESTAMPS} array<bigint>, {NUM_CONTEXT} int"


def both_ways(window: int, max_events: int | None = 100) -> PairWeights:
    return PairWeights(window=window, direction="both", half_life_days=50.0, max_events=max_events, unit=UNIT)


def pairs_by_hand(rows, window, half_life_days):
    weights = defaultdict(float)
    for items, times, context in rows:
        for later in range(len(items)):
            for earlier in range(max(0, later - window), later):
                if later < context or items[earlier] == items[later]:
                    continue
                days = (times[later] - times[earlier]) / DAY
                weight = 1 / (later - earlier) * 0.5 ** (days / half_life_days)
                weights[items[earlier], items[later]] += weight
                weights[items[later], items[earlier]] += weight
    return {pair: weight for pair, weight in weights.items() if weight > 1e-6}


def counted(rows):
    return {(first, second): weight / UNIT for first, second, weight in rows.collect()}


@pytest.fixture(scope="module")
def random_rows():
    random = np.random.default_rng(5)
    rows = []
    for _ in range(60):
        length = int(random.integers(1, 15))
        times = np.sort(random.integers(0, 300, length)) * DAY
        rows.append((random.integers(1, 9, length).tolist(), times.tolist(), int(random.integers(0, 3))))
    return rows


def test_count_pairs_weighs_by_place_and_time_both_ways(spark: SparkSession, random_rows):
    expected = pairs_by_hand(random_rows, 3, 50.0)

    pairs = counted(count_pairs(spark.createDataFrame(random_rows, SCHEMA), both_ways(3)))

    assert pairs == pytest.approx(expected, abs=1e-4)


def test_count_pairs_does_not_depend_on_partitions(spark: SparkSession, random_rows):
    one = spark.createDataFrame(random_rows, SCHEMA).repartition(1)
    many = spark.createDataFrame(random_rows[::-1], SCHEMA).repartition(7)

    assert counted(count_pairs(one, both_ways(3))) == counted(count_pairs(many, both_ways(3)))


def test_count_pairs_counts_overlapping_segments_once(spark: SparkSession):
    whole = [([1, 2, 3, 4, 5, 6], [0] * 6, 1)]
    segments = [([1, 2, 3, 4], [0] * 4, 1), ([2, 3, 4, 5, 6], [0] * 5, 3)]

    pairs, pairs_of_whole = (
        counted(count_pairs(spark.createDataFrame(rows, SCHEMA), both_ways(3))) for rows in (segments, whole)
    )

    assert pairs == pairs_of_whole
    assert pairs == pytest.approx(pairs_by_hand(whole, 3, 50.0), abs=1e-5)


def test_count_pairs_takes_the_newest_events_of_a_heavy_user(spark: SparkSession):
    heavy = [(list(range(1, 1001)), [0] * 1000, 0)]

    pairs = counted(count_pairs(spark.createDataFrame(heavy, SCHEMA), both_ways(1, 3)))

    assert set(pairs) == {(998, 999), (999, 998), (999, 1000), (1000, 999)}


def test_keep_strongest_breaks_ties_by_the_lower_item(spark: SparkSession):
    pairs = spark.createDataFrame(
        [(1, 9, 5), (1, 4, 5), (1, 7, 8), (1, 2, 1), (3, 1, 1)], "first int, second int, weight bigint"
    )

    kept = keep_strongest(pairs, 2).collect()

    assert {(row[0], row[1]) for row in kept} == {(1, 7), (1, 4), (3, 1)}


def followers_by_spark(events: DataFrame, window: int, unit: int) -> DataFrame:
    """One way, without decay, in plain Spark SQL: how the baseline of the evaluation was first written."""

    def followers(place):
        return F.transform(
            F.slice(ITEM_INDICES, place + 1, window),
            lambda item, after: F.struct(
                F.element_at(ITEM_INDICES, place).alias("first"),
                item.alias("second"),
                (F.lit(unit) / (after + 1)).cast("long").alias("weight"),
                (place + after + 1 > F.col(NUM_CONTEXT)).alias("is_own"),
            ),
        )

    places = F.sequence(F.lit(1), F.size(ITEM_INDICES))
    return (
        events.select(F.explode(F.flatten(F.transform(places, followers))).alias("pair"))
        .select("pair.*")
        .where("is_own and first != second")
        .groupBy("first", "second")
        .agg(F.sum("weight").alias("weight"))
    )


def test_count_pairs_forward_without_decay_equals_plain_spark(spark: SparkSession, random_rows):
    events = spark.createDataFrame(random_rows, SCHEMA)
    weights = PairWeights(window=5, direction="forward", half_life_days=None, max_events=None, unit=60)

    found = count_pairs(events, weights)

    expected = followers_by_spark(events, 5, 60)
    assert sorted(found.collect()) == sorted(expected.collect())
    assert sorted(keep_strongest(found, 2).collect()) == sorted(keep_strongest(expected, 2).collect())


def test_pair_weights_lead_forward_or_both_ways():
    items = Ragged.from_lengths(np.array([7, 8]), np.array([2]))
    times = np.array([0, 50 * DAY])
    forward = PairWeights(window=1, direction="forward", half_life_days=None, max_events=None, unit=60)

    keys, weights = pair_weights(items, times, np.zeros(1, np.int64), forward)
    both_keys, both_weights = pair_weights(items, times, np.zeros(1, np.int64), both_ways(1))

    assert (keys.tolist(), weights.tolist()) == ([7 << 32 | 8], [60])
    assert (both_keys.tolist(), both_weights.tolist()) == ([7 << 32 | 8, 8 << 32 | 7], [UNIT // 2] * 2)


def test_blocks_hold_whole_rows_and_few_events(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(co_visitation, "_EVENTS_AT_ONCE", 4)
    rows = [[1, 2], [3, 4], [5], [6] * 9, [], [7]]
    batch = pa.RecordBatch.from_pydict({ITEM_INDICES: pa.array(rows, pa.list_(pa.int32()))})

    blocks = [block.column(0).to_pylist() for block in co_visitation._in_blocks([batch])]

    assert blocks == [[[1, 2], [3, 4]], [[5]], [[6] * 9], [[], [7]]]
