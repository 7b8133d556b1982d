"""Most figures of `health.json`: what a user should know about a prepared dataset before training on it.

They come from two counting passes over numbers; no pass reads strings.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark import Broadcast
from pyspark.sql import DataFrame

from seqrec.core.columns import (
    HISTORY_TIMESTAMPS,
    ITEM_INDICES,
    NEGATIVE_ITEMS,
    SECONDS_PER_DAY,
    TARGET_ITEM,
    TARGET_TIMESTAMP,
    TIMESTAMPS,
)
from seqrec.events.ragged import Ragged, column, lists, ranges
from seqrec.preparation.filters.counting import count_into_array
from seqrec.preparation.splits.splits import SplitRule, num_training_events
from seqrec.tables.arrow_bytes import from_arrow_rows

WARN_ABOVE_AUC = 0.55  # If ranking by item id alone reaches a higher AUC, the order of ties gives the target away.

_MAX_LENGTH = 1 << 16  # Longer histories are counted as this long.
_USER_TOTALS = ("tied_events", "test_targets", "same_day_targets", "target_higher", "target_lower")
# Pairs of a target and one of its negatives: all, those of a target that shares its day with no event of its history,
# and those whose items first occur in the same period; of each, those whose target has the higher id.
_PAIRS = ("pairs", "untied_pairs", "same_age_pairs")
_HIGHER = ("higher", "untied_higher", "same_age_higher")
_TEST_TOTALS = ("cold_targets", *_PAIRS, *_HIGHER, "newer")


@dataclass(frozen=True)
class Days:
    """The days that occur: `number` days, beginning with `first` (days since 1970)."""

    first: int
    number: int


@dataclass(frozen=True)
class UserFigures:
    """Counts over the users of the k-core."""

    lengths: np.ndarray  # int64, number of users by their number of events.
    train_days: np.ndarray  # int64, number of training events by day.
    test_days: np.ndarray  # int64, number of test targets by day.
    totals: dict[str, int]


@dataclass(frozen=True)
class TestFigures:
    """Counts over the rows of `sequences/test`."""

    targets: np.ndarray  # int64, number of test targets by the rank of their id among all ids.
    negatives: np.ndarray  # int64, number of their negatives by the rank of their id.
    totals: dict[str, int]


def measure_health(users: UserFigures, test: TestFigures, item_counts: np.ndarray) -> dict[str, Any]:
    """The figures that are measured; counts of single steps are not among them.

    Args:
        item_counts: int64, kept events of each item that has any.
    """
    num_events = int((np.arange(len(users.lengths)) * users.lengths).sum())
    totals = users.totals | test.totals
    by_id = _share_higher(totals, 0)
    popularity = np.bincount(np.minimum(item_counts, 1 << 24))
    return {
        "events_per_user": _spread(users.lengths),
        "events_per_item": _spread(popularity),
        "users_by_events": _by_power_of_two(users.lengths),
        "items_by_events": _by_power_of_two(popularity),
        "share_of_events_tied_on_user_and_day": _share(totals["tied_events"], num_events),
        "share_of_test_targets_on_the_day_of_the_last_history_event": _share(
            totals["same_day_targets"], totals["test_targets"]
        ),
        "share_of_same_day_pairs_with_the_higher_id_as_target": _share(
            totals["target_higher"], totals["target_higher"] + totals["target_lower"]
        ),
        "auc_of_ranking_by_item_id": auc_of_counts(test.targets, test.negatives),
        "group_auc_of_ranking_by_item_id": by_id,
        "part_of_it_that_the_order_of_same_day_events_explains": _less(by_id, _share_higher(totals, 1)),
        "part_of_it_that_the_age_of_items_explains": _less(by_id, _share_higher(totals, 2)),
        "group_auc_of_ranking_by_the_first_day_of_items": _share(
            totals["newer"] + totals["same_age_pairs"] / 2, totals["pairs"]
        ),
        "share_of_cold_test_targets": _share(totals["cold_targets"], totals["test_targets"]),
        "share_of_training_events_after_a_test_target": share_after(users.train_days, users.test_days),
    }


def count_users(kept: DataFrame, rule: SplitRule, id_ranks: np.ndarray, days: Days) -> UserFigures:
    """Counts users' events in one pass over the k-core.

    Args:
        kept: KEPT_EVENTS, one row per bucket of users, with items as indices.
        id_ranks: int32, by item index: the rank of the item's id among all ids.
    """
    size = _MAX_LENGTH + 1
    shared = kept.sparkSession.sparkContext.broadcast(id_ranks)
    pick = partial(_pick_users, shared, rule, days)
    counted = count_into_array(kept.select(ITEM_INDICES, TIMESTAMPS), pick, size + 2 * days.number + len(_USER_TOTALS))
    shared.destroy()
    lengths, train_days, test_days, totals = np.split(counted, np.cumsum([size, days.number, days.number]))
    return UserFigures(lengths, train_days, test_days, dict(zip(_USER_TOTALS, totals.tolist(), strict=True)))


def count_test(test: DataFrame, num_trained_items: int, id_ranks: np.ndarray, ages: np.ndarray) -> TestFigures:
    """Counts targets and negatives in one pass over `sequences/test`.

    Args:
        id_ranks: as in `count_users`.
        ages: int64, by item index: the period in which the item first occurs.
    """
    size = int(id_ranks.max()) + 1
    shared = test.sparkSession.sparkContext.broadcast((id_ranks, ages))
    pick = partial(_pick_test, shared, num_trained_items, size)
    needed = test.select(TARGET_ITEM, NEGATIVE_ITEMS, HISTORY_TIMESTAMPS, TARGET_TIMESTAMP)
    counted = count_into_array(needed, pick, 2 * size + len(_TEST_TOTALS))
    shared.destroy()
    targets, negatives, totals = np.split(counted, [size, 2 * size])
    return TestFigures(targets, negatives, dict(zip(_TEST_TOTALS, totals.tolist(), strict=True)))


def auc_of_counts(targets: np.ndarray, negatives: np.ndarray) -> float | None:
    """The chance that a random target has a higher score than a random negative; ties count half.

    Args:
        targets, negatives: int64, their numbers by score, ascending.
    """
    below = np.cumsum(negatives) - negatives
    pairs = int(targets.sum()) * int(negatives.sum())
    return None if not pairs else round(float((targets * (below + 0.5 * negatives)).sum() / pairs), 4)


def share_after(train_days: np.ndarray, test_days: np.ndarray) -> float | None:
    """The share of training events on later days than a random test target; 0 under a temporal split."""
    later = train_days.sum() - np.cumsum(train_days)
    return _share(float((test_days * later).sum()), float(test_days.sum()) * float(train_days.sum()))


def _pick_users(id_ranks: Broadcast, rule: SplitRule, days: Days, batch: pa.RecordBatch) -> Iterator[np.ndarray]:
    for users in from_arrow_rows([batch]):
        yield from _pick_bucket(id_ranks.value, rule, days, users)


def _pick_bucket(id_ranks: np.ndarray, rule: SplitRule, days: Days, batch: pa.RecordBatch) -> Iterator[np.ndarray]:
    items, times = lists(batch, ITEM_INDICES), lists(batch, TIMESTAMPS)
    split, begin = rule.apply(times), times.offsets[:-1]
    day = times.values // SECONDS_PER_DAY - days.first
    start = _MAX_LENGTH + 1
    yield np.minimum(items.lengths, _MAX_LENGTH)
    yield start + day[ranges(begin, num_training_events(split))]
    target = ranges(begin + split.test.start, split.test.lengths)
    yield start + days.number + day[target]
    run_start, run_length = _runs(times, day)
    tied = ranges(run_start[target], target - run_start[target])
    rank = id_ranks[items.values]
    of_target = np.repeat(rank[target], target - run_start[target])
    totals = {
        "tied_events": (run_length > 1).sum(),
        "test_targets": len(target),
        "same_day_targets": (target > run_start[target]).sum(),
        "target_higher": (of_target > rank[tied]).sum(),
        "target_lower": (of_target < rank[tied]).sum(),
    }
    yield from _repeated(totals, _USER_TOTALS, start + 2 * days.number)


def _pick_test(shared: Broadcast, num_trained_items: int, size: int, batch: pa.RecordBatch) -> Iterator[np.ndarray]:
    id_ranks, ages = shared.value
    target, negatives = column(batch, TARGET_ITEM), lists(batch, NEGATIVE_ITEMS)
    target_rank, rank = id_ranks[target], id_ranks[negatives.values]
    yield target_rank
    yield size + rank
    history = lists(batch, HISTORY_TIMESTAMPS)
    last_day = history.values[history.offsets[1:] - 1] // SECONDS_PER_DAY
    is_untied = np.repeat(last_day < column(batch, TARGET_TIMESTAMP) // SECONDS_PER_DAY, negatives.lengths)
    is_higher = rank < np.repeat(target_rank, negatives.lengths)
    target_age, age = np.repeat(ages[target], negatives.lengths), ages[negatives.values]
    totals = {"cold_targets": (target > num_trained_items).sum(), "newer": (age < target_age).sum()}
    for pairs, higher, chosen in zip(_PAIRS, _HIGHER, (slice(None), is_untied, age == target_age), strict=True):
        totals |= {pairs: len(is_higher[chosen]), higher: is_higher[chosen].sum()}
    yield from _repeated(totals, _TEST_TOTALS, 2 * size)


def _runs(times: Ragged, day: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each event, the first event of the same user and day, and the number of those events; int64 arrays."""
    is_new = np.ones(len(day), bool)
    is_new[1:] = day[1:] != day[:-1]
    is_new[times.offsets[:-1]] = True
    starts = np.flatnonzero(is_new)
    lengths = np.diff(np.append(starts, len(day)))
    return np.repeat(starts, lengths), np.repeat(lengths, lengths)


