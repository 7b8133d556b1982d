"""An exported run in MLflow: logged with its numbers, registered as a model, and served from there.

The model that MLflow serves is a SavedModel and this module, `_load_pyfunc`, which reads it: nothing is pickled.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seqrec.core.errors import ConfigError
from seqrec.recommendation.config import ExportConfig

_UNITY_CATALOG = "databricks-uc"


def log_to_mlflow(config: ExportConfig, card: Mapping[str, Any], folder: Path) -> None:
    """Logs the exported model, its settings and metrics as one MLflow run; registers it if `mlflow_model` is set.

    Args:
        folder: local folder with `saved_model/` and `card.md`.

    Raises:
        ConfigError: MLflow is not installed.
    """
    try:
        import mlflow
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
        from mlflow.types.schema import Array
    except ImportError:
        raise ConfigError(
            f"export.mlflow_tracking_uri is {config.mlflow_tracking_uri}, but MLflow is not installed: "
            "run pip install mlflow-skinny, or leave the key out."
        ) from None
    assert config.mlflow_tracking_uri is not None
    signature = ModelSignature(
        inputs=Schema(
            [ColSpec(Array(DataType.string), "item_ids"), ColSpec(Array(DataType.long), "timestamps")],
        ),
        outputs=Schema([ColSpec(Array(DataType.string), "item_ids"), ColSpec(Array(DataType.double), "scores")]),
        params=ParamSchema([ParamSpec("k", DataType.integer, 10), ParamSpec("as_of", DataType.long, 0)]),
    )
    if config.mlflow_tracking_uri.startswith("file:"):  # Newer versions of MLflow require it for a plain folder.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(config.mlflow_tracking_uri)
    if config.mlflow_model and config.mlflow_model.count(".") == 2:  # catalog.schema.model
        mlflow.set_registry_uri(_UNITY_CATALOG)
    mlflow.set_experiment(config.mlflow_experiment)
    with mlflow.start_run(run_name=card["run"]):
        settings = _flat({"model": card["model"], "data": card["data"]})
        mlflow.log_params({key: str(value)[:500] for key, value in settings})
        numbers = [(key, value) for key, value in _flat(card["metrics"]) if isinstance(value, int | float)]
        mlflow.log_metrics({key.replace("@", "_at_").replace(",", ""): float(value) for key, value in numbers})
        mlflow.log_artifact(str(folder / "card.md"))
        mlflow.pyfunc.log_model(
            "model",
            loader_module=__name__,
            data_path=str(folder / "saved_model"),
            signature=signature,
            pip_requirements=[f"{name}=={card['versions'][name]}" for name in ("seqrec", "tensorflow", "pandas")],
            registered_model_name=config.mlflow_model,
        )


class ListsModel:
    """The model that `mlflow.pyfunc.load_model` returns: it lists the best items after each history of a table.

    Args:
        folder: folder of the SavedModel.
    """

    def __init__(self, folder: str):
        import tensorflow as tf

        self._model = tf.saved_model.load(folder)  # Kept because a signature does not keep its look-up tables alive.
        self._top_k = self._model.signatures["top_k"]

    def predict(self, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """One list of items per row.

        Args:
            model_input: `item_ids` (lists of strings) and `timestamps` (lists of seconds since 1970), of equal lengths.
            params: `k`, and `as_of` in seconds since 1970; 0 means one second after each history's last event.
        Returns: `item_ids` and `scores`, lists of at most k.
        """
        import tensorflow as tf

        wanted = {"k": 10, "as_of": 0, **(params or {})}
        ids = [[str(item) for item in items] for items in model_input["item_ids"]]
        times = [[int(time) for time in row] for row in model_input["timestamps"]]
        width = max((len(row) for row in ids), default=0)
        as_of = [int(wanted["as_of"]) or max(row, default=0) + 1 for row in times]
        best = self._top_k(
            item_ids=tf.constant([row + [""] * (width - len(row)) for row in ids], tf.string, [len(ids), width]),
            timestamps=tf.constant([row + [0] * (width - len(row)) for row in times], tf.int64, [len(ids), width]),
            as_of=tf.constant(as_of, tf.int64),
            k=tf.constant(int(wanted["k"]), tf.int32),
        )
        found, scores = best["item_ids"].numpy().astype(str), best["scores"].numpy().astype(np.float64)
        lists = [[(i, s) for i, s in zip(*row, strict=True) if i] for row in zip(found, scores, strict=True)]
        return pd.DataFrame(
            {"item_ids": [[i for i, _ in row] for row in lists], "scores": [[s for _, s in row] for row in lists]}
        )


def _load_pyfunc(path: str) -> ListsModel:
    """Loads the model; MLflow looks for a function of this name in the loader module."""
    return ListsModel(path)


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in values.items():
        pairs += _flat(value, f"{prefix}{key}/") if isinstance(value, dict) else [(f"{prefix}{key}", value)]
    return pairs
