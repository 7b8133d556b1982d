"""The `export` stage: writes a run as a SavedModel that needs TensorFlow alone, and its card."""

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from seqrec.core.columns import ITEM, ITEM_INDEX
from seqrec.core.config import recipe_settings
from seqrec.core.errors import DataError
from seqrec.core.manifest import Recipe, digest_of
from seqrec.core.stage import log_skipped
from seqrec.core.storage import Storage, scratch_folder
from seqrec.events.vocabulary import ITEMS, read_names, read_vocabulary
from seqrec.recommendation.config import ExportConfig
from seqrec.recommendation.export.model_card import build_card, card_text, evaluations_of
from seqrec.scoring.run import TrainedRun, read_run
from seqrec.scoring.tensorflow_process import load_tensorflow

_LOG = logging.getLogger(__name__)
_EXAMPLE_TIME = 1_500_000_000


def export_path(run: str) -> str:
    """The folder of the exported model and its card, relative to the workdir."""
    return f"runs/{run}/export"


def export_recipe(storage: Storage, run: str, config: ExportConfig) -> Recipe:
    """The recipe of the export; needs neither Spark nor TensorFlow."""
    manifest = read_run(storage, run).manifest
    inputs = {"run": manifest.content, "evaluations": digest_of(evaluations_of(storage, manifest))}
    return Recipe(stage="export", settings=recipe_settings(config), inputs=inputs)


def read_card(storage: Storage, run: str) -> dict[str, Any] | None:
    """The card of a finished export; None when there is none."""
    path = f"{export_path(run)}/card.json"
    if not storage.exists(path):
        return None
    card: dict[str, Any] = json.loads(storage.read_bytes(path))
    return card


def run_export(storage: Storage, run: str, config: ExportConfig, force: bool = False) -> dict[str, Any]:
    """Writes `runs/<run>/export/`: `saved_model/`, `card.md` and, last, `card.json`, which is returned.

    If the settings name an MLflow server, also logs the export there, once.

    Raises:
        SeqrecError: the run is missing, an item id has a line break, or MLflow is needed and not installed.
    """
    recipe = export_recipe(storage, run, config)
    card = read_card(storage, run)
    if card is not None and card["recipe"] == recipe.digest and not force:
        log_skipped("export", run)
    else:
        card = _export(storage, run, config, recipe)
        _LOG.info("export: '%s' is in %s", run, storage.uri(export_path(run)))
    target = {key: value for key, value in asdict(config).items() if key.startswith("mlflow")}
    if config.mlflow_tracking_uri is not None and card.get("logged_to") != target:
        _log(storage, run, config, card)
        card["logged_to"] = target
        _write_card(storage, run, card)
        _LOG.info("export: '%s' is logged to %s", run, config.mlflow_tracking_uri)
    return card


def _export(storage: Storage, run: str, config: ExportConfig, recipe: Recipe) -> dict[str, Any]:
    trained = read_run(storage, run)
    card = build_card(storage, trained, config, recipe)
    with scratch_folder() as scratch:
        folder = scratch / "export"
        folder.mkdir()
        first_id = save_model(storage, trained, config, folder / "saved_model")
        (folder / "card.md").write_text(card_text(card, first_id, _EXAMPLE_TIME), encoding="utf-8")
        storage.delete(export_path(run))
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                storage.upload(file, f"{export_path(run)}/{file.relative_to(folder).as_posix()}")
    _write_card(storage, run, card)
    return card


def _write_card(storage: Storage, run: str, card: dict[str, Any]) -> None:
    storage.write_bytes(f"{export_path(run)}/card.json", json.dumps(card, indent=1, default=str).encode())


def _log(storage: Storage, run: str, config: ExportConfig, card: dict[str, Any]) -> None:
    """Logs the files in the workdir, so that an earlier export can be logged without being made again."""
    from seqrec.recommendation.export.mlflow_model import log_to_mlflow

    local = storage.local(export_path(run))
    if local is not None:
        log_to_mlflow(config, card, local)
        return
    with scratch_folder() as scratch:
        for file in storage.list_files(export_path(run)):
            storage.download(file.path, scratch / file.path)
        log_to_mlflow(config, card, scratch / export_path(run))


def save_model(storage: Storage, run: TrainedRun, config: ExportConfig, folder: Path) -> str:
    """Saves the run's best weights as a SavedModel; returns the first item's id, for the card's example."""
    load_tensorflow()
    import tensorflow as tf

    from seqrec.recommendation.export.serving import ServedModel
    from seqrec.scoring.loaded_model import read_model
    from seqrec.scoring.scorer import stored_model

    vocabulary = read_vocabulary(storage, run.manifest)
    model = read_model(stored_model(storage, run, vocabulary, num_threads=0))
    with scratch_folder() as scratch:
        ids = scratch / "item_ids.txt"
        first_id = write_ids(storage, run, ids)
        served = ServedModel(
            model, ids, vocabulary.num_items, config.max_k, config.block_size, config.exclude_own_items
        )
        tf.saved_model.save(served, str(folder), signatures=served.signatures())
    return first_id


def write_ids(storage: Storage, run: TrainedRun, path: Path) -> str:
    """Writes the id of item index i to line i of a text file; returns the first id.

    Raises:
        DataError: an id has a line break, so that no text file can hold it.
    """
    _, ids = read_names(storage, run.manifest.table(ITEMS), ITEM_INDEX, ITEM)
    broken = pc.any(pc.match_substring_regex(ids, "[\r\n]")).as_py()
    if broken:
        raise DataError(
            f"run '{run.manifest.name}': an item id contains a line break, so the run cannot be exported. "
            "Fix the ids in the source and ingest them again."
        )
    with path.open("w", encoding="utf-8", newline="\n") as lines:
        for start in range(0, len(ids), 1 << 16):
            block: pa.Array = ids.slice(start, 1 << 16)
            lines.write("\n".join(block.to_pylist()) + "\n")
    return str(ids[0].as_py())
