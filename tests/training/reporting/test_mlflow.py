import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqrec.core.errors import ConfigError, StorageError
from seqrec.core.manifest import Manifest
from seqrec.training.reporting.mlflow import MlflowLog, flattened

Train = Callable[..., Manifest]


def test_mlflow_log_works_without_a_server(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs the extra seqrec[mlflow]")
    uri = (tmp_path / "mlruns").as_uri()
    log = MlflowLog(uri, "demo", "abc-1", {"seed": 1, "training": {"loss": {"num_negatives": 4}}})
    log.write(10, {"train/loss": 1.5, "epoch/ndcg@5": 0.25})
    log.close()

    MlflowLog(uri, "demo", "abc-1", {}).write(20, {"train/loss": 1.25})

    client = mlflow.MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name("seqrec").experiment_id])
    assert run.data.params == {"seed": "1", "training.loss.num_negatives": "4"}
    assert run.data.metrics == {"train/loss": 1.25, "epoch/ndcg_at_5": 0.25}
    assert [m.step for m in client.get_metric_history(run.info.run_id, "train/loss")] == [10, 20]


def runs_in(uri: str) -> Any:
    client = pytest.importorskip("mlflow").MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("seqrec")
    return [] if experiment is None else client.search_runs([experiment.experiment_id])


def test_mlflow_log_says_how_a_run_ended_and_that_it_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="needs the extra seqrec[mlflow]")
    uri = (tmp_path / "mlruns").as_uri()

    MlflowLog(uri, "demo", "abc", {}).close(failed=True)
    failed = runs_in(uri)[0].info.status
    log = MlflowLog(uri, "demo", "abc", {})
    going_on = runs_in(uri)[0].info.status
    log.close()

    assert [failed, going_on, runs_in(uri)[0].info.status] == ["FAILED", "RUNNING", "FINISHED"]


def test_runs_with_equal_settings_are_runs_of_their_own_in_mlflow(train: Train, tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="needs the extra seqrec[mlflow]")
    uri = (tmp_path / "mlruns").as_uri()

    for run in ("mlflow-a", "mlflow-b"):
        train(run=run, num_epochs=1, mlflow=uri)

    assert sorted(run.info.run_name for run in runs_in(uri)) == ["mlflow-a", "mlflow-b"]


def test_a_run_that_failed_goes_on_in_the_same_run_of_mlflow(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="needs the extra seqrec[mlflow]")
    from seqrec.training import loop

    uri = (tmp_path / "mlruns").as_uri()

    def fail(*_: Any) -> None:
        raise StorageError("cut off")

    with monkeypatch.context() as broken:
        broken.setattr(loop, "_epoch_row", fail)
        with pytest.raises(StorageError, match="cut off"):
            train(num_epochs=1, mlflow=uri, checkpoint_every_steps=10)
    failed = [run.info.status for run in runs_in(uri)]

    train(num_epochs=1, mlflow=uri, checkpoint_every_steps=10)

    assert failed == ["FAILED"]
    assert [run.info.status for run in runs_in(uri)] == ["FINISHED"]


def test_mlflow_log_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)

    with pytest.raises(ConfigError, match=r"mlflow is not installed: pip install 'seqrec\[mlflow\]'"):
        MlflowLog(tmp_path.as_uri(), "demo", "abc-1", {})


def test_flattened_joins_keys() -> None:
    assert flattened({"a": {"b": None, "c": [1]}, "d": "x"}) == {"a.b": "null", "a.c": "[1]", "d": "x"}
