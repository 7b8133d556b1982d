"""One pass over the users' events that counts the rows and targets of a split before any of them is written."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark import Broadcast
from pyspark.sql import DataFrame

from seqrec.core.columns import ITEM_INDICES, SECONDS_PER_DAY, TIMESTAMPS
from seqrec.events.ragged import lists
from seqrec.preparation.filters.counting import count_into_array
from seqrec.preparation.filters.user_events import keep_users_and_items
from seqrec.preparation.splits.splits import SplitRule, num_training_events, num_training_targets
from seqrec.tables.arrow_bytes import from_arrow_rows

_TOTALS = ("users", "events", "training_part", "training_events", "training_targets", "validation", "test", "latest")


@dataclass(frozen=True, kw_only=True)
class SplitCounts:
    """The numbers that the written tables must hold."""

    users: int  # Users in the k-core.
    events: int  # Events in the k-core.
    training_part: int  # Events of the training part.
    training_events: int  # Events of the training part whose users have at least one training target.
    training_targets: int
    validation: int  # Validation targets.
    test: int  # Test targets.
    latest: int  # Users with at least one known item, whether they are in the k-core or not.

    def to_json(self) -> dict[str, int]:
        """The counts as a dictionary that JSON can hold."""
        return asdict(self)


def count_split(
    events: DataFrame, is_kept: np.ndarray, is_known: np.ndarray, k: int, rule: SplitRule
) -> tuple[SplitCounts, np.ndarray]:
    """The totals of a split, and how often each item number occurs in training, int64 [num_items].

    Args:
        events: ALL_EVENTS.
        is_kept: bool [num_items], the items of the k-core.
        is_known: bool [num_items], the items in the vocabulary, which `latest` is made from.
        k: events of kept items that a user of the k-core has at least.
    """
    flags = events.sparkSession.sparkContext.broadcast((is_kept, is_known))
    size = len(is_kept) + len(_TOTALS)
    counted = count_into_array(events.select(ITEM_INDICES, TIMESTAMPS), partial(_count, flags, k, rule), size)
    flags.destroy()
    totals = counted[len(is_kept) :].tolist()
    return SplitCounts(**dict(zip(_TOTALS, totals, strict=True))), counted[: len(is_kept)]


def count_days(events: DataFrame, is_kept: np.ndarray, k: int, first_day: int, num_days: int) -> np.ndarray:
    """int64 [num_days], kept events of each day, beginning with `first_day` (days since 1970)."""
    flags = events.sparkSession.sparkContext.broadcast(is_kept)
    pick = partial(_days, flags, k, first_day)
    days = count_into_array(events.select(ITEM_INDICES, TIMESTAMPS), pick, num_days)
    flags.destroy()
    return days


def _count(flags: Broadcast, k: int, rule: SplitRule, batch: pa.RecordBatch) -> Iterator[np.ndarray]:
    for users in from_arrow_rows([batch]):
        yield from _count_bucket(flags, k, rule, users)


def _count_bucket(flags: Broadcast, k: int, rule: SplitRule, batch: pa.RecordBatch) -> Iterator[np.ndarray]:
    items, times = lists(batch, ITEM_INDICES), lists(batch, TIMESTAMPS)
    is_kept, is_known = flags.value
    num_latest = int((items.sums(is_known[items.values]) > 0).sum())
    users, items, times = keep_users_and_items(items, times, is_kept, k)
    split = rule.apply(times)
    trains = num_training_events(split)
    place = np.arange(len(items.values)) - np.repeat(items.offsets[:-1], items.lengths)
    yield items.values[place < np.repeat(trains, items.lengths)]
    totals = {
        "users": len(users),
        "events": len(items.values),
        "training_part": split.num_train.sum(),
        "training_events": trains.sum(),
        "training_targets": num_training_targets(split).sum(),
        "validation": split.validation.lengths.sum(),
        "test": split.test.lengths.sum(),
        "latest": num_latest,
    }
    for slot, name in enumerate(_TOTALS):
        yield np.full(int(totals[name]), len(is_kept) + slot)


def _days(flags: Broadcast, k: int, first_day: int, batch: pa.RecordBatch) -> Iterator[np.ndarray]:
    for users in from_arrow_rows([batch]):
        _, _, times = keep_users_and_items(lists(users, ITEM_INDICES), lists(users, TIMESTAMPS), flags.value, k)
        yield times.values // SECONDS_PER_DAY - first_day
