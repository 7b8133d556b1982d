from collections import defaultdict

import numpy as np
import pytest
from pyspark.sql import SparkSession

from seqrec.core.columns import ITEM_INDICES, NUM_CONTEXT, TIMESTAMPS
from seqrec.neighbours.co_visitation import WEIGHT_UNIT, count_pairs, keep_strongest

DAY = 86_400
SCHEMA = f"{ITEM_INDICES} array<int>, {TIMESTAMPS} array<bigint>, {NUM_CONTEXT} int"


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
    return {(first, second): weight / WEIGHT_UNIT for first, second, weight in rows.collect()}


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

    pairs = counted(count_pairs(spark.createDataFrame(random_rows, SCHEMA), 3, 50.0, 100))

    assert pairs == pytest.approx(expected, abs=1e-4)


def test_count_pairs_does_not_depend_on_partitions(spark: SparkSession, random_rows):
    one = spark.createDataFrame(random_rows, SCHEMA).repartition(1)
    many = spark.createDataFrame(random_rows[::-1], SCHEMA).repartition(7)

    assert counted(count_pairs(one, 3, 50.0, 100)) == counted(count_pairs(many, 3, 50.0, 100))


def test_count_pairs_counts_overlapping_segments_once(spark: SparkSession):
    whole = [([1, 2, 3, 4, 5, 6], [0] * 6, 1)]
    segments = [([1, 2, 3, 4], [0] * 4, 1), ([2, 3, 4, 5, 6], [0] * 5, 3)]

    pairs, pairs_of_whole = (
        counted(count_pairs(spark.createDataFrame(rows, SCHEMA), 3, 50.0, 100)) for rows in (segments, whole)
    )

    assert pairs == pairs_of_whole
    assert pairs == pytest.approx(pairs_by_hand(whole, 3, 50.0), abs=1e-5)


def test_count_pairs_takes_the_newest_events_of_a_heavy_user(spark: SparkSession):
    heavy = [(list(range(1, 1001)), [0] * 1000, 0)]

    pairs = counted(count_pairs(spark.createDataFrame(heavy, SCHEMA), 1, 50.0, 3))

    assert set(pairs) == {(998, 999), (999, 998), (999, 1000), (1000, 999)}


def test_keep_strongest_breaks_ties_by_the_lower_item(spark: SparkSession):
    pairs = spark.createDataFrame(
        [(1, 9, 5), (1, 4, 5), (1, 7, 8), (1, 2, 1), (3, 1, 1)], "first int, second int, weight bigint"
    )

    kept = keep_strongest(pairs, 2).collect()

    assert {(row[0], row[1]) for row in kept} == {(1, 7), (1, 4), (3, 1)}
