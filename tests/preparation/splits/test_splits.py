import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqrec.core.columns import SECONDS_PER_DAY
from seqrec.core.errors import DataError
from seqrec.events.ragged import Ragged
from seqrec.preparation.config import PreparationConfig
from seqrec.preparation.splits.boundaries import split_rule
from seqrec.preparation.splits.splits import SplitRule, num_training_events

USERS = st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=12).map(sorted), min_size=1, max_size=10)


def times_of(users):
    flat = np.array([time for user in users for time in user], np.int64)
    return Ragged.from_lengths(flat, np.array([len(user) for user in users]))


def positions(targets):
    return [list(range(start, end)) for start, end in zip(targets.start, targets.end, strict=True)]


@pytest.mark.parametrize(
    ("num_events", "num_train", "validation", "test"),
    [(1, 0, [], []), (2, 0, [], [1]), (3, 1, [1], [2]), (5, 3, [3], [4])],
)
def test_leave_last_out_takes_the_last_two(num_events, num_train, validation, test):
    split = SplitRule(kind="leave_last_out").apply(times_of([list(range(num_events))]))

    assert split.num_train.tolist() == [num_train]
    assert positions(split.validation) == [validation]
    assert positions(split.test) == [test]


@given(USERS, st.integers(0, 30), st.integers(1, 10), st.booleans())
def test_temporal_split_keeps_the_future_out_of_training(users, validation_from, gap, every):
    rule = SplitRule(
        kind="temporal", validation_from=validation_from, test_from=validation_from + gap, every_target=every
    )

    split = rule.apply(times_of(users))

    for user, num_train, validation, test in zip(
        users, split.num_train, positions(split.validation), positions(split.test), strict=True
    ):
        parts = ["train" if t < validation_from else "validation" if t < rule.test_from else "test" for t in user]
        assert num_train == parts.count("train")
        for found, part in ((validation, "validation"), (test, "test")):
            after = [position for position, name in enumerate(parts) if name == part]
            if every:
                assert found == [position for position in after if position > 0]
            else:
                assert found == [position for position in after[:1] if position > 0]


def test_num_training_events_leaves_out_parts_without_a_target():
    split = SplitRule(kind="leave_last_out").apply(times_of([[1], [1, 2, 3], [1, 2, 3, 4]]))

    assert num_training_events(split).tolist() == [0, 0, 2]


def test_split_rule_turns_shares_into_the_first_day_with_enough_before():
    config = PreparationConfig(split="temporal", validation_boundary=0.5, test_boundary=0.8)

    rule = split_rule(config, np.array([4, 1, 0, 3, 2]), first_day=100)

    assert rule.validation_from == 102 * SECONDS_PER_DAY
    assert rule.test_from == 104 * SECONDS_PER_DAY


def test_split_rule_takes_dates():
    config = PreparationConfig(split="temporal", validation_boundary="1970-01-03", test_boundary="1970-01-05")

    rule = split_rule(config, None, first_day=0)

    assert (rule.validation_from, rule.test_from) == (2 * SECONDS_PER_DAY, 4 * SECONDS_PER_DAY)


def test_split_rule_refuses_boundaries_on_one_day():
    config = PreparationConfig(split="temporal", validation_boundary=0.5, test_boundary=0.6)

    with pytest.raises(
        DataError, match="validation_boundary falls on 1970-01-02, preparation.test_boundary on 1970-01-02"
    ):
        split_rule(config, np.array([9, 1]), first_day=0)


def test_split_rule_refuses_a_share_that_leaves_nothing_behind_it():
    config = PreparationConfig(split="temporal", validation_boundary=0.5, test_boundary=0.9)

    with pytest.raises(DataError, match=r"test_boundary is 0.9, but more than the other 10.0% .* last day, 1970-01-03"):
        split_rule(config, np.array([4, 2, 4, 0]), first_day=0)  # The row filters left a day that the k-core did not.


@pytest.mark.parametrize(
    ("key", "value"), [("start_date", "20180101"), ("end_date", "2018-W01-1"), ("test_boundary", "20180601")]
)
def test_dates_have_one_form_for_they_are_compared_as_text(key, value):
    with pytest.raises(ValueError, match=f"{key} is '{value}': give a date as YYYY-MM-DD."):
        PreparationConfig(**{key: value})
