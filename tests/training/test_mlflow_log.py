import sys
from pathlib import Path

import pytest

from seqrec.core.errors import ConfigError
from seqrec.training.mlflow_log import MlflowLog, flattened


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


def test_mlflow_log_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)

    with pytest.raises(ConfigError, match=r"mlflow is not installed: pip install 'seqrec\[mlflow\]'"):
        MlflowLog(tmp_path.as_uri(), "demo", "abc-1", {})


def test_flattened_joins_keys() -> None:
    assert flattened({"a": {"b": None, "c": [1]}, "d": "x"}) == {"a.b": "null", "a.c": "[1]", "d": "x"}
