"""The k-core: the largest set of interactions in which every user and every item has at least k of them.

Interactions are never shuffled. A round needs only one flag per item, which says whether the item is left, and returns
how many interactions each item has lost because their users fell below k.
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

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Round:
    """The sizes when a round begins: items with enough interactions, users with enough of those items."""

    users: int
    items: int
    interactions: int


@dataclass(frozen=True, kw_only=True)
class Core:
    is_kept: np.ndarray  # bool [num_items], by item number.
    counts: np.ndarray  # int64 [num_items], interactions in the core; 0 for an item that is not kept.
    rounds: tuple[Round, ...]

    def to_json(self) -> list[dict[str, int]]:
        """The rounds, as dictionaries that JSON can hold."""
        return [asdict(r) for r in self.rounds]


def count_items(events: DataFrame, num_items: int) -> np.ndarray:
    """int64 [num_items], interactions of each item number in `events` (ALL_EVENTS)."""
    return count_into_array(events.select(ITEM_INDICES), _items_of, num_items)


def find_k_core(events: DataFrame, counts: np.ndarray, is_allowed: np.ndarray, k: int) -> Core:
    """Drops users and items with fewer than `k` interactions until nothing changes.

    Each round is one Spark job and logs its sizes. A user is in the core if at least `k` of its interactions are with
    items in the core.

    Args:
        events: ALL_EVENTS, one row per bucket of users, with all their item numbers.
        counts: int64 [num_items], interactions of each item in `events`.
        is_allowed: bool [num_items], the items to begin with; interactions with other items are ignored.
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
        _LOG.info("k-core round %d: %d users, %d items, %d interactions", len(rounds), *asdict(rounds[-1]).values())
        counts -= lost
        before, now = now, now & (counts >= k)
        if (before == now).all():
            return Core(is_kept=now, counts=np.where(now, counts, 0), rounds=tuple(rounds))


def has_enough(items: Ragged, is_kept: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Flags for the values that are kept items, and for the lists that have at least max(k, 1) of those."""
    in_kept = is_kept[items.values]
    return in_kept, items.sums(in_kept) >= max(k, 1)


def _items_of(batch: pa.RecordBatch) -> Iterator[np.ndarray]:
    for users in from_arrow_rows([batch]):
        yield lists(users, ITEM_INDICES).values


def _peel(flags: Broadcast, k: int, is_first: bool, batch: pa.RecordBatch) -> Iterator[np.ndarray]:
    """The items of interactions that are dropped because their user has just fallen below `k`; then two totals.

    The flags of the round before show whether a user was in the core before, so no state is kept between rounds.
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
