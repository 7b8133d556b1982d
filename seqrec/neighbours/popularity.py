"""How popular items are: the events of each, old ones counting less, and the most popular of each category."""

from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import IntegerType, LongType, StructField, StructType

from seqrec.core.columns import ITEM_INDEX, ITEM_INDICES, NUM_CONTEXT, SECONDS_PER_DAY, TIMESTAMPS
from seqrec.events.ragged import column, lists
from seqrec.events.vocabulary import Vocabulary
from seqrec.neighbours.co_visitation import WEIGHT
from seqrec.neighbours.key_sums import add_up
from seqrec.neighbours.table import NeighbourTable
from seqrec.tables.arrow_bytes import BYTE_ROWS, from_bytes, to_byte_rows

_COUNTS = StructType([StructField(ITEM_INDEX, IntegerType(), False), StructField(WEIGHT, LongType(), False)])
_UNIT = 1 << 20  # An event at the newest time; weights are whole numbers, so their sums depend on no order.


def count_popularity(
    events: DataFrame, num_items: int, newest: int, half_life_days: float, max_user_events: int
) -> np.ndarray:
    """int64 [num_items + 1]: the summed weight of each item's events, 2^20 for one at the time `newest`.

    Args:
        events: rows of ITEM_INDICES and TIMESTAMPS in order of time; events before place NUM_CONTEXT do not count.
        newest: seconds; an event `half_life_days` older counts half.
        max_user_events: only this many newest events of a row count.
    """
    count = partial(_count_batches, newest, half_life_days, max_user_events)
    counted = events.mapInArrow(count, _COUNTS).groupBy(ITEM_INDEX).agg(F.sum(WEIGHT).alias(WEIGHT))
    popularity = np.zeros(num_items + 1, np.int64)
    for packed in counted.mapInArrow(to_byte_rows, BYTE_ROWS).toLocalIterator():
        part = from_bytes(bytes(packed[0]))
        popularity[part.column(0).to_numpy()] = part.column(1).to_numpy()
    return popularity


def most_popular(popularity: np.ndarray) -> np.ndarray:
    """int32: all items that anyone took, the most popular first; among equal ones the lower index."""
    order = np.argsort(-popularity, kind="stable")
    return order[popularity[order] > 0].astype(np.int32)


def popular_by_category(popularity: np.ndarray, vocabulary: Vocabulary, num_items: int) -> NeighbourTable:
    """The `num_items` most popular items of each category, weighted by their share of it; category 0 has none."""
    popular = most_popular(popularity)
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


def _count_batches(
    newest: int, half_life_days: float, max_events: int, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        items, times = lists(batch, ITEM_INDICES), lists(batch, TIMESTAMPS).values
        counts_from = np.maximum(column(batch, NUM_CONTEXT), items.lengths - max_events)
        place = np.arange(len(items.values)) - np.repeat(items.offsets[:-1], items.lengths)
        is_own = place >= np.repeat(counts_from, items.lengths)
        days = (newest - times[is_own]) / SECONDS_PER_DAY
        # At least 1: an old item is still more popular than one that nobody took.
        weights = np.maximum(np.rint(_UNIT * np.exp2(-days / half_life_days)).astype(np.int64), 1)
        keys, sums = add_up(items.values[is_own].astype(np.int64), weights)
        yield pa.RecordBatch.from_pydict({ITEM_INDEX: keys.astype(np.int32), WEIGHT: sums})
