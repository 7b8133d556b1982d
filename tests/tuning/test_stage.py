import csv
import dataclasses
import io
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from seqrec.core.config import load_section
from seqrec.core.errors import ConfigError
from seqrec.core.manifest import Dataset
from seqrec.core.storage import Storage
from seqrec.evaluation.config import EvaluationConfig
from seqrec.models.config import ModelConfig
from seqrec.training.config import TrainingConfig
from seqrec.training.stage import run_train
from seqrec.tuning.stage import TuningInputs, run_tune, tuning_recipe
from seqrec.tuning.trial_records import TrialFiles
from tests.feed.prepared_data import write_prepared
from tests.tuning.toy_study import RATE, toy_configs, tune_toy

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A study on data whose test split is not there any more."""
    folder = tmp_path_factory.mktemp("tuned")
    write_prepared(folder, num_users=150)
    (test_split,) = folder.glob("prepared/toy/*/sequences/test")
    shutil.rmtree(test_split)
    return folder, tune_toy(folder)


def trials(folder, manifest, study="toy"):
    return TrialFiles(Storage(str(folder)), f"tuning/{study}/{manifest.id}").read_all()


def test_run_tune_needs_no_test_split_to_choose(tuned):
    folder, manifest = tuned

    records = trials(folder, manifest)

    assert [record.state for record in records] == ["done", "done"] or records[1].state == "pruned"
    assert manifest.details["best"]["value"] == max(r.value for r in records if r.state == "done")
    assert manifest.counts["trials"] == 2


def test_run_tune_writes_settings_that_train_to_the_same_metric(tuned):
    folder, manifest = tuned
    values = yaml.safe_load((folder / f"tuning/toy/{manifest.id}/best.yaml").read_text())

    model = load_section(ModelConfig, values["model"], "model")
    training = load_section(TrainingConfig, values["training"], "training")
    run = run_train(Storage(values["workdir"]), values["name"], training.run, model, training, values["seed"], False)

    assert run.details["best"]["group_auc"] == manifest.details["best"]["value"]


def test_run_tune_writes_a_page_and_a_table(tuned):
    folder, manifest = tuned
    page = (folder / f"tuning/toy/{manifest.id}/report.html").read_text()
    table = (folder / f"tuning/toy/{manifest.id}/trials.csv").read_text()

    rows = list(csv.DictReader(io.StringIO(table)))

    assert all(f"<h2>{title}</h2>" in page for title in ("History", "Importance", "Slices", "Trials"))
    assert page.count("data:image/png") >= 3
    assert [float(row[RATE]) for row in rows] == [r.settings[RATE] for r in trials(folder, manifest)]


def test_run_tune_done_already_is_skipped(tuned, caplog):
    folder, manifest = tuned

    with caplog.at_level(logging.INFO):
        again = tune_toy(folder)

    assert again == manifest
    assert "up to date" in caplog.text


def test_run_tune_writes_the_best_setting_again_for_another_number_of_epochs(tuned):
    folder, first = tuned
    model, training, config = toy_configs(num_epochs=2)
    settings = []
    for epochs in (2, 7):
        training = dataclasses.replace(training, num_epochs=epochs)
        evaluation = EvaluationConfig()
        manifest = run_tune(
            None, TuningInputs(Storage(str(folder)), "toy", "short", model, training, config, evaluation, 1)
        )
        settings.append((folder / f"tuning/short/{manifest.id}/best.yaml").read_text())

    assert [yaml.safe_load(text)["training"]["num_epochs"] for text in settings] == [2, 7]
    assert manifest.details["best"] == first.details["best"]


def test_run_tune_refuses_to_delete_trials_of_other_settings(tmp_path):
    storage, _ = write_prepared(tmp_path, num_users=120)
    model, training, config = toy_configs()
    recipe = tuning_recipe(Dataset(storage, "prepared", "toy").require("prepare"), model, training, config, seed=2)
    attempt = Dataset(storage, "tuning", "toy").begin(recipe)
    storage.write_bytes(
        f"{attempt.path}/trials/0000/trial.json",
        b'{"number": 0, "state": "failed", "drawn": {}, "distributions": {}, "settings": {}}',
    )

    with pytest.raises(ConfigError, match="cut off after 1 trials with other settings"):
        tune_toy(tmp_path)

    assert storage.exists(f"{attempt.path}/trials/0000/trial.json")


def test_run_tune_copies_what_a_killed_attempt_had_not_yet(tuned, monkeypatch):
    folder, _ = tuned
    first = tune_toy(folder, study="longer")
    kept = trials(folder, first, "longer")
    write, written = TrialFiles.write, []

    def write_one(files, record):
        if written:
            raise KeyboardInterrupt
        written.append(record)
        write(files, record)

    monkeypatch.setattr(TrialFiles, "write", write_one)
    with pytest.raises(KeyboardInterrupt):
        tune_toy(folder, study="longer", num_trials=3)
    monkeypatch.undo()
    longer = tune_toy(folder, study="longer", num_trials=3)

    assert trials(folder, longer, "longer")[:2] == kept  # With the seconds and times they had.


def test_run_tune_refuses_a_default_that_cannot_be_compared(tmp_path):
    storage, _ = write_prepared(tmp_path, num_users=120)
    _, training, config = toy_configs(num_compared_seeds=1, space={"model.name": {"choices": ["a2svd"]}})
    model = ModelConfig(name="sli_rec", item_dim=16)

    with pytest.raises(ConfigError, match="hidden_size is 40, but item_dim"):
        run_tune(None, TuningInputs(storage, "toy", "toy", model, training, config, EvaluationConfig(), 1))

    assert not (tmp_path / "tuning").exists()


def test_tuning_recipe_is_that_of_more_trials_but_not_of_another_space(tmp_path):
    _, prepared = write_prepared(tmp_path, num_users=120)
    model, training, config = toy_configs()

    digests = [
        tuning_recipe(prepared, model, training, other, 1).digest
        for other in (config, toy_configs(num_trials=9)[2], toy_configs(space={RATE: {"low": 0.1, "high": 0.2}})[2])
    ]

    assert digests[0] == digests[1] != digests[2]


@pytest.mark.slow
def test_run_tune_killed_goes_on_to_the_same_trials(tmp_path):
    for name in ("whole", "killed"):
        write_prepared(tmp_path / name, num_users=120)
    whole = tune_toy(tmp_path / "whole", num_trials=3)

    command = (
        "from pathlib import Path; from tests.tuning.toy_study import tune_toy; tune_toy(Path({!r}), num_trials=3)"
    )
    killed = subprocess.Popen(
        [sys.executable, "-c", command.format(str(tmp_path / "killed"))],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    deadline = time.monotonic() + 300
    while not list((tmp_path / "killed").glob("tuning/toy/*/trials/0001/checkpoints/step-*.json")):
        assert time.monotonic() < deadline
        assert killed.poll() is None
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    resumed = tune_toy(tmp_path / "killed", num_trials=3)

    states = [
        [(r.state, r.drawn, r.best_values) for r in trials(tmp_path / name, manifest)]
        for name, manifest in (("whole", whole), ("killed", resumed))
    ]
    assert states[0] == states[1]


@pytest.mark.slow
def test_run_tune_as_spark_tasks_finds_what_processes_find(tmp_path, spark):
    write_prepared(tmp_path, num_users=120)

    here = tune_toy(tmp_path, study="here")
    there = tune_toy(tmp_path, spark, study="there", executor="spark", num_parallel=1)

    values = [[r.best_values for r in trials(tmp_path, m, m.name)] for m in (here, there)]
    assert values[0] == values[1]


def test_run_tune_refuses_an_unknown_key_before_the_first_trial(tmp_path):
    write_prepared(tmp_path, num_users=120)

    with pytest.raises(ConfigError, match="unknown key 'model.item_dimm'. Did you mean 'model.item_dim'"):
        tune_toy(tmp_path, space={"model.item_dimm": {"low": 4, "high": 8}})

    assert not (tmp_path / "tuning").exists()


@pytest.mark.parametrize("where", ["tuning", "training"])
def test_run_tune_refuses_a_metric_that_is_always_1_before_the_first_trial(tmp_path, where):
    storage, _ = write_prepared(tmp_path, num_users=150)
    model, training, config = toy_configs()
    if where == "tuning":
        config = dataclasses.replace(config, metric="hit_rate@10")
    else:
        training = dataclasses.replace(training, metric="hit_rate@10")

    with pytest.raises(ConfigError, match="hit_rate@10 of the target and 9 validation negatives is always 1"):
        run_tune(None, TuningInputs(storage, "toy", "blind", model, training, config, EvaluationConfig(), 1))

    assert not storage.exists("tuning/blind")


def test_a_studys_recipe_knows_how_the_training_data_is_cut(tmp_path):
    _, prepared = write_prepared(tmp_path, num_users=150)
    table = prepared.tables["sequences/train"]
    other = dataclasses.replace(
        prepared, tables={**prepared.tables, "sequences/train": dataclasses.replace(table, files=table.files[1:])}
    )

    first, second = (tuning_recipe(data, *toy_configs(), 1) for data in (prepared, other))

    assert first.digest != second.digest


@pytest.mark.parametrize(("name", "metric"), [("a2svd", "group_auc"), ("sasrec", "catalogue_ndcg@10")])
def test_trials_are_judged_by_the_metric_of_the_models_family(tmp_path, name, metric):
    storage, prepared = write_prepared(tmp_path, num_users=120)
    model, training, config = toy_configs()
    model = dataclasses.replace(model, name=name)

    inputs = TuningInputs(storage, "toy", "toy", model, training, config, EvaluationConfig(), 1)
    recipe = tuning_recipe(prepared, model, training, config, seed=1)

    assert inputs.metric == recipe.settings["training"]["metric"] == metric
