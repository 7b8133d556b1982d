"""The `train` stage: prepared sequences in, a run out. Free of TensorFlow until workers start."""

import hashlib
import json
import tempfile
from dataclasses import asdict
from typing import Any

import pyarrow.parquet as pq
import yaml

from seqrec.core.config import plain
from seqrec.core.errors import ConfigError, DataError, StorageError, TrainingError
from seqrec.core.manifest import Attempt, Dataset, FileEntry, Manifest, Recipe, Table, digest_of
from seqrec.core.storage import Storage, scratch_folder
from seqrec.events.vocabulary import CATEGORIES, ITEMS
from seqrec.feed.plan import Layout, describe_plan, plan_epoch
from seqrec.models.config import ModelConfig
from seqrec.models.registry import load_options
from seqrec.training.config import FREE_SETTINGS, TrainingConfig
from seqrec.training.workers.worker import TrainingJob, stop_error

_SETTINGS = "settings.json"  # What an attempt was begun with.
_TRAIN_FILES = "train_files"  # Of a recipe's inputs: how the training data is cut into files.


def run_train(
    storage: Storage, name: str, run: str, model: ModelConfig, training: TrainingConfig, seed: int, force: bool
) -> Manifest:
    """Trains on `prepared/<name>` and writes `runs/<run>`; goes on where an earlier attempt was cut off.

    With `training.dry_run` only the plan is shown, and the prepared data's manifest returned.

    Raises:
        SeqrecError: one line about settings, data, storage or workers that cannot go on.
    """
    prepared = Dataset(storage, "prepared", name).require("prepare")
    load_options(model)
    files = prepared.table("sequences/train").files
    layout = layout_of(training, seed)
    plan = plan_epoch(files, layout, 0)
    check_prepared(prepared, model, training)
    if training.dry_run:
        print(describe_plan(plan, layout))
        return prepared

    dataset = Dataset(storage, "runs", run)
    recipe = _recipe(storage, prepared, model, training, seed)
    published = dataset.manifest()
    going_on = published if published is not None and published.recipe == recipe.digest else None
    if going_on is not None and not force and _is_finished(going_on, training):
        done = f"{going_on.details['epochs']} epochs"
        print(f"train: run '{run}' is up to date ({done}), skipped (--set force=true redoes it)")
        return going_on
    resume = training.resume == "auto" and not force
    if resume:
        _refuse_other_settings(dataset, recipe)
    attempt = dataset.begin(recipe, resume=resume)
    _write_beside(attempt, prepared, model, training, seed, recipe)
    job = TrainingJob(
        workdir=storage.uri(),  # Absolute: workers may run in another folder.
        prepared=prepared.to_json(),
        attempt_path=attempt.path,
        resume_path=f"{dataset.path}/{going_on.id}" if resume and going_on is not None else None,
        control="",
        model=model,
        training=training,
        seed=seed,
    )
    print(describe_plan(plan, layout))
    from seqrec.training.workers.watcher import launch

    state = launch(job, choose_launcher(training))
    if state["epoch"] < training.num_epochs and not state["stopped_early"]:
        raise stop_error(state["epoch"], state["step"], ", as asked")
    why = "no better metric for a while" if state["stopped_early"] else "all epochs done"
    print(
        f"train: run '{run}' ends after epoch {state['epoch']} ({why}); best is epoch {state['best_epoch'] + 1}, "
        f"{training.metric} {state['best_value']:.4f}."
    )
    return _publish(attempt, prepared, model, training, seed, state)


def layout_of(config: TrainingConfig, seed: int) -> Layout:
    """The feed's part of the settings."""
    return Layout(
        seed=seed,
        num_streams=config.num_streams,
        global_batch_size=config.global_batch_size,
        files_per_group=config.files_per_group,
        num_parts=config.gradient_accumulation,
        num_workers=config.num_workers,
    )


