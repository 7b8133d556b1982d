"""Settings of the `prepare` stage. This module needs no Spark, so every job can load it."""

from dataclasses import dataclass
from datetime import date
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class PreparationConfig:
    # Whether byte-identical review lines are dropped; the reference keeps them.
    exact_duplicates: Literal["drop", "keep"] = "drop"
    # Order of a user's events with equal times; item_id leaks the target.
    tie_order: Literal["hash", "item_id"] = "hash"
    min_interactions: int = 5  # The k of the k-core, for users and items alike; 0 or 1 turns it off.
    min_rating: float | None = None  # Reviews with a lower rating or none are left out; null keeps all.
    groups: tuple[str, ...] | None = None  # High-level groups to keep, such as "Gift Cards"; null keeps all.
    start_date: str | None = None  # First day to keep, YYYY-MM-DD, UTC.
    end_date: str | None = None  # Last day to keep, YYYY-MM-DD, UTC.
    repeated_items: Literal["all", "first", "last"] = "all"  # Which of a user's reviews of one item to keep.
    item_sample_rate: float = 1.0  # Share of the items to keep, drawn by popularity without replacement.
    # leave_last_out: a user's last event is for test, the one before for validation; temporal: split at two boundaries.
    split: Literal["leave_last_out", "temporal"] = "leave_last_out"
    validation_boundary: float | str = 0.8  # Temporal split: first day of validation, or the share of events before it.
    test_boundary: float | str = 0.9  # Temporal split: first day of test, or the share of events before it.
    temporal_targets: Literal["first", "every"] = "first"  # Temporal split: a user's targets after each boundary.
    max_stored_history: int = 200  # Events stored before each target; models cannot read more.
    max_targets_per_segment: int = 512  # Longer training parts are cut into overlapping segments.
    num_streams_max: int = 64  # The number of training files is a multiple of this, except for tiny data.
    max_targets_per_file: int = 1_000_000  # Limits the size of a training file, and so the memory of a reader.
    min_targets_per_file: int = 128  # If files would hold fewer, tiny data gets fewer files than num_streams_max.
    num_validation_negatives: int = 4  # Drawn for each validation target.
    num_test_negatives: int = 49  # Drawn for each test target.
    # popularity: by kept events, also those of validation and test; power: by their number ** negative_exponent;
    # uniform: all items alike; category: from the target's category, by kept events; popularity_at_time: by the kept
    # events around the target's time (of one period, a 64th of the data's days or longer).
    negative_sampling: Literal["popularity", "power", "uniform", "category", "popularity_at_time"] = "popularity"
    negative_exponent: float = 0.75  # The exponent of an item's weight; only for negative_sampling: power.
    exclude_own_items: bool = False  # Whether to draw no items that the user has anywhere; the reference draws them.
    # Users to recommend to: all with a known item, or those in the k-core.
    latest_users: Literal["all", "kept"] = "all"
    # A run whose vocabulary is used; training then skips targets the run was not trained on. Null makes a new one.
    vocabulary: str | None = None

    def __post_init__(self) -> None:
        at_least = {
            "min_interactions": 0,
            "max_stored_history": 1,
            "max_targets_per_segment": 1,
            "num_streams_max": 1,
            "max_targets_per_file": 1,
            "min_targets_per_file": 1,
            "num_validation_negatives": 1,
            "num_test_negatives": 1,
        }
        for key, least in at_least.items():
            if getattr(self, key) < least:
                raise ValueError(f"{key} is {getattr(self, key)}: give {least} or more.")
        if not 0 < self.item_sample_rate <= 1:
            raise ValueError(f"item_sample_rate is {self.item_sample_rate}: give a share above 0 and at most 1.")
        if self.groups is not None and not self.groups:
            raise ValueError("groups is empty: name at least one group, or leave the key out to keep all.")
        for key in ("start_date", "end_date"):
            if getattr(self, key) is not None:
                day_number(getattr(self, key), key)
        if self.start_date and self.end_date and self.start_date > self.end_date:
            raise ValueError(f"start_date is {self.start_date}, after end_date {self.end_date}: swap them.")
        self._check_boundaries()

    def _check_boundaries(self) -> None:
        for key in ("validation_boundary", "test_boundary"):
            value = getattr(self, key)
            if isinstance(value, str):
                day_number(value, key)
            elif not 0 < value < 1:
                raise ValueError(f"{key} is {value}: give a share between 0 and 1, or a date as YYYY-MM-DD.")
        first, second = self.validation_boundary, self.test_boundary
        if isinstance(first, str) == isinstance(second, str) and not first < second:  # type: ignore[operator]
            raise ValueError(f"validation_boundary is {first}, not before test_boundary {second}: move one of them.")


def day_number(text: str, key: str) -> int:
    """Days from 1970-01-01 to a date written as YYYY-MM-DD.

    Raises:
        ValueError: the text is not such a date; `key` names the setting.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:  # Python 3.11 also reads 20180101, but as text that sorts differently.
        raise ValueError(f"{key} is '{text}': give a date as YYYY-MM-DD.")
    return (day - date(1970, 1, 1)).days
