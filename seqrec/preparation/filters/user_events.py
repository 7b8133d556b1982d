"""The only shuffle of all reviews: from any order to buckets of users, each user with its events in time order.

Users are hashed to buckets. All later work per user happens inside its bucket, in NumPy over flat arrays.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pyarrow as pa
from pyspark import Broadcast
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from seqrec.core.columns import ITEM_INDICES, LINE_HASH, TIMESTAMP, TIMESTAMPS, USER
from seqrec.events.ragged import Ragged, column, gather, lists
from seqrec.preparation.filters.interactions import with_tie_hash
from seqrec.preparation.filters.item_numbers import item_key
from seqrec.preparation.filters.k_core import has_enough
from seqrec.tables.arrow_bytes import from_arrow_rows, to_arrow_row
from seqrec.tables.prepared_schemas import (
    ALL_EVENTS,
    ITEM_KEY,
    KEPT_EVENTS,
    NUM_EVENTS,
    NUM_REVIEWS,
    NUM_UNIQUE,
    NUM_USERS,
    TIE,
    USER_EVENTS,
    USER_KEY,
)

_TIME_BITS = 36  # Enough for 2,000 years of seconds; the other bits of a 64-bit sort key number the bucket's users.
EVENTS_PER_BUCKET = 1_000_000  # A whole bucket is held in memory, at about 200 bytes per event while it is sorted.


@dataclass(frozen=True, kw_only=True)
class EventRule:
    """The rule by which a user's reviews become events."""

    drop_duplicates: bool  # Whether byte-identical lines, which have equal hashes, become one event.
    tie_by_hash: bool  # Whether a hash orders events of one time; else the item id does.
    repeated_items: Literal["all", "first", "last"]  # Which of a user's reviews of one item become events.


def build_user_events(reviews: DataFrame, numbers: Broadcast, rule: EventRule, num_buckets: int) -> DataFrame:
    """ALL_EVENTS: one row per bucket of users, with item numbers and timestamps in the order that `rule` sets.

    Args:
        numbers: a broadcast `ItemNumbers`.
    """
    salt = numbers.value.salt
    if rule.tie_by_hash:
        reviews = reviews.transform(with_tie_hash)
    optional = [TIE] * rule.tie_by_hash + [LINE_HASH] * rule.drop_duplicates
    return (
        reviews.select(
            USER, F.xxhash64(USER).alias(USER_KEY), item_key(salt).alias(ITEM_KEY), F.col(TIMESTAMP), *optional
        )
        .repartition(num_buckets, USER_KEY)
        .mapInArrow(partial(_group_bucket, numbers, rule), ALL_EVENTS)
    )