def check_prepared(prepared: Manifest, model: ModelConfig, training: TrainingConfig) -> None:
    """Refuses data that cannot give what the settings ask of it, which would show after an epoch, or never.

    Raises:
        ConfigError: histories are stored shorter than the model is to read, or a hit rate counts every candidate.
        DataError: there are no validation rows.
    """
    if not prepared.table("sequences/validation").rows:
        raise DataError(
            f"prepared '{prepared.name}': sequences/validation has no rows, so no epoch can be told to be the best. "
            "Move preparation.validation_boundary or test_boundary, or loosen its filters, and prepare the data again."
        )
    stored = prepared.details["max_stored_history"]
    if model.max_history_length > stored:
        raise ConfigError(
            f"model.max_history_length={model.max_history_length} but prepared '{prepared.name}' stores {stored} "
            f"events before a target: use at most {stored}, or prepare with a larger preparation.max_stored_history."
        )
    num_negatives = prepared.details["num_negatives"]["validation"]
    cutoffs = {"training.metrics_at": max(training.metrics_at, default=0)}
    if training.metric.startswith("hit_rate@"):
        cutoffs["training.metric"] = int(training.metric.partition("@")[2])
    for key, cutoff in cutoffs.items():
        if cutoff > num_negatives:
            raise ConfigError(
                f"{key}: hit_rate@{cutoff} of the target and {num_negatives} validation negatives is always 1: use a K "
                f"of at most {num_negatives}, or prepare with more preparation.num_validation_negatives."
            )


def train_files_digest(prepared: Manifest) -> str:
    """How the training data is cut: its content does not say which file holds which row, by which examples go."""
    return digest_of([(file.rows, file.targets) for file in prepared.table("sequences/train").files])


def choose_launcher(training: TrainingConfig) -> str:
    if training.launcher != "auto":
        return training.launcher
    return "in_process" if training.num_workers == 1 else "spark"


def _recipe(storage: Storage, prepared: Manifest, model: ModelConfig, training: TrainingConfig, seed: int) -> Recipe:
    """What decides the numbers. The number of epochs does not: a longer run goes on where a shorter one ended."""
    settings = {key: value for key, value in asdict(training).items() if key not in FREE_SETTINGS}
    inputs = {"prepared": prepared.content, "vocabulary": prepared.table(ITEMS).content}
    inputs[_TRAIN_FILES] = train_files_digest(prepared)
    if training.start_from:
        inputs["start_from"] = Dataset(storage, "runs", training.start_from).require("train").content
    all_settings = plain({"model": model, "training": settings, "seed": seed})
    return Recipe(stage="train", settings=all_settings, inputs=inputs)


def _is_finished(manifest: Manifest, training: TrainingConfig) -> bool:
    return manifest.details["stopped_early"] or manifest.details["epochs"] >= training.num_epochs


def _refuse_other_settings(dataset: Dataset, recipe: Recipe) -> None:
    """An unfinished attempt with a checkpoint is work that other settings must not delete unasked."""
    storage = dataset.storage
    for attempt_id in storage.list_folders(dataset.path):
        path = f"{dataset.path}/{attempt_id}"
        has_settings = storage.exists(f"{path}/{_SETTINGS}")
        is_finished = storage.exists(f"{path}/weights.npz")
        if is_finished or not has_settings or attempt_id.startswith(recipe.digest[:12]):
            continue
        if not any("/step-" in file.path for file in storage.list_files(f"{path}/checkpoints")):
            continue
        stored = json.loads(storage.read_bytes(f"{path}/{_SETTINGS}"))
        differing = differences(stored, {"settings": dict(recipe.settings), "inputs": dict(recipe.inputs)})
        raise TrainingError(
            f"Run '{dataset.name}' has unfinished training with other settings: {'; '.join(differing)}. Set these back "
            "to go on with it, set training.resume=never to start over, or name another training.run."
        )


