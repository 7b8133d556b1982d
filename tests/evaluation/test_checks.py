import re
from collections.abc import Callable

import pytest
from pyspark.sql import DataFrame, SparkSession

from seqrec.core.errors import DataError
from seqrec.evaluation.checks import RowCounts, check_rows, check_validation_before_test, keep_some_users
from seqrec.tables.prepared_schemas import EVALUATION

DAY = 86_400
# ann's target is one she had before, and bob's (item 9) was not seen in training: both are as they should be.
CLEAN = [
    ("ann", 2, [3, 4], [1 * DAY, 2 * DAY], 1 * DAY, 3, 2 * DAY, [5, 6]),
    ("bob", 5, [1, 2, 3], [4 * DAY, 4 * DAY, 5 * DAY], 1 * DAY, 9, 6 * DAY, [3, 8]),
]
Build = Callable[[list[tuple]], DataFrame]


@pytest.fixture
def build(spark: SparkSession) -> Build:
    return lambda rows: spark.createDataFrame(rows, EVALUATION)


def planted(user: str, place: int, value: object) -> list[tuple]:
    """The clean rows, with one value of one user replaced."""
    return [row[:place] + (value,) + row[place + 1 :] if row[0] == user else row for row in CLEAN]


def test_check_rows_finds_nothing_in_clean_rows(build: Build) -> None:
    assert check_rows(build(CLEAN), "here", 3, 9) == RowCounts(2, 2, 2)


@pytest.mark.parametrize(
    ("rows", "rule"),
    [
        (planted("bob", 1, 2), "a history has min(position, 3) events"),
        (planted("ann", 2, [3, 4, 5]), "a history has min(position, 3) events"),
        (planted("bob", 6, 4 * DAY), "no history event is after the target"),
        (planted("bob", 3, [5 * DAY, 4 * DAY, 5 * DAY]), "a history is in order of time"),
        (planted("ann", 7, [5, 3]), "no negative is the target"),
        (planted("ann", 7, [5, 0]), "items have indices 1 to 9"),
        (planted("ann", 5, 10), "items have indices 1 to 9"),
    ],
    ids=["short history", "long history", "future event", "disorder", "target as negative", "padding", "unknown item"],
)
def test_check_rows_refuses_a_planted_leak(build: Build, rows: list[tuple], rule: str) -> None:
    changed = next(row[0] for row in rows if row not in CLEAN)

    with pytest.raises(DataError, match=f"here: 1 of 2 rows break the rule '{re.escape(rule)}', user {changed} first"):
        check_rows(build(rows), "here", 3, 9)


def test_check_rows_refuses_unequal_numbers_of_negatives(build: Build) -> None:
    with pytest.raises(DataError, match="from 1 to 2 negatives"):
        check_rows(build(planted("ann", 7, [5])), "here", 3, 9)


def test_check_rows_refuses_an_empty_split(build: Build) -> None:
    with pytest.raises(DataError, match="here: no rows to evaluate"):
        check_rows(build([]), "here", 3, 9)


def test_check_validation_before_test_allows_the_same_day(build: Build) -> None:
    validation = build([("ann", 1, [3], [DAY], DAY, 4, 2 * DAY, [5, 6])])

    check_validation_before_test(validation, build(CLEAN), "here")


@pytest.mark.parametrize(("position", "day"), [(1, 3), (2, 2)])
def test_check_validation_before_test_refuses_a_later_event(build: Build, position: int, day: int) -> None:
    validation = build([("ann", position, [3], [DAY], DAY, 4, day * DAY, [5, 6])])

    with pytest.raises(
        DataError, match="a validation event comes after the test event for 1 of 1 users, user ann first"
    ):
        check_validation_before_test(validation, build(CLEAN), "here")


def test_keep_some_users_keeps_whole_users_and_the_same_ones(build: Build) -> None:
    rows = build([(f"user{i % 500}", 1, [3], [DAY], DAY, 4, DAY, [5, 6]) for i in range(1000)])

    kept = [sorted(row[0] for row in keep_some_users(rows.repartition(n), 100, 1).collect()) for n in (1, 3)]

    assert kept[0] == kept[1]
    assert len(kept[0]) == 2 * len(set(kept[0]))


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_keep_some_users_keeps_no_more_than_it_may(build: Build, seed: int) -> None:
    rows = build([(f"user{i % 500}", 1, [3], [DAY], DAY, 4, DAY, [5, 6]) for i in range(1000)])

    users = {row[0] for row in keep_some_users(rows, 100, seed).collect()}

    assert len(users) == 100


def test_keep_some_users_chooses_by_the_seed(build: Build) -> None:
    rows = build([(f"user{i}", 1, [3], [DAY], DAY, 4, DAY, [5, 6]) for i in range(500)])

    first, second = ({row[0] for row in keep_some_users(rows, 100, seed).collect()} for seed in (1, 2))

    assert len(first & second) < 60
