from pathlib import Path

import pandas as pd
import pytest
import tensorflow as tf

from seqrec.core.storage import Storage
from seqrec.recommendation.config import ExportConfig
from seqrec.recommendation.export.stage import export_path, run_export
from tests.recommendation.world import DAY, START, item_id, write_run, write_world

mlflow = pytest.importorskip("mlflow", reason="needs the extra seqrec[mlflow]")


def test_a_registered_model_lists_what_the_saved_model_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (tmp_path / "mlruns").as_uri()
    storage = Storage(str(tmp_path / "work"))
    write_run(storage, write_world(storage), "a2svd", "a2svd")
    run_export(storage, "a2svd", ExportConfig(block_size=16))
    config = ExportConfig(block_size=16, mlflow_tracking_uri=uri, mlflow_model="lists")
    for _ in range(2):  # The export is there already: only logged, and once.
        run_export(storage, "a2svd", config)
    histories = pd.DataFrame(
        {
            "item_ids": [[item_id(4), item_id(9), "nonsense"], [item_id(21)]],
            "timestamps": [[START, START + DAY, START + 2 * DAY], [START]],
        }
    )

    served = mlflow.pyfunc.load_model("models:/lists/1")
    lists = served.predict(histories, params={"k": 5})

    saved = tf.saved_model.load(str(storage.local(f"{export_path('a2svd')}/saved_model")))
    best = saved.signatures["top_k"](
        item_ids=tf.constant([[*histories["item_ids"][0]], [item_id(21), "", ""]]),
        timestamps=tf.constant([[*histories["timestamps"][0]], [START, 0, 0]], tf.int64),
        as_of=tf.constant([START + 2 * DAY + 1, START + 1], tf.int64),
        k=tf.constant(5),
    )
    assert lists["item_ids"].to_list() == best["item_ids"].numpy().astype(str).tolist()
    assert lists["scores"].to_list() == [pytest.approx(row) for row in best["scores"].numpy().tolist()]
    (logged,) = mlflow.MlflowClient(tracking_uri=uri).search_runs(
        [mlflow.MlflowClient(tracking_uri=uri).get_experiment_by_name("seqrec").experiment_id]
    )
    assert logged.data.params["model/name"] == "a2svd"


def test_a_registered_name_needs_a_place_to_register() -> None:
    with pytest.raises(ValueError, match="mlflow_model is 'lists': set mlflow_tracking_uri too"):
        ExportConfig(mlflow_model="lists")
