"""When items are bought: how often each occurs in each of a few equal periods of the data."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from seqrec.core.columns import ITEM_INDICES, SECONDS_PER_DAY, TIMESTAMPS
from seqrec.events.ragged import lists
from seqrec.preparation.filters.counting import count_into_array
from seqrec.tables.arrow_bytes import from_arrow_rows

_MOST_PERIODS = 64
_EVENTS_PER_PERIOD = 256  # On the average, at least: fewer would hardly tell which items are popular.
_MOST_CELLS = 1 << 24  # Pairs of period and item, each a count of 8 bytes.


@dataclass(frozen=True)
class Periods:
    """Equal spans of days, from the first day of the data to its last."""

    first_day: int  # Days since 1970.
    num_days: int  # Days of each period.
    number: int

    @classmethod
    def choose(cls, first_day: int, last_day: int, num_events: int, num_items: int) -> "Periods":
        """As many periods as the data tells apart: at most 64, fewer for few events or for millions of items."""
        span = last_day - first_day + 1
        wanted = min(_MOST_PERIODS, num_events // _EVENTS_PER_PERIOD, _MOST_CELLS // (num_items + 1), span)
        num_days = -(-span // max(1, wanted))
        return cls(first_day, num_days, -(-span // num_days))

    def of(self, times: np.ndarray) -> np.ndarray:
        """int64, the number of the period of each time (seconds since 1970)."""
        days = times // SECONDS_PER_DAY - self.first_day
        return np.clip(days // self.num_days, 0, self.number - 1)


@dataclass(frozen=True)
class ItemPeriods:
    """The kept events of each item in each period."""

    periods: Periods
    counts: np.ndarray  # int64 [periods, items + 1], by item index; padding has 0.

    def first(self) -> np.ndarray:
        """int64 [items + 1], the first period in which each item occurs; the number of periods if it never does."""
        return np.where(self.counts.any(axis=0), (self.counts > 0).argmax(axis=0), self.periods.number)


def count_item_periods(kept: DataFrame, periods: Periods, num_items: int) -> ItemPeriods:
    """Counts in one pass over the k-core.

    Args:
        kept: KEPT_EVENTS, one row per bucket of users, with items as indices.
    """
    size = periods.number * (num_items + 1)
    counted = count_into_array(kept.select(ITEM_INDICES, TIMESTAMPS), partial(_pick, periods, num_items + 1), size)
    return ItemPeriods(periods, counted.reshape(periods.number, num_items + 1))


def _pick(periods: Periods, width: int, batch: pa.RecordBatch) -> Iterator[np.ndarray]:
    for users in from_arrow_rows([batch]):
        items, times = lists(users, ITEM_INDICES).values, lists(users, TIMESTAMPS).values
        yield periods.of(times) * width + items
