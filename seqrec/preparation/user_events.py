"""The one shuffle of this stage: from reviews in any order to one row per user with its events in time order.

Users are hashed to buckets; all that is done per user happens inside its bucket, in NumPy over flat arrays.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark import Broadcast
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from seqrec.core.columns import ITEM_INDICES, LINE_HASH, TIMESTAMP, TIMESTAMPS, USER
from seqrec.preparation.interactions import with_tie_hash
from seqrec.preparation.item_numbers import item_key
from seqrec.preparation.k_core import has_enough
from seqrec.preparation.ragged import Ragged, column, gather, lists
from seqrec.preparation.schemas import ITEM_KEY, KEPT_EVENTS, NUM_REVIEWS, NUM_UNIQUE, TIE, USER_EVENTS

EVENTS_PER_BUCKET = 1_000_000  # A bucket is held in memory whole: about 200 bytes an event while sorting.


@dataclass(frozen=True, kw_only=True)
class EventRule:
    """How a user's reviews become events."""

    drop_duplicates: bool  # Byte-identical lines, told by their hash.
    tie_by_hash: bool  # Else by item id.
    repeated_items: Literal["all", "first", "last"]


def build_user_events(reviews: DataFrame, numbers: Broadcast, rule: EventRule, num_buckets: int) -> DataFrame:
    """One row per user: item numbers and timestamps in time order, ties as `rule` says."""
    salt = numbers.value.salt
    if rule.tie_by_hash:
        reviews = reviews.transform(with_tie_hash)
    optional = [TIE] * rule.tie_by_hash + [LINE_HASH] * rule.drop_duplicates
    return (
        reviews.select(USER, item_key(salt).alias(ITEM_KEY), F.col(TIMESTAMP), *optional)
        .repartition(num_buckets, USER)
        .mapInArrow(partial(_group_bucket, numbers, rule), USER_EVENTS)
    )


def num_buckets_for(num_reviews: int) -> int:
    """Buckets that keep each small enough; a function of the data alone, so that nothing depends on the machine."""
    return max(1, -(-num_reviews // EVENTS_PER_BUCKET))


def _group_bucket(numbers: Broadcast, rule: EventRule, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    reviews = gather(batches)
    if reviews is None:
        return
    users, owner = _encode_users(reviews)
    items = numbers.value.find(column(reviews, ITEM_KEY))
    times = column(reviews, TIMESTAMP)
    ties = column(reviews, TIE) if rule.tie_by_hash else items
    lines = column(reviews, LINE_HASH) if rule.drop_duplicates else None
    yield group_events(users, owner, items, times, ties, lines, rule.repeated_items)


def group_events(
    users: pa.StringArray,
    owner: np.ndarray,
    items: np.ndarray,
    times: np.ndarray,
    ties: np.ndarray,
    lines: np.ndarray | None,
    repeated_items: str,
) -> pa.RecordBatch:
    """Orders the reviews of a bucket by (user, time, tie), and drops duplicates and repeated items.

    Args:
        users: the user ids; owner: which of them each review is by.
        lines: hash of each review's line, to drop byte-identical ones; None keeps them.
    """
    order = np.lexsort((ties, times, owner))
    owner, items, times = owner[order], items[order], times[order]
    num_reviews = np.bincount(owner, minlength=len(users))
    kept = np.ones(len(owner), bool) if lines is None else ~_is_duplicate(owner, items, times, lines[order])
    num_unique = np.bincount(owner[kept], minlength=len(users))
    if repeated_items != "all":
        kept[kept] = _is_first_or_last(owner[kept], items[kept], repeated_items)
    lengths = np.bincount(owner[kept], minlength=len(users))
    return pa.RecordBatch.from_arrays(
        [
            users,
            Ragged.from_lengths(items[kept].astype(np.int32), lengths).to_arrow(),
            Ragged.from_lengths(times[kept], lengths).to_arrow(),
            pa.array(num_reviews, pa.int32()),
            pa.array(num_unique, pa.int32()),
        ],
        names=[USER, ITEM_INDICES, TIMESTAMPS, NUM_REVIEWS, NUM_UNIQUE],
    )


def _encode_users(reviews: pa.Table) -> tuple[pa.StringArray, np.ndarray]:
    """The distinct users in the order of their ids, and for each review the number of its user."""
    encoded = reviews.column(USER).chunk(0).dictionary_encode()
    names = encoded.dictionary
    order = pc.sort_indices(names).to_numpy()
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    return names.take(pa.array(order)), rank[encoded.indices.to_numpy()]


def _is_duplicate(owner: np.ndarray, items: np.ndarray, times: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """True for all but one of the reviews with the same user, time, item and line; sorted by (user, time, tie).

    Equal (user, item) have equal ties, so that equal reviews lie side by side, except for their lines.
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
    """True for a user's first (or last) event of each item; events are in time order."""
    order = np.lexsort((items, owner))  # Stable: in time order within a user and an item.
    changes = (owner[order][1:] != owner[order][:-1]) | (items[order][1:] != items[order][:-1])
    edge = np.concatenate([[True], changes] if which == "first" else [changes, [True]])
    chosen = np.zeros(len(owner), bool)
    chosen[order[edge]] = True
    return chosen


def keep_indexed(events: DataFrame, index_by_number: Broadcast, k: int) -> DataFrame:
    """One row per user with at least `k` events of items that have an index: those events, items as indices."""
    return events.select(USER, ITEM_INDICES, TIMESTAMPS).mapInArrow(partial(_index, index_by_number, k), KEPT_EVENTS)


def keep_users_and_items(
    items: Ragged, times: Ragged, is_kept: np.ndarray, k: int
) -> tuple[np.ndarray, Ragged, Ragged]:
    """The users with at least `k` events of kept items (by their place), and those events."""
    in_kept, enough = has_enough(items, is_kept, k)
    mask = in_kept & np.repeat(enough, items.lengths)
    lengths = items.sums(mask)[enough]
    kept_items = Ragged.from_lengths(items.values[mask], lengths)
    return np.flatnonzero(enough), kept_items, Ragged.from_lengths(times.values[mask], lengths)


def _index(index_by_number: Broadcast, k: int, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        index = index_by_number.value
        items, times = lists(batch, ITEM_INDICES), lists(batch, TIMESTAMPS)
        users, items, times = keep_users_and_items(items, times, index > 0, k)
        indexed = Ragged(index[items.values], items.offsets)
        columns = [batch.column(0).take(pa.array(users)), indexed.to_arrow(), times.to_arrow()]
        yield pa.RecordBatch.from_arrays(columns, names=[USER, ITEM_INDICES, TIMESTAMPS])


def max_own_items(events: DataFrame) -> int:
    """The most different items that one user has."""
    return events.agg(F.max(F.size(F.array_distinct(ITEM_INDICES)))).first()[0]
