import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession
from sklearn.metrics import log_loss, roc_auc_score

from seqrec.core import metrics
from seqrec.core.batch import History
from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset, Recipe
from seqrec.core.storage import Storage
from seqrec.evaluation.config import EvaluationConfig
from seqrec.evaluation.rankings import baseline_tables
from seqrec.evaluation.results import Evaluation
from seqrec.evaluation.stage import run_evaluate
from seqrec.tables.schemas import ITEMS
from tests.evaluation.worlds import (
    MAX_HISTORY_LENGTH,
    NUM_ITEMS,
    evaluation_rows,
    stand_in_model,
    train_counts,
    write_prepared,
    write_rows,
    write_run,
)

CONFIG = EvaluationConfig(num_replicates=200, baselines=("popularity", "recent_popularity", "co_visitation", "item_id"))


@pytest.fixture(scope="module")
def sampled(spark: SparkSession, world: Storage) -> Evaluation:
    return run_evaluate(spark, world, "small", "a2svd", dataclasses.replace(CONFIG, compare_to="other"), seed=1)


@pytest.fixture(scope="module")
def full(spark: SparkSession, world: Storage) -> Evaluation:
    return run_evaluate(spark, world, "small", "a2svd", dataclasses.replace(CONFIG, protocol="full"), seed=1)


def model_logits(candidates: np.ndarray, seed: int = 3) -> np.ndarray:
    """Straight from the model, in one batch cut by hand."""
    model, _ = stand_in_model("a2svd", seed)
    rows = evaluation_rows(60, "test")
    shape = (1, len(rows), MAX_HISTORY_LENGTH)
    history = History(
        np.zeros(shape, np.int32),
        np.zeros(shape[:2], np.int32),
        np.zeros(shape, np.float32),
        np.zeros(shape, np.float32),
    )
    for place, (_, _, items, times, first, _, target_time, _) in enumerate(rows):
        recent, recent_times = items[-MAX_HISTORY_LENGTH:], np.array(times[-MAX_HISTORY_LENGTH:])
        history.length[0, place] = len(recent)
        history.items[0, place, : len(recent)] = recent
        history.seconds_to_target[0, place, : len(recent)] = target_time - recent_times
        history.seconds_from_first[0, place, : len(recent)] = recent_times - first
    return model.score(model.encode(history), candidates[None]).numpy()[0]


def test_run_evaluate_measures_the_model_as_core_metrics_do(sampled: Evaluation) -> None:
    candidates = np.array([[row[5], *row[7]] for row in evaluation_rows(60, "test")], np.int32)

    logits = model_logits(candidates)

    ranks = metrics.target_ranks(logits)
    probabilities = 1.0 / (1.0 + np.exp(-logits.astype(np.float64)))
    labels = np.zeros(logits.shape, int)
    labels[:, 0] = 1
    expected = {
        "auc": roc_auc_score(labels.ravel(), logits.ravel()),
        "group_auc": metrics.row_auc(metrics.target_counts(logits)).mean(),
        "mrr": metrics.reciprocal_rank(ranks).mean(),
        "ndcg@2": metrics.ndcg(ranks, 2).mean(),
        "ndcg@10": metrics.ndcg(ranks, 10).mean(),
        "hit_rate@1": metrics.hit(ranks, 1).mean(),
        "hit_rate@5": metrics.hit(ranks, 5).mean(),
        "log_loss": log_loss(labels.ravel(), probabilities.ravel()),
    }
    found = {name: sampled.results[0].metrics[name] for name in expected}
    assert found == pytest.approx(expected, abs=1e-6)


def test_run_evaluate_measures_popularity_on_the_same_candidates(sampled: Evaluation) -> None:
    candidates = np.array([[row[5], *row[7]] for row in evaluation_rows(60, "test")], np.int32)

    scores = train_counts(60)[candidates]

    popularity = next(result for result in sampled.results if result.name == "popularity")
    assert popularity.metrics["auc"] == pytest.approx(metrics.pooled_auc(scores[:, 0], scores[:, 1:]), abs=1e-9)
    assert popularity.metrics["mrr"] == pytest.approx(
        metrics.reciprocal_rank(metrics.target_ranks(scores)).mean(), abs=1e-8
    )


def test_run_evaluate_stores_what_it_returns(sampled: Evaluation, world: Storage) -> None:
    stored = world.read_bytes("runs/a2svd/evaluations/test-sampled.json").decode()

    assert stored == sampled.to_json()
    assert Evaluation.from_json(stored, "here").to_json() == stored


def test_run_evaluate_says_what_its_numbers_are(sampled: Evaluation) -> None:
    setup = sampled.setup

    assert (sampled.split, sampled.protocol) == ("test", "sampled")
    assert setup["candidates"] == "the target and 9 stored negatives"
    assert (setup["negative_sampling"], setup["tie_order"], setup["split_method"]) == (
        "uniform",
        "hash",
        "leave_last_out",
    )
    assert (setup["num_users"], setup["num_rows"], setup["seed"]) == (60, 60, 1)


def test_run_evaluate_skips_what_is_done(spark: SparkSession, world: Storage, sampled: Evaluation) -> None:
    again = run_evaluate(spark, world, "small", "a2svd", dataclasses.replace(CONFIG, compare_to="other"), seed=1)

    assert again.lineage["evaluated"] == sampled.lineage["evaluated"]
    assert again.seconds == sampled.seconds