def _repeated(totals: dict[str, Any], names: tuple[str, ...], start: int) -> Iterator[np.ndarray]:
    for slot, name in enumerate(names):
        yield np.full(int(totals[name]), start + slot)


def _share(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None


def _share_higher(totals: dict[str, int], which: int) -> float | None:
    """The share of the pairs named `_PAIRS[which]` whose target has the higher id."""
    return _share(totals[_HIGHER[which]], totals[_PAIRS[which]])


def _less(whole: float | None, rest: float | None) -> float | None:
    """What of an AUC goes away where its cause does: `rest` is the AUC without that cause."""
    return None if whole is None or rest is None else round(whole - rest, 4)


def _spread(histogram: np.ndarray) -> dict[str, float]:
    """Mean, quantiles and extremes of the values in a histogram (count by value)."""
    until = np.cumsum(histogram)
    values = {f"p{q}": int(np.searchsorted(until, q / 100 * until[-1])) for q in (50, 90, 99)}
    mean = float((np.arange(len(histogram)) * histogram).sum() / max(until[-1], 1))
    occurring = np.flatnonzero(histogram)
    return {"mean": round(mean, 2), "min": int(occurring[0]), **values, "max": int(occurring[-1])}


def _by_power_of_two(histogram: np.ndarray) -> dict[str, int]:
    """The histogram with its values grouped into classes 1, 2-3, 4-7, 8-15, ..."""
    values = np.flatnonzero(histogram)
    values = values[values > 0]
    classes = np.bincount(np.floor(np.log2(values)).astype(int), weights=histogram[values]).astype(int)
    names = [f"{1 << c}-{(2 << c) - 1}" if c else "1" for c in range(len(classes))]
    return dict(zip(names, classes.tolist(), strict=True))
