"""What is counted of the events of prepared data, file by file in bounded memory, without Spark and strings."""

from dataclasses import dataclass

import numpy as np

from seqrec.core.columns import HISTORY_ITEMS, HISTORY_TIMESTAMPS, SECONDS_PER_DAY
from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.events.histories import events_of, read_batches

LATEST = "sequences/latest"
_USERS_AT_ONCE = 50_000
NUM_CLASSES = 24  # Classes of gaps and lengths: 0, 1, 2 to 3, 4 to 7, ...
GAP, WEEKDAY, MONTH, LENGTH = "days since the event before", "weekday", "month", "events of a user"
# Name of a property of events -> number of its values, and whether these have an order.
PROPERTIES = {GAP: (NUM_CLASSES, True), WEEKDAY: (7, False), MONTH: (12, False), LENGTH: (NUM_CLASSES, True)}


@dataclass(frozen=True)
class EventCounts:
    """The events of one window of prepared data."""

    items: np.ndarray  # int64 [num_items + 1], events of each item.
    properties: dict[str, np.ndarray]  # int64, events (or users) by value of each property.

    @property
    def total(self) -> int:
        return int(self.items.sum())


def count_events(storage: Storage, prepared: Manifest, first: int | None = None, end: int | None = None) -> EventCounts:
    """Counts the events of `sequences/latest` from time `first` up to, not including, `end`, in seconds."""
    items = np.zeros(prepared.details["num_items"] + 1, np.int64)
    properties = {name: np.zeros(size, np.int64) for name, (size, _) in PROPERTIES.items()}
    for file in prepared.table(LATEST).files:
        for batch in read_batches(storage, file.path, [HISTORY_ITEMS, HISTORY_TIMESTAMPS], _USERS_AT_ONCE):
            lists, times = events_of(batch)
            chosen = np.ones(len(times), bool)
            if first is not None:
                chosen &= times >= first
            if end is not None:
                chosen &= times < end
            items += np.bincount(lists.values[chosen], minlength=len(items))
            days = times // SECONDS_PER_DAY
            is_first = np.zeros(len(times), bool)
            is_first[lists.offsets[:-1][lists.lengths > 0]] = True
            gaps = np.diff(days, prepend=days[:1])[chosen & ~is_first]
            lengths = np.bincount(lists.owners[chosen], minlength=len(lists.lengths))
            months = days[chosen].astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12
            for name, values in (
                (GAP, _classes(gaps)),
                (WEEKDAY, (days[chosen] + 3) % 7),  # Day 0 was a Thursday; 0 is Monday.
                (MONTH, months),
                (LENGTH, _classes(lengths[lengths > 0])),
            ):
                properties[name] += np.bincount(values, minlength=len(properties[name]))
    return EventCounts(items, properties)


def middle_day(storage: Storage, prepared: Manifest) -> int:
    """The day (since 1970) that halves the events."""
    counts = np.zeros(0, np.int64)
    for file in prepared.table(LATEST).files:
        for batch in read_batches(storage, file.path, [HISTORY_ITEMS, HISTORY_TIMESTAMPS], _USERS_AT_ONCE):
            days = np.bincount(events_of(batch)[1] // SECONDS_PER_DAY)
            longer = np.zeros(max(len(counts), len(days)), np.int64)
            longer[: len(counts)] += counts
            longer[: len(days)] += days
            counts = longer
    until = np.cumsum(counts)
    return int(np.searchsorted(until, until[-1] / 2)) + 1


def _classes(values: np.ndarray) -> np.ndarray:
    """0 for 0 (or less), 1 for 1, 2 for 2 to 3, 3 for 4 to 7, ..."""
    positive = np.maximum(values, 1)
    classes = np.where(values > 0, 1 + np.floor(np.log2(positive)).astype(np.int64), 0)
    return np.minimum(classes, NUM_CLASSES - 1)
