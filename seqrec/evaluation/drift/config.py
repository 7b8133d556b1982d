"""Settings of the `drift` stage. Free of Spark and TensorFlow."""

from dataclasses import dataclass
from datetime import date

from seqrec.core.config import not_in_recipe


@dataclass(frozen=True, kw_only=True)
class DriftConfig:
    """The `drift` section: prepared data is compared with earlier data, or its later events with its earlier ones."""

    reference: str | None = None  # Name of other prepared data to compare with; null: earlier events of the same data.
    # First day of the later events, YYYY-MM-DD, UTC; null: the day that halves the events. Not with a reference.
    since: str | None = None
    num_bins: int = 20  # Values, or ranges of a number, that are compared apart; all others count as one.
    # The job ends with an error if a population stability index is above this. By a common rule, below 0.1 nothing
    # has changed, above 0.25 much has. null: never.
    fail_above: float | None = not_in_recipe(0.25)

    def __post_init__(self) -> None:
        if self.since is not None:
            try:
                date.fromisoformat(self.since)
            except ValueError:
                raise ValueError(f"since is '{self.since}': give a date as YYYY-MM-DD.") from None
            if self.reference is not None:
                raise ValueError("since and reference are both given: leave one out.")
        if self.num_bins < 2:
            raise ValueError(f"num_bins is {self.num_bins}: give 2 or more.")
        if self.fail_above is not None and self.fail_above <= 0.0:
            raise ValueError(f"fail_above is {self.fail_above}: give more than 0, or null.")
