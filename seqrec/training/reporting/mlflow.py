"""A run's settings and scalars in MLflow; needs the extra `seqrec[mlflow]`, and no server."""

import json
import os
import uuid
from collections.abc import Mapping
from typing import Any

from seqrec.core.errors import ConfigError
from seqrec.core.storage import Storage

_EXPERIMENT = "seqrec"
_TAG_FILE = "mlflow_tag.txt"  # File of an attempt that holds the tag of its MLflow run, to find it after a restart.


class MlflowLog:
    """The MLflow run of one of our runs; training that resumes adds to it.

    Args:
        uri: where MLflow keeps its runs: a folder as file:///..., a server, or "databricks".
        run: our run's name.
        tag: text that no other attempt has, not even one of another workdir with equal settings.
        settings: logged as parameters, nested keys joined by dots.

    Raises:
        ConfigError: mlflow is not installed.
    """

    def __init__(self, uri: str, run: str, tag: str, settings: Mapping[str, Any]):
        if uri.startswith("file:"):
            # Newer versions require this before they use a plain folder.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        try:
            from mlflow import MlflowClient
        except ImportError:
            raise ConfigError(
                f"training.mlflow={uri} but mlflow is not installed: pip install 'seqrec[mlflow]', or set it to null."
            ) from None
        self._client = MlflowClient(tracking_uri=uri)
        experiment = self._experiment()
        found = self._client.search_runs([experiment], filter_string=f"tags.attempt = '{tag}'", max_results=1)
        if found:
            self._id = found[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
            return
        created = self._client.create_run(experiment, run_name=run, tags={"attempt": tag})
        self._id = created.info.run_id
        for key, value in flattened(settings).items():
            self._client.log_param(self._id, key, value)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Logs scalars. "@" becomes "_at_", as names in MLflow may not contain it."""
        for name, value in values.items():
            self._client.log_metric(self._id, name.replace("@", "_at_"), float(value), step=step)

    def close(self, failed: bool = False) -> None:
        self._client.set_terminated(self._id, status="FAILED" if failed else "FINISHED")

    def _experiment(self) -> str:
        # On Databricks an experiment's name is a path in the workspace; its default belongs to the notebook or job.
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", _EXPERIMENT)
        existing = self._client.get_experiment_by_name(name)
        return existing.experiment_id if existing is not None else self._client.create_experiment(name)


def attempt_tag(storage: Storage, attempt_path: str) -> str:
    """The attempt's tag, drawn once. The attempt's id would not do: runs with equal settings share it."""
    path = f"{attempt_path}/{_TAG_FILE}"
    if not storage.exists(path):
        storage.write_bytes(path, uuid.uuid4().hex.encode())
    return storage.read_bytes(path).decode()


def flattened(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as one level, such as {"training.loss.num_negatives": "4"}."""
    flat: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, str) else json.dumps(value)
    return flat
