import json
import tempfile

import pytest

from seqrec.core.storage import Storage
from seqrec.tuning.search import without_test_split
from seqrec.tuning.trial_process import TrialTask, run_process
from tests.feed.prepared_data import write_prepared
from tests.tuning.toy_study import MODEL, TRAINING

FOLDER = "tuning/toy/trials/0000"


@pytest.fixture
def task(tmp_path):
    storage, prepared = write_prepared(tmp_path, num_users=120)
    values = {"workdir": storage.root, "folder": FOLDER, "prepared": without_test_split(prepared).to_json()}
    return TrialTask(**values, model=MODEL, training=TRAINING, seed=1, asks=False, max_seconds=None)


def outcome(task):
    path = Storage(task.workdir).local(f"{FOLDER}/outcome.json")
    return json.loads(path.read_text()) if path.exists() else None


def test_run_process_ends_with_the_error_of_the_training(task):
    task.training["num_streams"] = 3

    status = run_process(task)

    assert status == 0
    assert outcome(task)["state"] == "failed"
    assert "num_streams" in outcome(task)["error"]
    assert "Traceback" in outcome(task)["traceback"]


def test_run_process_reads_by_the_reader_of_the_study(task):
    task.feed["reader"] = "papyrus"

    run_process(task)

    assert outcome(task)["state"] == "failed"
    assert "expected 'petastorm' or 'pyarrow', got 'papyrus'" in outcome(task)["error"]


def test_run_process_kills_a_trial_that_takes_too_long(task):
    object.__setattr__(task, "max_seconds", 1)

    status = run_process(task)

    assert status == -9
    assert outcome(task) is None
    assert Storage(task.workdir).exists(f"{FOLDER}/log.txt")


def test_run_process_leaves_nothing_of_a_killed_trial_in_the_temporary_folder(task, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv("TMPDIR", str(scratch))

    status = run_process(task, is_cancelled=lambda: any(scratch.rglob("seqrec-control-*")))

    assert status == -9
    assert list(scratch.iterdir()) == []
