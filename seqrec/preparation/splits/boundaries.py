"""The two boundaries of a temporal split, made from dates or from shares of the events."""

import numpy as np

from seqrec.core.columns import SECONDS_PER_DAY
from seqrec.core.errors import DataError
from seqrec.preparation.config import PreparationConfig, day_number
from seqrec.preparation.splits.splits import SplitRule


def needs_days(config: PreparationConfig) -> bool:
    """True if the boundaries depend on the numbers of events per day."""
    return config.split == "temporal" and not (
        isinstance(config.validation_boundary, str) and isinstance(config.test_boundary, str)
    )


def split_rule(config: PreparationConfig, events_per_day: np.ndarray | None, first_day: int) -> SplitRule:
    """The split rule that `config` asks for.

    A share becomes the start of the first day before which at least that share of the events lies. Most timestamps are
    whole days, so a finer boundary would cut through ties.

    Args:
        events_per_day: int64, counts of the days from `first_day` on; None unless `needs_days`.
        first_day: in days since 1970.

    Raises:
        DataError: the validation boundary is not before the test boundary, or no event lies after a share.
    """
    if config.split == "leave_last_out":
        return SplitRule(kind="leave_last_out")
    validation = _day(config.validation_boundary, "validation_boundary", events_per_day, first_day)
    test = _day(config.test_boundary, "test_boundary", events_per_day, first_day)
    if not validation < test:
        raise DataError(
            f"preparation.validation_boundary falls on {_date(validation)}, preparation.test_boundary on "
            f"{_date(test)}: the first must be earlier. Move them apart."
        )
    return SplitRule(
        kind="temporal",
        validation_from=validation * SECONDS_PER_DAY,
        test_from=test * SECONDS_PER_DAY,
        every_target=config.temporal_targets == "every",
    )


def _day(boundary: float | str, key: str, events_per_day: np.ndarray | None, first_day: int) -> int:
    if isinstance(boundary, str):
        return day_number(boundary, key)
    assert events_per_day is not None
    until = np.cumsum(events_per_day)
    num_days = 1 + int(np.searchsorted(until, boundary * until[-1]))
    last_day = int(np.flatnonzero(events_per_day)[-1])
    if num_days > last_day:
        raise DataError(
            f"preparation.{key} is {boundary}, but more than the other {1 - boundary:.1%} of the events lie on the "
            f"last day, {_date(first_day + last_day)}: nothing is left behind. Give a smaller share, or a date."
        )
    return first_day + num_days


def _date(day: int) -> str:
    return str(np.datetime64(day, "D"))
