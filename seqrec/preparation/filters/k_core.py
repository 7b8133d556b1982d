"""The k-core: the largest set of interactions in which every user and every item has at least k of them.

Interactions are never shuffled: a round needs only which items are left, one flag an item, and gives back how
many interactions each item has lost because their users fell below k.
"""

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark import Broadcast
from pyspark.sql import DataFrame

from seqrec.core.columns import ITEM_INDICES
from seqrec.events.ragged import Ragged, lists
from seqrec.preparation.filters.counting import count_into_array
from seqrec.tables.arrow_bytes import from_arrow_rows

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Round:
    """What is left when a round begins: items with enough interactions, users with enough of those."""

    users: int
    items: int
    interactions: int


@dataclass(frozen=True, kw_only=True)
class Core:
    is_kept: np.ndarray  # bool [num_items], by item number.
    counts: np.ndarray  # int64 [num_items], interactions in the core; 0 for an item that is not kept.
    rounds: tuple[Round, ...]

    def to_json(self) -> list[dict[str, int]]:
        return [asdict(r) for r in self.rounds]


def count_items(events: DataFrame, num_items: int) -> np.ndarray:
    """Interactions of each item, int64 [num_items]; `events` has one packed row per bucket of users."""
    return count_into_array(events.select(ITEM_INDICES), _items_of, num_items)


def find_k_core(events: DataFrame, counts: np.ndarray, is_allowed: np.ndarray, k: int) -> Core:
    """Peels users and items below `k` until nothing changes; runs one Spark job a round and logs its size.

    Args:
        events: packed, one row per bucket of users, with all their item numbers.
        counts: interactions of each item over `events`.
        is_allowed: bool, the items to begin with; interactions of others count for nobody.

    A user is in the core when it has at least `k` interactions with items that are kept.
    """
    columns = events.select(ITEM_INDICES)
    counts, rounds = counts.copy(), []
    before, now = None, is_allowed & (counts >= k)
    while True:
        flags = events.sparkSession.sparkContext.broadcast((is_allowed if before is None else before, now))
        tallied = count_into_array(columns, partial(_peel, flags, k, before is None), len(counts) + 2)
        flags.destroy()
        lost, users, interactions = tallied[:-2], int(tallied[-2]), int(tallied[-1])
        rounds.append(Round(users=users, items=int(now.sum()), interactions=interactions))
        logger.info("k-core round %d: %d users, %d items, %d interactions", len(rounds), *asdict(rounds[-1]).values())
        counts -= lost
        before, now = now, now & (counts >= k)
        if (before == now).all():
            return Core(is_kept=now, counts=np.where(now, counts, 0), rounds=tuple(rounds))


def has_enough(items: Ragged, is_kept: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Which values are of kept items, and which lists have at least `k` (and one) of those."""
    in_kept = is_kept[items.values]
    return in_kept, items.sums(in_kept) >= max(k, 1)


def _items_of(batch: pa.RecordBatch) -> Iterator[np.ndarray]:
    for users in from_arrow_rows([batch]):
        yield lists(users, ITEM_INDICES).values


def _peel(flags: Broadcast, k: int, is_first: bool, batch: pa.RecordBatch) -> Iterator[np.ndarray]:
    """Items of the interactions that go because their user has just fallen below `k`; then two totals.

    Whether a user was in before follows from the flags of the round before, so no state is kept between rounds.
    """
    before, now = flags.value
    for users in from_arrow_rows([batch]):
        items = lists(users, ITEM_INDICES)
        in_now, is_in = has_enough(items, now, k)
        was_in = np.ones(len(is_in), bool) if is_first else has_enough(items, before, k)[1]
        owners_fallen = np.repeat(was_in & ~is_in, items.lengths)
        yield items.values[in_now & owners_fallen]
        num_items = len(now)
        yield np.full(int(is_in.sum()), num_items)
        yield np.full(int(items.sums(in_now)[is_in].sum()), num_items + 1)