def test_run_evaluate_measures_again_what_reads_other_metadata(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = Storage(str(tmp_path))
    write_run(storage, write_prepared(storage, "small"), "run")
    config = EvaluationConfig(num_replicates=0, baselines=("also_bought",), report=False)
    ingested = Dataset(storage, "ingested", "small")
    baselines = []

    for also_buy in (None, ["item14"], ["item14"], ["item21"]):
        if also_buy is not None:
            line = ("item07", None, [], "Books", None, None, None, also_buy, [])
            attempt = ingested.begin(Recipe(stage="ingest", settings={}, inputs={}))
            attempt.publish(tables={"items": write_rows(attempt, "items", [line], ITEMS)}, counts={})
        caplog.clear()
        with caplog.at_level(logging.INFO):
            evaluation = run_evaluate(spark, storage, "small", "run", config, seed=1)
        baselines.append((len(evaluation.results) - 1, "is up to date" in caplog.text))

    assert baselines == [(0, False), (1, False), (1, True), (1, False)]


def test_run_evaluate_measures_again_where_a_left_out_baseline_may_be_larger(
    spark: SparkSession, tmp_path: Path
) -> None:
    storage = Storage(str(tmp_path))
    write_run(storage, write_prepared(storage, "small"), "run")
    config = EvaluationConfig(num_replicates=0, baselines=("co_visitation",), report=False)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baseline_tables, "_ENTRY_BYTES", 2**20)
        before = run_evaluate(spark, storage, "small", "run", dataclasses.replace(config, max_baseline_megabytes=1), 1)
    after = run_evaluate(spark, storage, "small", "run", config, seed=1)

    assert "max_baseline_megabytes (1)" in before.notes[0]
    assert [result.name for result in after.results] == ["run", "co_visitation"]


def test_run_evaluate_compares_two_runs_on_the_same_rows(sampled: Evaluation) -> None:
    candidates = np.array([[row[5], *row[7]] for row in evaluation_rows(60, "test")], np.int32)
    own, other = (metrics.row_auc(metrics.target_counts(model_logits(candidates, seed))) for seed in (3, 4))

    comparison = sampled.comparison

    assert comparison is not None
    assert comparison["other"] == "other"
    found = comparison["metrics"]["group_auc"]
    assert found["difference"] == pytest.approx((own - other).mean(), abs=1e-8)
    flips = np.random.default_rng(0).choice([-1, 1], (4000, 60)) @ (own - other)
    assert found["p_value"] == pytest.approx((np.abs(flips) >= abs((own - other).sum())).mean(), abs=0.1)


def test_full_protocol_ranks_the_target_among_all_items_but_the_history(full: Evaluation) -> None:
    rows = evaluation_rows(60, "test")
    every = np.broadcast_to(np.arange(1, NUM_ITEMS + 1, dtype=np.int32), (len(rows), NUM_ITEMS))
    logits = model_logits(every)

    ranks, aucs = [], []
    for scores, (_, _, items, _, _, target, _, _) in zip(logits, rows, strict=True):
        others = [item for item in range(1, NUM_ITEMS + 1) if item not in items and item != target]
        above = sum(scores[item - 1] > scores[target - 1] for item in others)
        tied = sum(scores[item - 1] == scores[target - 1] for item in others)
        ranks.append(1 + above + tied)
        aucs.append(1 - (above + tied / 2) / len(others))

    found = full.results[0].metrics
    assert found["mrr"] == pytest.approx(np.mean(1 / np.array(ranks)), abs=1e-8)
    assert found["group_auc"] == pytest.approx(np.mean(aucs), abs=1e-8)
    assert found["hit_rate@10"] == pytest.approx(np.mean(np.array(ranks) <= 10), abs=1e-8)
    assert "auc" not in found


def test_results_do_not_depend_on_files_or_arrow_batches(
    spark: SparkSession, world: Storage, sampled: Evaluation, tmp_path: object
) -> None:
    storage = Storage(str(tmp_path))
    prepared = write_prepared(storage, "small", num_files=1)
    write_run(storage, prepared, "a2svd")
    write_run(storage, prepared, "other", seed=4)
    key = "spark.sql.execution.arrow.maxRecordsPerBatch"
    before = spark.conf.get(key)

    spark.conf.set(key, "7")
    try:
        other = run_evaluate(spark, storage, "small", "a2svd", dataclasses.replace(CONFIG, compare_to="other"), seed=1)
    finally:
        spark.conf.set(key, before)

    assert other.results == sampled.results
    assert other.slices == sampled.slices
    assert other.comparison == sampled.comparison


def test_run_evaluate_refuses_a_run_of_another_vocabulary(
    spark: SparkSession, world: Storage, tmp_path: object
) -> None:
    storage = Storage(str(tmp_path))
    write_run(storage, write_prepared(storage, "large", num_users=61), "run")
    write_prepared(storage, "small")

    with pytest.raises(DataError, match="run 'run' was trained with another vocabulary"):
        run_evaluate(spark, storage, "small", "run", CONFIG, seed=1)
