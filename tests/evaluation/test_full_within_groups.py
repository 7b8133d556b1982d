"""The full protocol within main groups, some of which are so small that a target stands alone in them."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset, Recipe
from seqrec.core.storage import Storage
from seqrec.evaluation.config import EvaluationConfig
from seqrec.evaluation.results import Evaluation, markdown_table
from seqrec.evaluation.stage import run_evaluate
from seqrec.tables.schemas import ITEMS
from tests.evaluation.worlds import (
    DAY,
    MAX_STORED_HISTORY,
    NUM_ITEMS,
    evaluation_rows,
    train_counts,
    write_prepared,
    write_rows,
    write_run,
)

CONFIG = EvaluationConfig(protocol="full", num_replicates=200, baselines=("popularity",), report=False)
NUM_LONELY = 6  # Items 1 to 6 have a main group of their own each.


def group_of(item: int) -> str | None:
    if item <= NUM_LONELY:
        return f"Lonely {item}"
    if item <= 8:
        return "Pair"
    return "Books" if item <= 20 else "Games" if item <= 38 else None


def split_rows() -> list[tuple]:
    """A row of each of 60 users, and for ten of them a later one whose target has its group to itself."""
    rows = evaluation_rows(60, "test")
    later = []
    for user, position, items, times, first, target, time, _ in rows[:10]:
        history = ([*items, target][-MAX_STORED_HISTORY:], [*times, time][-MAX_STORED_HISTORY:])
        lonely = 1 + len(later) % NUM_LONELY
        negatives = [item for item in range(1, NUM_ITEMS + 1) if item != lonely][:9]
        later.append((user, position + 1, *history, first, lonely, time + DAY, negatives))
    return rows + later


def competitors(row: tuple) -> list[int]:
    _, _, history, _, _, target, _, _ = row
    every = range(1, NUM_ITEMS + 1)
    return [i for i in every if group_of(i) == group_of(target) and i not in history and i != target]


def write_world(folder: Path, name_group: Callable[[int], str | None]) -> Storage:
    storage = Storage(str(folder))
    prepared = write_prepared(storage, "small", test=split_rows())
    lines = [
        (f"item{item * 7 % 41:02d}", None, [], name_group(item), None, None, None, [], [])
        for item in range(1, NUM_ITEMS + 1)
    ]
    attempt = Dataset(storage, "ingested", "small").begin(Recipe(stage="ingest", settings={}, inputs={}))
    attempt.publish(tables={"items": write_rows(attempt, "items", lines, ITEMS)}, counts={})
    for seed, run in ((3, "run"), (4, "other")):
        write_run(storage, prepared, run, seed=seed)
    return storage


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    return write_world(tmp_path_factory.mktemp("groups"), group_of)


@pytest.fixture(scope="module")
def within_groups(spark: SparkSession, world: Storage) -> Evaluation:
    return run_evaluate(spark, world, "small", "run", dataclasses.replace(CONFIG, full_candidates="group"), seed=1)


def test_rows_without_a_competitor_count_in_no_metric(within_groups: Evaluation) -> None:
    counts = train_counts(60)
    contested = [row for row in split_rows() if competitors(row)]
    assert 20 < len(contested) < 60

    ranks, aucs, best = [], [], []
    for row in contested:
        target, others = row[5], competitors(row)
        above = sum(counts[item] > counts[target] for item in others)
        tied = sum(counts[item] == counts[target] for item in others)
        ranks.append(1 + above + tied)
        aucs.append(1 - (above + tied / 2) / len(others))
        best.append(sorted([*others, target], key=lambda item: (-counts[item], item))[:10])
    found = within_groups.results[1]
    assert found.name == "popularity"
    assert found.metrics["group_auc"] == pytest.approx(np.mean(aucs), abs=1e-8)
    assert found.metrics["mrr"] == pytest.approx(np.mean(1 / np.array(ranks)), abs=1e-8)
    assert found.metrics["hit_rate@1"] == pytest.approx(np.mean(np.array(ranks) == 1), abs=1e-8)
    items = np.concatenate(best)
    assert found.metrics["coverage@10"] == pytest.approx(len(set(items)) / NUM_ITEMS)
    assert found.metrics["average_popularity@10"] == pytest.approx(counts[items].mean())


def test_rows_without_a_competitor_are_counted(within_groups: Evaluation) -> None:
    rows = split_rows()
    contested = [row for row in rows if competitors(row)]

    assert within_groups.setup["num_rows"] == len(contested)
    assert within_groups.setup["num_users"] == len({row[0] for row in contested})
    assert within_groups.notes == [
        f"{len(rows) - len(contested)} of {len(rows)} rows are left out of all numbers: their target has nothing to "
        "compete with, for its main group holds no other item that is not in the stored history."
    ]
    by_slicing: dict[str, int] = {}
    for part in within_groups.slices:
        by_slicing[part.slicing] = by_slicing.get(part.slicing, 0) + part.num_rows
    assert set(by_slicing.values()) == {len(contested)}
    assert {sum(number for _, number in result.ranks) for result in within_groups.results} == {len(contested)}


def test_intervals_hold_the_metrics_though_rows_are_left_out(within_groups: Evaluation) -> None:
    for result in within_groups.results:
        for name in ("group_auc", "mrr", "ndcg@10"):
            low, high = result.intervals[name]
            assert 0 <= low < result.metrics[name] < high <= 1


def test_run_evaluate_refuses_groups_in_which_nothing_competes(spark: SparkSession, tmp_path: Path) -> None:
    storage = write_world(tmp_path, lambda item: f"Lonely {item}")
    config = dataclasses.replace(CONFIG, full_candidates="group")

    with pytest.raises(DataError, match="none of the 70 targets has an item to compete with"):
        run_evaluate(spark, storage, "small", "run", config, seed=1)


def test_candidates_of_groups_and_of_the_catalogue_do_not_compare(
    spark: SparkSession, world: Storage, within_groups: Evaluation
) -> None:
    config = dataclasses.replace(CONFIG, num_replicates=0)
    everything = run_evaluate(spark, world, "small", "other", config, seed=1)
    same = run_evaluate(spark, world, "small", "other", dataclasses.replace(config, full_candidates="group"), seed=1)

    assert markdown_table([within_groups, same]).count("\n| ") == 3
    with pytest.raises(DataError, match="'run' and 'other' were evaluated on other candidates"):
        markdown_table([within_groups, everything])
    assert (everything.setup["num_candidates"], within_groups.setup["num_candidates"]) == (40, 18)
    assert everything.setup["candidates"] == (
        "the target and all other items, but those of the stored history (40 items)"
    )
    assert within_groups.setup["candidates"] == (
        "the target and all other items of its main group, but those of the stored history (1 to 18 items)"
    )
