"""Checks of a split before anything is scored: a leak makes every number worthless, so it is an error."""

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from seqrec.core.batch import PADDING_INDEX
from seqrec.core.columns import (
    HISTORY_ITEMS,
    HISTORY_TIMESTAMPS,
    NEGATIVE_ITEMS,
    POSITION,
    TARGET_ITEM,
    TARGET_TIMESTAMP,
    USER,
)
from seqrec.core.errors import DataError


@dataclass(frozen=True)
class RowCounts:
    """The size of a split."""

    num_rows: int
    num_users: int
    num_negatives: int  # The same number in every row.


def check_rows(rows: DataFrame, where: str, max_stored_history: int, num_items: int) -> RowCounts:
    """Counts the rows of a split, and makes sure that none can see its own target.

    Items that training never saw, and targets that the user had before, are allowed.

    Raises:
        DataError: there are no rows, or a rule is broken; the message names the first broken rule and a user.
    """
    rules = _rules(max_stored_history, num_items)
    broken = [F.count(F.when(is_broken, 1)) for is_broken, _ in rules]
    examples = [F.min(F.when(is_broken, F.col(USER))) for is_broken, _ in rules]
    width = F.size(NEGATIVE_ITEMS)
    counts = [F.count(F.lit(1)), F.countDistinct(USER), F.min(width), F.max(width)]
    found = list(rows.agg(*counts, *broken, *examples).first())
    num_rows, num_users, fewest, most = found[:4]
    if not num_rows:
        raise DataError(f"{where}: no rows to evaluate. Keep more events in preparation, or evaluate another split.")
    for index, (_, rule) in enumerate(rules):
        number, user = found[4 + index], found[4 + len(rules) + index]
        if number:
            raise DataError(
                f"{where}: {number} of {num_rows} rows break the rule '{rule}', user {user} first: the numbers would "
                "be worthless. Run the job 'prepare' again (--set force=true)."
            )
    if fewest != most or not fewest:
        raise DataError(
            f"{where}: rows have from {fewest} to {most} negatives, expected as many in every row, at least one. "
            "Run the job 'prepare' again (--set force=true)."
        )
    return RowCounts(num_rows, num_users, fewest)


def check_validation_before_test(validation: DataFrame, test: DataFrame, where: str) -> None:
    """Checks that each user's validation events come before the test event.

    Raises:
        DataError: they do not, for some user; the message names one.
    """
    first_test = test.groupBy(USER).agg(
        F.min(TARGET_TIMESTAMP).alias("test_time"), F.min(POSITION).alias("test_position")
    )
    last_validation = validation.groupBy(USER).agg(
        F.max(TARGET_TIMESTAMP).alias("validation_time"), F.max(POSITION).alias("validation_position")
    )
    is_late = (F.col("validation_time") > F.col("test_time")) | (F.col("validation_position") >= F.col("test_position"))
    number, num_users, user = (
        last_validation.join(first_test, on=USER, how="inner")
        .agg(F.count(F.when(is_late, 1)), F.count(F.lit(1)), F.min(F.when(is_late, F.col(USER))))
        .first()
    )
    if number:
        raise DataError(
            f"{where}: a validation event comes after the test event for {number} of {num_users} users, user {user} "
            "first: the split leaks the future. Run the job 'prepare' again (--set force=true)."
        )


def keep_some_users(rows: DataFrame, max_users: int, seed: int) -> DataFrame:
    """All rows of the `max_users` users with the smallest hashes: the same users every time."""
    users = rows.select(USER).distinct().orderBy(F.xxhash64(USER, F.lit(seed)), USER).limit(max_users)
    return rows.join(users, on=USER, how="left_semi")


def _rules(max_stored_history: int, num_items: int) -> list[tuple[Column, str]]:
    """The rules of a split: for each, when a row breaks it, and its text."""
    expected = F.least(F.col(POSITION), F.lit(max_stored_history))
    times = F.col(HISTORY_TIMESTAMPS)
    ordered = F.array_sort(times)
    all_items = F.concat(F.array(TARGET_ITEM), F.col(NEGATIVE_ITEMS), F.col(HISTORY_ITEMS))
    return [
        (
            (F.size(HISTORY_ITEMS) != expected) | (F.size(HISTORY_TIMESTAMPS) != expected),
            f"a history has min(position, {max_stored_history}) events",
        ),
        (F.coalesce(F.array_max(times), F.lit(0)) > F.col(TARGET_TIMESTAMP), "no history event is after the target"),
        (times != ordered, "a history is in order of time"),
        (F.array_contains(NEGATIVE_ITEMS, F.col(TARGET_ITEM)), "no negative is the target"),
        (
            (F.array_min(all_items) <= PADDING_INDEX) | (F.array_max(all_items) > num_items),
            f"items have indices 1 to {num_items}",
        ),
    ]