def differences(before: Any, now: Any, path: str = "") -> list[str]:
    """Every place where two nests of settings differ, such as "training.num_streams was 8, now 4"."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted({*before, *now})
        inner = [differences(before.get(k), now.get(k), f"{path}.{k}" if path else str(k)) for k in keys]
        return [difference for part in inner for difference in part]
    if before == now:
        return []
    place = path.removeprefix("settings.")
    if path == f"inputs.{_TRAIN_FILES}":
        return ["the training data was cut into other files (preparation.num_streams_max and the like)"]
    if path.startswith("inputs."):
        return [f"the content of {path.removeprefix('inputs.')} was {before}, now {now}"]
    return [f"{place} was {before}, now {now}"]


def _write_beside(
    attempt: Attempt, prepared: Manifest, model: ModelConfig, training: TrainingConfig, seed: int, recipe: Recipe
) -> None:
    """What describes a run: its settings for people and for the next attempt, and the vocabulary it indexes by."""
    config = plain({"seed": seed, "model": model, "training": training})
    attempt.storage.write_bytes(f"{attempt.path}/config.yaml", yaml.safe_dump(config, sort_keys=False).encode())
    settings = {"settings": dict(recipe.settings), "inputs": dict(recipe.inputs)}
    attempt.storage.write_bytes(f"{attempt.path}/{_SETTINGS}", json.dumps(settings).encode())
    for name in (ITEMS, CATEGORIES):
        has_rows = prepared.table(name).rows > 0  # Data without metadata has no categories.
        if has_rows and not attempt.storage.exists(f"{attempt.path}/{name}.parquet"):
            _copy_table(attempt.storage, prepared.table(name), f"{attempt.path}/{name}.parquet", training.scratch)


def _copy_table(storage: Storage, table: Table, path: str, scratch: str | None) -> None:
    """All files of a table as one, a row group at a time."""
    try:
        with scratch_folder(scratch) as folder:
            local = folder / "table.parquet"
            writer: pq.ParquetWriter | None = None
            for file in table.files:
                with storage.open_input(file.path) as stream:
                    source = pq.ParquetFile(stream)
                    for number in range(source.num_row_groups):
                        part = source.read_row_group(number)
                        writer = writer or pq.ParquetWriter(local, part.schema, compression="zstd")
                        writer.write_table(part)
            if writer is None:
                raise StorageError(f"{storage.uri(path)}: the vocabulary has no files. Prepare the data again.")
            writer.close()
            storage.upload(local, path)
    except OSError as error:
        raise StorageError(
            f"{storage.uri(path)}: cannot copy the vocabulary by way of {scratch or tempfile.gettempdir()}: "
            f"{error.strerror or error}. Free some space or set training.scratch."
        ) from error


def _publish(
    attempt: Attempt,
    prepared: Manifest,
    model: ModelConfig,
    training: TrainingConfig,
    seed: int,
    state: dict[str, Any],
) -> Manifest:
    from seqrec.training.checkpoints import Checkpoints
    from seqrec.training.reporting.progress import history_csv

    storage = attempt.storage
    # Worker 0 writes it after each epoch's checkpoint: of one killed between the two the last row would be missing.
    storage.write_bytes(f"{attempt.path}/history.csv", history_csv(state["history"]))
    weights = Checkpoints(storage, attempt.path, training.keep_last, training.scratch).publish_best()
    tables = {}
    for name in (ITEMS, CATEGORIES):
        path = f"{attempt.path}/{name}.parquet"
        source = prepared.table(name)
        if not source.rows:
            tables[name] = Table(rows=0, content=source.content, files=())
            continue
        size = next(file.size for file in storage.list_files(attempt.path) if file.path == path)
        tables[name] = Table(
            rows=source.rows, content=source.content, files=(FileEntry(path=path, rows=source.rows, size=size),)
        )
    best = state["history"][state["best_epoch"]]
    details = {
        "weights": "weights.npz",
        "model": plain(model),
        "seed": seed,
        "prepared": prepared.name,
        **{key: prepared.details[key] for key in ("num_trained_items", "num_items", "num_categories")},
        "epochs": state["epoch"],
        "stopped_early": state["stopped_early"],
        "metric": training.metric,
        "best": best,
    }
    counts = {"steps": state["global_step"], "examples": state["global_step"] * training.global_batch_size}
    return attempt.publish(tables=tables, counts=counts, details=details, content=_digest(storage, weights))


def _digest(storage: Storage, path: str) -> str:
    digest = hashlib.sha256()
    with storage.open_input(path) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:32]
