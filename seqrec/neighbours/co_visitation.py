"""How often users take two items near each other: pairs of events, weighted by their distance in place and time.

Linear in the events: an event is paired with at most `window` later ones of the same user, and of a heavy user only
the newest events count. Weights are whole numbers (`WEIGHT_UNIT` is 1.0), so that sums depend on no order.
"""

from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import IntegerType, LongType, StructField, StructType

from seqrec.core.columns import ITEM_INDICES, NUM_CONTEXT, SECONDS_PER_DAY, TIMESTAMPS
from seqrec.events.ragged import Ragged, column, lists

FIRST, SECOND, WEIGHT = "first", "second", "weight"
WEIGHT_UNIT = 1 << 20
PAIRS = StructType(
    [
        StructField(FIRST, IntegerType(), nullable=False),
        StructField(SECOND, IntegerType(), nullable=False),
        StructField(WEIGHT, LongType(), nullable=False),
    ]
)
_ITEM_BITS = 32


def count_pairs(events: DataFrame, window: int, half_life_days: float, max_events: int) -> DataFrame:
    """One row per ordered pair of different items, with the summed weight of its event pairs, both ways alike.

    A pair of events d places and t days apart weighs 1/d * 2^(-t / half_life_days).

    Args:
        events: rows of ITEM_INDICES and TIMESTAMPS in order of time; a pair counts in the row where its later event
            stands at NUM_CONTEXT or after, so that overlapping segments do not count it twice.
        max_events: of a longer row only so many last events count.
    """
    count = partial(_count_batches, window, half_life_days, max_events)
    rows = events.select(ITEM_INDICES, TIMESTAMPS, NUM_CONTEXT).mapInArrow(count, PAIRS)
    return rows.groupBy(FIRST, SECOND).agg(F.sum(WEIGHT).alias(WEIGHT))


def keep_strongest(pairs: DataFrame, num_neighbours: int) -> DataFrame:
    """Of each first item the pairs of most weight; of equal ones the lower second item."""
    order = Window.partitionBy(FIRST).orderBy(F.desc(WEIGHT), SECOND)
    return pairs.withColumn("place", F.row_number().over(order)).where(F.col("place") <= num_neighbours).drop("place")


def pair_weights(
    items: Ragged, times: np.ndarray, num_context: np.ndarray, window: int, half_life_days: float, max_events: int
) -> tuple[np.ndarray, np.ndarray]:
    """Keys (first << 32 | second, sorted, each once) and weights, int64 both, of the event pairs of some rows.

    Args:
        items: n lists of item indices; `times` their seconds, int64.
        num_context: int [n], events before this place are only the earlier half of a pair.
    """
    place = np.arange(len(items.values)) - np.repeat(items.offsets[:-1], items.lengths)
    counts_from = np.maximum(num_context, items.lengths - max_events)
    is_later = place >= np.repeat(counts_from, items.lengths)
    reaches_back_to = np.repeat(np.maximum(items.lengths - max_events, 0), items.lengths)
    values = items.values.astype(np.int64)
    keys, weights = [], []
    for distance in range(1, window + 1):
        later = np.flatnonzero(is_later & (place - distance >= reaches_back_to))
        earlier = later - distance
        later, earlier = later[values[later] != values[earlier]], earlier[values[later] != values[earlier]]
        days = np.abs(times[later] - times[earlier]) / SECONDS_PER_DAY
        weight = np.rint(WEIGHT_UNIT / distance * np.exp2(-days / half_life_days)).astype(np.int64)
        for first, second in ((earlier, later), (later, earlier)):
            keys.append(values[first] << _ITEM_BITS | values[second])
            weights.append(weight)
    return add_up(np.concatenate(keys), np.concatenate(weights))


def add_up(keys: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each key once, sorted, with the sum of its whole-numbered weights; sums of 0 are left out."""
    if not len(keys):
        return keys, weights
    order = np.argsort(keys, kind="stable")
    keys, weights = keys[order], weights[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    sums = np.add.reduceat(weights, starts)
    return keys[starts][sums > 0], sums[sums > 0]


def _count_batches(
    window: int, half_life_days: float, max_events: int, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        keys, weights = pair_weights(
            lists(batch, ITEM_INDICES),
            lists(batch, TIMESTAMPS).values,
            column(batch, NUM_CONTEXT),
            window,
            half_life_days,
            max_events,
        )
        first, second = (keys >> _ITEM_BITS).astype(np.int32), (keys & (1 << _ITEM_BITS) - 1).astype(np.int32)
        yield pa.RecordBatch.from_pydict({FIRST: first, SECOND: second, WEIGHT: weights})
