"""Training a run again leaves its evaluations where they are: they say nothing of the run as it is now."""

import dataclasses
import logging
import re
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from seqrec.core.storage import Storage
from seqrec.evaluation.config import EvaluationConfig
from seqrec.evaluation.results import current_evaluations
from seqrec.evaluation.stage import run_evaluate
from tests.evaluation.worlds import write_prepared, write_run

SAMPLED = EvaluationConfig(num_replicates=0, baselines=("popularity",))
FULL = dataclasses.replace(SAMPLED, protocol="full")


def headings(storage: Storage, run: str) -> list[str]:
    page = storage.read_bytes(f"runs/{run}/evaluations/report.html").decode()
    return re.findall(r"<h2>(.*?)</h2>", page)


def test_a_report_shows_the_run_as_it_is_now(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = Storage(str(tmp_path))
    prepared = write_prepared(storage, "small")
    write_run(storage, prepared, "run", seed=3)
    write_run(storage, prepared, "other", seed=4)
    run_evaluate(spark, storage, "small", "run", SAMPLED, seed=1)
    run_evaluate(spark, storage, "small", "run", FULL, seed=1)
    assert headings(storage, "run") == ["test, sampled", "test, full", "Training", "Lineage"]

    write_run(storage, prepared, "run", seed=5)
    with caplog.at_level(logging.WARNING):
        run_evaluate(spark, storage, "small", "run", FULL, seed=1)

    assert headings(storage, "run") == ["test, full", "Training", "Lineage"]
    assert (
        "test-sampled.json: left out, because it was made from older weights. Run the job 'evaluate' again"
        in caplog.text
    )
    run_evaluate(spark, storage, "small", "other", dataclasses.replace(SAMPLED, report_runs=("run",)), seed=1)
    page = storage.read_bytes("runs/other/evaluations/report.html").decode()
    beside = page[page.index('id="runs-beside-each-other"') : page.index('id="training"')]
    assert re.findall(r"<h3>(.*?)</h3>", beside) == ["test, sampled", "test, full"]
    sampled = beside[: beside.index("test, full")]
    assert re.findall(r"<td>(run|other)</td>", sampled) == ["other"]


def test_an_evaluation_is_current_while_both_runs_are(spark: SparkSession, tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    prepared = write_prepared(storage, "small")
    write_run(storage, prepared, "run", seed=3)
    write_run(storage, prepared, "other", seed=4)
    evaluation = run_evaluate(
        spark, storage, "small", "run", dataclasses.replace(SAMPLED, compare_to="other", num_replicates=100), seed=1
    )

    assert [each.to_json() for each in current_evaluations(storage, "run")] == [evaluation.to_json()]
    write_run(storage, prepared, "other", seed=5)
    assert current_evaluations(storage, "run") == []
    storage.delete("runs/other")
    assert [each.to_json() for each in current_evaluations(storage, "run")] == [evaluation.to_json()]
    storage.delete("runs/run/_manifest.json")
    assert current_evaluations(storage, "run") == []
