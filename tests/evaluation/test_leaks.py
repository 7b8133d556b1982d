"""Leaks planted in a whole split: the stage refuses it before it scores anything, and takes what only looks odd."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from seqrec.core.errors import DataError
from seqrec.core.storage import Storage
from seqrec.evaluation.config import EvaluationConfig
from seqrec.evaluation.results import evaluation_path
from seqrec.evaluation.stage import run_evaluate
from tests.evaluation.worlds import DAY, MAX_STORED_HISTORY, evaluation_rows, train_counts, write_prepared, write_run

CONFIG = EvaluationConfig(num_replicates=0, baselines=("popularity",), report=False)
NUM_USERS = 20
ITEMS, TIMES, TARGET, TARGET_TIME, NEGATIVES = 2, 3, 5, 6, 7  # Places in a row.
Change = Callable[[list], None]


def short_history(row: list) -> None:
    row[ITEMS], row[TIMES] = row[ITEMS][1:], row[TIMES][1:]


def target_in_own_history(row: list) -> None:
    row[ITEMS], row[TIMES] = [*row[ITEMS], row[TARGET]], [*row[TIMES], row[TARGET_TIME]]


def target_as_negative(row: list) -> None:
    row[NEGATIVES] = [*row[NEGATIVES][:-1], row[TARGET]]


def late_validation(row: list) -> None:
    row[TARGET_TIME] += 1_000 * DAY


PLANTED = [
    ("test", short_history, f"1 of 20 rows break the rule 'a history has min(position, {MAX_STORED_HISTORY}) events'"),
    ("test", target_in_own_history, f"the rule 'a history has min(position, {MAX_STORED_HISTORY}) events'"),
    ("test", target_as_negative, "1 of 20 rows break the rule 'no negative is the target'"),
    ("validation", late_validation, "a validation event comes after the test event for 1 of 20 users"),
]


def write_world(folder: Path, split: str, change: Change) -> Storage:
    """Prepared data in which one row of `split`, that of user7, is changed; and a run."""
    rows = [list(row) for row in evaluation_rows(NUM_USERS, split, {"validation": 4, "test": 9}[split])]
    change(next(row for row in rows if row[0] == "user7"))
    storage = Storage(str(folder))
    prepared = write_prepared(storage, "small", num_users=NUM_USERS, **{split: [tuple(row) for row in rows]})
    write_run(storage, prepared, "run")
    return storage


@pytest.mark.parametrize(("split", "change", "message"), PLANTED, ids=[change.__name__ for _, change, _ in PLANTED])
def test_run_evaluate_refuses_a_planted_leak(
    spark: SparkSession, tmp_path: Path, split: str, change: Change, message: str
) -> None:
    storage = write_world(tmp_path, split, change)

    with pytest.raises(DataError) as caught:
        run_evaluate(spark, storage, "small", "run", CONFIG, seed=1)

    line = str(caught.value)
    assert message in line
    assert "user user7 first" in line
    assert "Run the job 'prepare' again" in line
    assert "\n" not in line
    assert not storage.exists(evaluation_path("run", "test", "sampled"))


def test_run_evaluate_takes_unseen_items_and_repeated_targets(spark: SparkSession, tmp_path: Path) -> None:
    storage = write_world(tmp_path, "test", lambda row: None)
    rows, counts = evaluation_rows(NUM_USERS, "test"), train_counts(NUM_USERS)

    evaluation = run_evaluate(spark, storage, "small", "run", CONFIG, seed=1)

    found = {(part.slicing, part.label): part.num_rows for part in evaluation.slices}
    unseen = sum(counts[row[TARGET]] == 0 for row in rows)
    repeated = sum(row[TARGET] in row[ITEMS] for row in rows)
    assert unseen
    assert repeated
    assert found["popularity of the target", "not seen in training"] == unseen
    assert found["target in the history", "repeated"] == repeated