def num_buckets_for(num_reviews: int) -> int:
    """The number of buckets that keeps each small enough. It depends on the data alone, so results do not depend on the
    machine.
    """
    return max(1, -(-num_reviews // EVENTS_PER_BUCKET))


def _group_bucket(numbers: Broadcast, rule: EventRule, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    reviews = gather(batches)
    if reviews is None:
        return
    users, keys, owner = _encode_users(reviews.column(USER).chunk(0), column(reviews, USER_KEY))
    items = numbers.value.find(column(reviews, ITEM_KEY))
    times = column(reviews, TIMESTAMP)
    ties = column(reviews, TIE) if rule.tie_by_hash else items
    lines = column(reviews, LINE_HASH) if rule.drop_duplicates else None
    grouped, num_unique = group_events(users, keys, owner, items, times, ties, lines, rule.repeated_items)
    num_events = len(lists(grouped, ITEM_INDICES).values)
    counts = {NUM_USERS: len(users), NUM_REVIEWS: len(owner), NUM_UNIQUE: num_unique, NUM_EVENTS: num_events}
    yield to_arrow_row(grouped, **counts)


def group_events(
    users: pa.StringArray,
    keys: np.ndarray,
    owner: np.ndarray,
    items: np.ndarray,
    times: np.ndarray,
    ties: np.ndarray,
    lines: np.ndarray | None,
    repeated_items: str,
) -> tuple[pa.RecordBatch, int]:
    """Orders the reviews of a bucket by (user, time, tie), and drops duplicates and repeated items.

    Args:
        users: the user ids of the bucket.
        keys: int64 [users], their hashes.
        owner: int64 [reviews], the number of each review's user.
        items, times, ties: int64 or int32 [reviews].
        lines: int64 [reviews], hash of each review's line, to drop byte-identical ones; None keeps them.

    Returns:
        USER_EVENTS, and the number of reviews after exact duplicates were dropped.
    """
    order = _time_order(owner, times, ties)
    owner, items, times = owner[order], items[order], times[order]
    kept = np.ones(len(owner), bool) if lines is None else ~_is_duplicate(owner, items, times, lines[order])
    num_unique = int(kept.sum())
    if repeated_items != "all":
        kept[kept] = _is_first_or_last(owner[kept], items[kept], repeated_items)
    lengths = np.bincount(owner[kept], minlength=len(users))
    grouped = pa.RecordBatch.from_arrays(
        [
            users,
            pa.array(keys),
            Ragged.from_lengths(items[kept].astype(np.int32), lengths).to_arrow(),
            Ragged.from_lengths(times[kept], lengths).to_arrow(),
        ],
        names=USER_EVENTS.names,
    )
    return grouped, num_unique


def _encode_users(reviews: pa.StringArray, keys: np.ndarray) -> tuple[pa.StringArray, np.ndarray, np.ndarray]:
    """The distinct users in the order of their keys, their keys, and the number of each review's user."""
    encoded = reviews.dictionary_encode()
    number = encoded.indices.to_numpy()
    key_of = np.empty(len(encoded.dictionary), np.int64)
    key_of[number] = keys
    order = np.argsort(key_of, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return encoded.dictionary.take(pa.array(order)), key_of[order], rank[number]


def _time_order(owner: np.ndarray, times: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """The order by (owner, time, tie), as `np.lexsort` gives it. Faster, as only tied events need the third key."""
    since_first = times - times.min()
    if int(since_first.max()) >= 1 << _TIME_BITS or int(owner.max()) >= 1 << (63 - _TIME_BITS):
        return np.lexsort((ties, times, owner))
    both = (owner << _TIME_BITS) | since_first
    order = np.argsort(both, kind="stable")
    both = both[order]
    same = both[1:] == both[:-1]
    tied = np.flatnonzero(np.concatenate([same, [False]]) | np.concatenate([[False], same]))
    run = np.cumsum(np.concatenate([[True], ~same]))[tied]
    order[tied] = order[tied][np.lexsort((ties[order[tied]], run))]
    return order


def _is_duplicate(owner: np.ndarray, items: np.ndarray, times: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """True for all but one of the reviews with the same user, time, item and line.

    The reviews are sorted by (user, time, tie). Ties are equal where user and item are, so reviews of one user, time
    and item lie side by side; only their lines may be in any order.
    """
    same = (owner[1:] == owner[:-1]) & (times[1:] == times[:-1]) & (items[1:] == items[:-1])
    duplicate = np.zeros(len(owner), bool)
    suspects = np.flatnonzero(np.concatenate([same, [False]]) | np.concatenate([[False], same]))
    run = np.cumsum(np.concatenate([[True], ~same]))[suspects]
    order = np.lexsort((lines[suspects], run))
    suspects, run = suspects[order], run[order]
    line = lines[suspects]
    duplicate[suspects[1:]] = (run[1:] == run[:-1]) & (line[1:] == line[:-1])
    return duplicate


def _is_first_or_last(owner: np.ndarray, items: np.ndarray, which: str) -> np.ndarray:
    """True for a user's first (or last) event with each item; events are in time order."""
    order = np.lexsort((items, owner))  # The sort is stable, so events of one user and item stay in time order.
    changes = (owner[order][1:] != owner[order][:-1]) | (items[order][1:] != items[order][:-1])
    edge = np.concatenate([[True], changes] if which == "first" else [changes, [True]])
    chosen = np.zeros(len(owner), bool)
    chosen[order[edge]] = True
    return chosen


def keep_indexed(events: DataFrame, index_by_number: Broadcast, k: int) -> DataFrame:
    """KEPT_EVENTS: the users with at least `k` events of items that have an index, and those events with indices.

    Args:
        index_by_number: a broadcast array int32 [numbers], the index of each item number; 0 drops the item's events.
    """
    return events.select(*USER_EVENTS.names).mapInArrow(partial(_index, index_by_number, k), KEPT_EVENTS)


def keep_users_and_items(
    items: Ragged, times: Ragged, is_kept: np.ndarray, k: int
) -> tuple[np.ndarray, Ragged, Ragged]:
    """The numbers of the users with at least `k` events of kept items, and items and times of those events."""
    in_kept, enough = has_enough(items, is_kept, k)
    mask = in_kept & np.repeat(enough, items.lengths)
    lengths = items.sums(mask)[enough]
    kept_items = Ragged.from_lengths(items.values[mask], lengths)
    return np.flatnonzero(enough), kept_items, Ragged.from_lengths(times.values[mask], lengths)


def _index(index_by_number: Broadcast, k: int, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    index = index_by_number.value
    for batch in from_arrow_rows(batches):
        items, times = lists(batch, ITEM_INDICES), lists(batch, TIMESTAMPS)
        users, items, times = keep_users_and_items(items, times, index > 0, k)
        indexed = Ragged(index[items.values], items.offsets)
        names, keys = (batch.column(name).take(pa.array(users)) for name in (USER, USER_KEY))
        kept = pa.RecordBatch.from_arrays([names, keys, indexed.to_arrow(), times.to_arrow()], names=USER_EVENTS.names)
        yield to_arrow_row(kept)


def max_own_items(events: DataFrame) -> int:
    """The largest number of different items that one user has; `events` is KEPT_EVENTS or ALL_EVENTS."""
    most = events.select(ITEM_INDICES).mapInArrow(_max_own_items, "most int")
    return most.agg(F.max("most")).first()[0]


def _max_own_items(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in from_arrow_rows(batches):
        items = lists(batch, ITEM_INDICES)
        owner = np.unique((items.owners << 32) | items.values.astype(np.int64)) >> 32
        yield pa.RecordBatch.from_arrays([pa.array([np.bincount(owner).max(initial=0)], pa.int32())], names=["most"])
