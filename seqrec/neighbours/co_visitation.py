"""How often two items stand near each other in histories: pairs of events, weighted by distance in place and time.

The work is linear in the events: an event is paired with at most `window` later ones of the same row. Weights are whole
numbers, so their sums do not depend on the order of the rows.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import IntegerType, LongType, StructField, StructType

from seqrec.core.columns import ITEM_INDICES, NUM_CONTEXT, SECONDS_PER_DAY, TIMESTAMPS
from seqrec.events.ragged import Ragged, column, lists
from seqrec.neighbours.key_sums import add_up

FIRST, SECOND, WEIGHT = "first", "second", "weight"
PAIRS = StructType(
    [
        StructField(FIRST, IntegerType(), nullable=False),
        StructField(SECOND, IntegerType(), nullable=False),
        StructField(WEIGHT, LongType(), nullable=False),
    ]
)
_ITEM_BITS = 32
_EVENTS_AT_ONCE = 1 << 18  # Bounds memory: every event makes up to `window` pairs, twice as many both ways.


@dataclass(frozen=True, kw_only=True)
class PairWeights:
    """Which events of a user make pairs, and how much a pair weighs: unit / places apart, less with time apart."""

    window: int  # Two events at most this many places apart make a pair.
    direction: Literal["both", "forward"]  # forward: a pair leads from the earlier item to the later; both: back too.
    half_life_days: float | None  # A pair this far apart in time weighs half; None: time changes nothing.
    max_events: int | None  # Only this many newest events of a row make pairs; None: all do.
    unit: int  # Weight of two events side by side at the same time; each weight is rounded to a whole number.


def count_pairs(events: DataFrame, weights: PairWeights) -> DataFrame:
    """One row per ordered pair of different items, with the summed weight of its event pairs; none of weight 0.

    Args:
        events: rows of ITEM_INDICES and TIMESTAMPS in order of time; a pair counts in the row where its later event
            stands at NUM_CONTEXT or after, so that overlapping segments do not count it twice.
    """
    columns = events.select(ITEM_INDICES, TIMESTAMPS, NUM_CONTEXT)
    return (
        columns.mapInArrow(partial(_count_batches, weights), PAIRS)
        .groupBy(FIRST, SECOND)
        .agg(F.sum(WEIGHT).alias(WEIGHT))
    )


def keep_strongest(pairs: DataFrame, num_neighbours: int) -> DataFrame:
    """The pairs of most weight for each first item; among equal weights those with the lower second item."""
    order = Window.partitionBy(FIRST).orderBy(F.desc(WEIGHT), SECOND)
    return pairs.withColumn("place", F.row_number().over(order)).where(F.col("place") <= num_neighbours).drop("place")


def pair_weights(
    items: Ragged, times: np.ndarray, num_context: np.ndarray, weights: PairWeights
) -> tuple[np.ndarray, np.ndarray]:
    """Keys (first << 32 | second, sorted, each once) and weights, int64 both, of the event pairs of some rows.

    Args:
        items: n lists of item indices; `times` their seconds, int64.
        num_context: int [n], events before this place are only the earlier half of a pair.
    """
    place = np.arange(len(items.values)) - np.repeat(items.offsets[:-1], items.lengths)
    oldest = np.zeros(len(items.lengths), np.int64)
    if weights.max_events is not None:
        oldest = np.maximum(items.lengths - weights.max_events, 0)
    is_later = place >= np.repeat(np.maximum(num_context, oldest), items.lengths)
    reaches_back_to = np.repeat(oldest, items.lengths)
    values = items.values.astype(np.int64)
    keys, summands = [], []
    for distance in range(1, weights.window + 1):
        later = np.flatnonzero(is_later & (place - distance >= reaches_back_to))
        earlier = later - distance
        later, earlier = later[values[later] != values[earlier]], earlier[values[later] != values[earlier]]
        weight = _weights_of(distance, np.abs(times[later] - times[earlier]), weights)
        pairs = [(earlier, later), (later, earlier)] if weights.direction == "both" else [(earlier, later)]
        for first, second in pairs:
            keys.append(values[first] << _ITEM_BITS | values[second])
            summands.append(weight)
    return add_up(np.concatenate(keys), np.concatenate(summands))


def _weights_of(distance: int, seconds: np.ndarray, weights: PairWeights) -> np.ndarray:
    """int64 [pairs]: the weight of pairs that are `distance` places and so many seconds apart."""
    weight = np.full(len(seconds), weights.unit / distance)
    if weights.half_life_days is not None:
        weight = weight * np.exp2(-(seconds / SECONDS_PER_DAY) / weights.half_life_days)
    return np.rint(weight).astype(np.int64)


def _count_batches(weights: PairWeights, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in _in_blocks(batches):
        keys, sums = pair_weights(
            lists(batch, ITEM_INDICES), lists(batch, TIMESTAMPS).values, column(batch, NUM_CONTEXT), weights
        )
        first, second = (keys >> _ITEM_BITS).astype(np.int32), (keys & (1 << _ITEM_BITS) - 1).astype(np.int32)
        yield pa.RecordBatch.from_pydict({FIRST: first, SECOND: second, WEIGHT: sums})


def _in_blocks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The rows of each batch in blocks of about `_EVENTS_AT_ONCE` events, at least a row each."""
    for batch in batches:
        ends = lists(batch, ITEM_INDICES).offsets
        start = 0
        while start < batch.num_rows:
            stop = int(np.searchsorted(ends, ends[start] + _EVENTS_AT_ONCE, side="right")) - 1
            stop = min(max(stop, start + 1), batch.num_rows)
            yield batch.slice(start, stop - start)
            start = stop
