"""Every job inside a session that runs already, in one process: as a task of a Databricks job runs it."""

import gzip
import importlib
import json
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from pyspark.sql import SparkSession

from seqrec.pipeline.stages import STAGES

SMALL = {
    "synthesis": {"num_reviews": 3000, "num_users": 300, "num_items": 100},
    "preparation": {"num_test_negatives": 9},
    "training": {"num_streams": 2, "num_workers": 2, "global_batch_size": 100, "num_epochs": 2},
    "evaluation": {"num_replicates": 100},
    "tuning": {"num_trials": 1, "num_epochs": 1, "num_compared_seeds": 0},
    "pipeline": {"one_process": True},
}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A server with one small file of reviews; gives its address."""
    lines = [{"reviewerID": f"A{n % 7}", "asin": f"B{n % 5}", "unixReviewTime": 1_400_000_000 + n} for n in range(40)]
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "Small.json.gz").write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode()))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Calls a job as a wheel task is called: its entry point, the parameters in sys.argv."""
    config = tmp_path / "small.yaml"
    config.write_text(yaml.safe_dump({"workdir": str(tmp_path / "work"), **SMALL}))

    def call(job: str, *overrides: str) -> None:
        words = [word for override in overrides for word in ("--set", override)]
        monkeypatch.setattr(sys, "argv", [job, "--config", str(config), *words])
        importlib.import_module(f"jobs.{job}").main()

    return call


def settings_of(spark: SparkSession) -> tuple[dict[str, str], dict[str, str]]:
    """What the session and its context are set to."""
    return {row["key"]: row["value"] for row in spark.sql("SET").collect()}, dict(spark.sparkContext.getConf().getAll())


@pytest.mark.slow
def test_every_job_runs_in_a_running_session_and_leaves_it_as_it_was(
    spark: SparkSession, run: Callable[..., None], site: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    catalogue = {"2018": {"mirrors": [site], "reviews": "{category}.json.gz", "categories": ["Small"]}}
    catalogue["2018"] |= {"ratings": "{category}.csv", "metadata": "meta_{category}.json.gz"}
    (tmp_path / "catalogue.yaml").write_text(yaml.safe_dump(catalogue))
    fetch = ("name=fetched", 'download.edition="2018"', "download.categories=[Small]", "download.with_metadata=false")
    settings = {
        "download": (*fetch, f"download.catalogue={tmp_path / 'catalogue.yaml'}"),
        "tune": ("training.num_workers=1",),
    }
    before = settings_of(spark)

    for job in STAGES:
        run(job, *settings.get(job, ()))
        assert SparkSession.getActiveSession() is spark, f"{job} left another session active"
        assert settings_of(spark) == before, f"{job} changed the session's settings"

    made = {path.parent.relative_to(tmp_path / "work").as_posix() for path in tmp_path.glob("work/*/*/_manifest.json")}
    expected = {"raw/fetched", "raw/demo", "ingested/demo", "prepared/demo", "runs/demo-a2svd", "tuning/demo-a2svd"}
    assert made >= expected | {"candidates/demo", "recommendations/demo-a2svd"}
    assert (tmp_path / "work/runs/demo-a2svd/export/card.json").exists()
    assert spark.range(3).count() == 3
