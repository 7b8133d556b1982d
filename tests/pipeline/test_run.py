"""The whole pipeline in one process, on little data and with the real engines."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seqrec.core.errors import ConfigError, DataError
from seqrec.core.manifest import Dataset
from seqrec.core.storage import Storage
from seqrec.pipeline.config import load_run_config
from seqrec.pipeline.run import pipeline, plan_steps
from seqrec.pipeline.stages import run_stage

ROOT = Path(__file__).parents[2]
SMALL = (
    "pipeline.one_process=true",
    "synthesis.num_reviews=3000",
    "synthesis.num_users=300",
    "synthesis.num_items=100",
    "preparation.num_test_negatives=9",
    "training.num_streams=2",
    "training.global_batch_size=100",
    "training.num_epochs=2",
    "evaluation.num_replicates=100",
)


def config_of(workdir, *overrides):
    return load_run_config(None, [f"workdir={workdir}", *SMALL, *overrides])


@pytest.fixture(scope="module")
def workdir(spark, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    pipeline(config_of(folder))
    return folder


def ids_in(workdir):
    """The published id of every dataset below `workdir`, and when it was made."""
    return {
        path.parent.relative_to(workdir).as_posix(): (json.loads(path.read_text())["id"], path.stat().st_mtime_ns)
        for path in workdir.glob("*/*/_manifest.json")
    }


def test_pipeline_ends_with_an_evaluation_of_every_ranking(workdir):
    [result] = workdir.glob("runs/demo-a2svd/evaluations/test-sampled.json")
    text = result.read_text()

    assert {"raw/demo", "ingested/demo", "prepared/demo", "runs/demo-a2svd"} == set(ids_in(workdir))
    assert all(f'"{name}"' in text for name in ("popularity", "last_category", "demo-a2svd"))


def test_counts_add_up_from_lines_to_sequences(workdir):
    storage = Storage(str(workdir))
    ingested = Dataset(storage, "ingested", "demo").require("ingest")
    prepared = Dataset(storage, "prepared", "demo").require("prepare")

    rows = {name: table.rows for name, table in prepared.tables.items()}
    targets = sum(file.targets for file in prepared.tables["sequences/train"].files)

    assert ingested.tables["reviews"].rows == 3000
    # Every event is the first of its user's, a training target, a validation target or a test target.
    kept_users = rows["sequences/test"]
    assert (
        prepared.counts["kept_events"] == targets + kept_users + rows["sequences/validation"] + rows["sequences/test"]
    )


def test_pipeline_does_nothing_the_second_time(workdir):
    before = ids_in(workdir)

    pipeline(config_of(workdir))

    assert ids_in(workdir) == before


def test_pipeline_submits_no_stage_that_is_up_to_date(workdir, monkeypatch, capsys):
    submitted = []
    monkeypatch.setattr("seqrec.pipeline.run._submit", submitted.append)
    before = ids_in(workdir)

    pipeline(config_of(workdir, "pipeline.one_process=false"))

    assert submitted == []
    assert ids_in(workdir) == before
    assert "demo-a2svd" in capsys.readouterr().out  # The table of results, all the same.

    pipeline(config_of(workdir, "pipeline.one_process=false", "preparation.num_test_negatives=7"))

    assert [step.job for step in submitted] == ["prepare"]


def test_a_changed_setting_runs_its_stage_again_and_no_earlier_one(workdir):
    before = ids_in(workdir)

    run_stage("ingest", config_of(workdir))
    run_stage("prepare", config_of(workdir, "name=demo", "preparation.num_test_negatives=5"))
    after = ids_in(workdir)
    run_stage("prepare", config_of(workdir))

    assert {name for name in before if before[name] != after[name]} == {"prepared/demo"}


def test_a_stage_killed_half_way_leaves_nothing_that_a_later_one_reads(workdir):
    overrides = [f"workdir={workdir}", *SMALL, "preparation.min_interactions=6"]
    arguments = [word for override in overrides for word in ("--set", override)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    published = ids_in(workdir)["prepared/demo"]
    before = files_in(workdir / "prepared" / "demo")

    process = subprocess.Popen([sys.executable, ROOT / "jobs" / "prepare.py", *arguments], env=environment)
    while process.poll() is None and not files_in(workdir / "prepared" / "demo") - before:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)

    assert process.wait() == -signal.SIGKILL, "the job ended before it could be killed"
    assert files_in(workdir / "prepared" / "demo") - before, "the job had not begun to write"
    assert ids_in(workdir)["prepared/demo"] == published
    run_stage("prepare", config_of(workdir, "preparation.min_interactions=6"))
    assert ids_in(workdir)["prepared/demo"] != published


def files_in(folder):
    return set(folder.rglob("*.parquet"))


def test_a_stage_without_its_input_names_the_job_that_makes_it(spark, tmp_path):
    with pytest.raises(DataError, match="ingested/nothing: not there or not finished. Run the job 'ingest' first."):
        run_stage("prepare", config_of(tmp_path, "name=nothing"))


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), ["synthesize", "ingest", "prepare", "train", "evaluate"]),
        (("source.kind=files", "source.reviews=a.json"), ["ingest", "prepare", "train", "evaluate"]),
        (("source.kind=download",), ["download", "ingest", "prepare", "train", "evaluate"]),
        (
            ("pipeline.models=[a2svd, sli_rec]",),
            ["synthesize", "ingest", "prepare", "train", "evaluate", "train", "evaluate"],
        ),
    ],
)
def test_plan_steps_follows_the_source_and_the_models(overrides, expected):
    assert [step.job for step in plan_steps(load_run_config(None, overrides))] == expected


def test_plan_steps_refuses_one_name_for_the_runs_of_two_models():
    config = load_run_config(None, ["training.run=mine", "pipeline.models=[a2svd, sli_rec]"])

    with pytest.raises(ConfigError, match=r"training.run=mine names one run, but pipeline.models lists 2 \(a2svd, sli"):
        plan_steps(config)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("pipeline.models=[a2svd, slirec]", "pipeline.models: there is no model 'slirec'. Did you mean 'sli_rec'?"),
        ("model.options.a2svd.attention_sise=8", "model.options.a2svd: unknown key 'attention_sise'. Did you mean"),
        ("model.options.a2sdv.attention_size=8", "model.options: there is no model 'a2sdv'. Did you mean 'a2svd'?"),
        ("model.item_dim=64", "model.options.sli_rec.hidden_size is 40, but item_dim + category_dim is"),
        (
            "training.num_workers=3",
            "training.num_workers=3 does not divide training.num_streams=8: set training.num_workers=2",
        ),
        (
            "training.global_batch_size=401",
            "training.global_batch_size=401 is not a multiple of 8 streams: set training.global_batch_size=400",
        ),
    ],
)
def test_plan_steps_refuses_what_training_would_refuse_after_hours(override, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        plan_steps(load_run_config(None, ["pipeline.models=[a2svd, sli_rec]", override]))


def test_plan_steps_takes_a_name_for_the_run_of_one_model():
    steps = plan_steps(load_run_config(None, ["training.run=mine", "pipeline.models=[sli_rec]"]))

    assert steps[-1].model == "sli_rec"
