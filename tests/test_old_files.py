"""What an earlier version has written is still read: manifests, runs, checkpoints, models that MLflow has logged.

`old_files/workdir.zip` was made at 6a82a67, before the packages were parted into rooms, from the toy data of
`tests/feed/prepared_data.py` (110 users, 20 items, 4 files): one epoch of each model with `small_training(num_epochs=1,
global_batch_size=40, num_streams=2, keep_last=1)`, and `after_two_epochs.npz`, all variables after two epochs without
a break. `old_files/mlflow_model.zip` is what `log_to_mlflow` of the same commit wrote with mlflow-skinny 3.17.2, of a
SavedModel that is made for the test: it lists the newest items of each history, with their times as scores.
"""

import importlib
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from seqrec.core.manifest import Dataset
from seqrec.core.storage import Storage
from seqrec.events.ragged import Ragged
from seqrec.events.rows import HistoryRows
from seqrec.scoring.run import read_run
from seqrec.scoring.scorer import run_scorer
from seqrec.training.stage import run_train
from tests.training.small_runs import SEED, newest_checkpoint, small_training

MODELS = ("a2svd", "sli_rec", "gru")


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    with zipfile.ZipFile(Path(__file__).parent / "old_files" / "workdir.zip") as archive:
        archive.extractall(tmp_path)
    return Storage(str(tmp_path / "workdir"))


@pytest.mark.parametrize("name", MODELS)
def test_a_run_is_up_to_date_and_goes_on_to_the_same_numbers(storage: Storage, name: str) -> None:
    run = f"toy-{name}"
    before = Dataset(storage, "runs", run).require("train")
    model = read_run(storage, run).config
    training = small_training(num_epochs=1, global_batch_size=40, num_streams=2, keep_last=1)

    skipped = run_train(storage, "toy", run, model, training, SEED, False)
    after_one_epoch = newest_checkpoint(storage, skipped)
    resumed = run_train(storage, "toy", run, model, replace(training, num_epochs=2), SEED, False)

    assert skipped == before
    with np.load(Path(storage.root.removeprefix("file://")).parent / "after_two_epochs.npz") as stored:
        expected = {key.removeprefix(f"{name}/"): stored[key] for key in stored.files if key.startswith(f"{name}/")}
    found = newest_checkpoint(storage, resumed)
    assert found.keys() == expected.keys()
    # Processors with other instructions round differently, and Adam makes a step of a gradient that is nothing but
    # rounding, such as the output bias has under a softmax. So all variables together are compared, with what the
    # second epoch has changed.
    for keys in ({key for key in expected if "moment" in key}, {key for key in expected if "moment" not in key}):
        difference = _distance({key: found[key] for key in keys}, expected)
        assert difference < 0.01 * _distance({key: after_one_epoch[key] for key in keys}, expected)


def _distance(some: dict[str, np.ndarray], other: Mapping[str, np.ndarray]) -> float:
    return float(np.sqrt(sum(np.square(value.astype(np.float64) - other[key]).sum() for key, value in some.items())))


@pytest.mark.parametrize("name", MODELS)
def test_a_run_scores(storage: Storage, name: str) -> None:
    run = read_run(storage, f"toy-{name}", Dataset(storage, "prepared", "toy").require("prepare"))
    rows = HistoryRows(
        items=Ragged.from_lengths(np.array([3, 5, 7], np.int32), np.array([2, 1])),
        timestamps=np.array([0, 86_400, 0]),
        first_timestamps=np.zeros(2, np.int64),
        as_of=np.full(2, 10 * 86_400),
    )

    scores = run_scorer(storage, run, 1000, 1).scores(rows, np.array([[1, 2, 3], [4, 5, 6]], np.int32))

    assert scores.shape == (2, 3)
    assert len(np.unique(scores)) > 1


@pytest.fixture
def logged_model(tmp_path: Path) -> Path:
    with zipfile.ZipFile(Path(__file__).parent / "old_files" / "mlflow_model.zip") as archive:
        archive.extractall(tmp_path)
    return tmp_path / "model"


def check_lists_the_newest(model: Any) -> None:
    histories = pd.DataFrame({"item_ids": [["a", "b", "c"], ["d"]], "timestamps": [[5, 7, 6], [1]]})

    lists = model.predict(histories, params={"k": 2})

    assert lists["item_ids"].to_list() == [["b", "c"], ["d"]]
    assert lists["scores"].to_list() == [[7.0, 6.0], [1.0]]


def test_a_logged_model_is_loaded_by_the_module_that_it_names(logged_model: Path) -> None:
    flavor = yaml.safe_load((logged_model / "MLmodel").read_text())["flavors"]["python_function"]

    loader = importlib.import_module(flavor["loader_module"])  # As MLflow does.

    assert flavor["loader_module"] == "seqrec.recommendation.mlflow_model"
    check_lists_the_newest(loader._load_pyfunc(str(logged_model / flavor["data"])))


def test_mlflow_loads_a_logged_model(logged_model: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs the extra seqrec[mlflow]")

    check_lists_the_newest(mlflow.pyfunc.load_model(str(logged_model)))
