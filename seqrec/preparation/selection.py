"""From reviews to the interactions that stay: row filters, events by user, item sample, k-core."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from seqrec.core.errors import DataError
from seqrec.preparation.config import PreparationConfig
from seqrec.preparation.filters.interactions import Filtered, count_filtered, filter_reviews
from seqrec.preparation.filters.item_numbers import collect_item_numbers, write_numbered_items
from seqrec.preparation.filters.item_sampling import sample_items
from seqrec.preparation.filters.k_core import count_items, find_k_core
from seqrec.preparation.filters.user_events import EventRule, build_user_events, num_buckets_for
from seqrec.preparation.writing.run_vocabulary import RunVocabulary
from seqrec.preparation.writing.vocabulary import ItemIndices
from seqrec.tables.prepared_schemas import ALL_EVENTS, NUM_EVENTS, NUM_REVIEWS, NUM_UNIQUE, NUM_USERS
from seqrec.tables.sessions import bucket_session

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Selection:
    """The interactions that stay: events of kept items, by users with at least `k` of them."""

    events: DataFrame  # ALL_EVENTS: all events that pass the row filters, with items as numbers.
    numbered_items: DataFrame  # One row per item of those events: its id and number.
    filtered: Filtered
    counts: dict[str, Any]  # The counts of every step so far, by name.
    is_kept: np.ndarray  # bool, by item number: the items of the k-core.
    item_counts: np.ndarray  # int64, kept interactions by item number.
    k: int
    run_indices: ItemIndices | None  # The indices of the run whose vocabulary is used; None for a new vocabulary.

    @property
    def is_known(self) -> np.ndarray:
        """bool, by item number: the items in the vocabulary."""
        return self.is_kept if self.run_indices is None else self.run_indices.by_number > 0


def select_interactions(
    reviews: DataFrame, config: PreparationConfig, seed: int, scratch: str, vocabulary: RunVocabulary | None
) -> Selection:
    """Applies every filter; tables that are used more than once are written below the URI `scratch`.

    Raises:
        DataError: nothing is left, or the counts of two steps differ.
    """
    spark = reviews.sparkSession
    filtered = count_filtered(reviews, config)
    kept_reviews = filter_reviews(reviews, config)
    numbered_items = write_numbered_items(kept_reviews, f"{scratch}/items")
    numbers = collect_item_numbers(numbered_items)
    _LOG.info("%d reviews of %d items pass the row filters", filtered.counts["filtered_reviews"], numbers.size)

    rule = EventRule(
        drop_duplicates=config.exact_duplicates == "drop",
        tie_by_hash=config.tie_order == "hash",
        repeated_items=config.repeated_items,
    )
    shared = spark.sparkContext.broadcast(numbers)
    num_buckets = num_buckets_for(filtered.counts["filtered_reviews"])
    build_user_events(kept_reviews, shared, rule, num_buckets).write.parquet(f"{scratch}/events", mode="overwrite")
    shared.destroy()
    events = bucket_session(spark).read.schema(ALL_EVENTS).parquet(f"{scratch}/events")
    counts: dict[str, Any] = filtered.counts | _count_events(events, filtered)

    item_counts = count_items(events, numbers.size)
    _check_sum("events by item", int(item_counts.sum()), "events by user", counts["events"])
    run_indices = None if vocabulary is None else vocabulary.index(numbered_items, numbers.size)
    is_allowed = item_counts > 0
    if run_indices is not None:
        is_allowed &= run_indices.by_number > 0
        counts |= _count_unknown(item_counts, is_allowed)
    is_allowed &= sample_items(
        np.where(is_allowed, item_counts, 0), numbers.keys_by_number, config.item_sample_rate, seed
    )
    counts["sampled_items"], counts["sampled_events"] = int(is_allowed.sum()), int(item_counts[is_allowed].sum())

    is_kept, kept_counts = is_allowed, np.where(is_allowed, item_counts, 0)
    if config.min_interactions > 1:
        core = find_k_core(events, item_counts, is_allowed, config.min_interactions)
        is_kept, kept_counts = core.is_kept, core.counts
        counts["k_core_rounds"] = core.to_json()
    counts["kept_items"], counts["kept_events"] = int(is_kept.sum()), int(kept_counts.sum())
    if not is_kept.any():
        remedy = "loosen the filters, or give more data."
        if config.min_interactions > 1:
            remedy = (
                f"set preparation.min_interactions=1 to keep all, or any number below {config.min_interactions}, or "
                "loosen the other filters."
            )
        raise DataError(f"No interaction is left of {counts['events']}: {remedy}")
    return Selection(
        events, numbered_items, filtered, counts, is_kept, kept_counts, config.min_interactions, run_indices
    )


def _count_events(events: DataFrame, filtered: Filtered) -> dict[str, int]:
    row = events.agg(
        F.sum(NUM_USERS).alias("users"),
        F.sum(NUM_REVIEWS).alias("reviews"),
        F.sum(NUM_UNIQUE).alias("unique"),
        F.sum(NUM_EVENTS).alias("events"),
    ).first()
    _check_sum("reviews by user", row["reviews"], "reviews after the filters", filtered.counts["filtered_reviews"])
    return {
        "users": row["users"],
        "dropped_duplicates": row["reviews"] - row["unique"],
        "dropped_repeated_items": row["unique"] - row["events"],
        "events": row["events"],
    }


def _count_unknown(item_counts: np.ndarray, is_known: np.ndarray) -> dict[str, int]:
    unknown = ~is_known
    return {"unknown_items": int((item_counts[unknown] > 0).sum()), "unknown_events": int(item_counts[unknown].sum())}


def _check_sum(what: str, count: int, against: str, expected: int) -> None:
    if count != expected:
        raise DataError(f"{what} add up to {count}, {against} to {expected}. Run the stage again (--set force=true).")
