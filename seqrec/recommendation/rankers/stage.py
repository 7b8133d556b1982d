"""The `rank` stage: fits a learned last stage on the candidates of validation, or measures it on those of test."""

import dataclasses
import json
import logging
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from seqrec.core.config import recipe_settings
from seqrec.core.console import print_table
from seqrec.core.errors import DataError
from seqrec.core.manifest import Attempt, Dataset, Manifest, Recipe, digest_of
from seqrec.core.stage import StageOutput
from seqrec.core.storage import Storage
from seqrec.events.histories import are_found_in
from seqrec.events.ragged import column
from seqrec.events.vocabulary import ITEMS, read_vocabulary
from seqrec.neighbours.config import candidates_name
from seqrec.recommendation.candidates.stored import candidate_files
from seqrec.recommendation.rankers.card import importances_picture
from seqrec.recommendation.rankers.measuring import NDCG, measure, measured_table
from seqrec.recommendation.rankers.rank_files import (
    GROUP,
    HELD_OUT,
    IS_TARGET,
    TIME,
    USER_KEY,
    RankJob,
    fit_schema,
    ranks_schema,
    write_fit_rows,
    write_ranks,
)
from seqrec.recommendation.rankers.ranker import (
    CARD,
    MODEL,
    PICTURE,
    RANKERS,
    RankerInputs,
    StoredRanker,
    found_by,
    open_features,
    ranker_inputs,
    read_ranker,
)
from seqrec.reranking.config import RankerConfig
from seqrec.reranking.fit_rows import FitRows
from seqrec.reranking.learner import FittedModel, fit
from seqrec.scoring.run import TrainedRun, read_run
from seqrec.tables.row_files import FileTask, write_row_files
from seqrec.tables.sessions import own_session

_LOG = logging.getLogger(__name__)


def run_rank(
    spark: SparkSession, storage: Storage, name: str, config: RankerConfig, seed: int, force: bool = False
) -> Manifest:
    """Makes `rankers/<name>` from the validation candidates of `prepared/<name>`; or `rankers/<name>-test`, the
    measured ranker.

    Raises:
        SeqrecError: something is not there or does not belong together, or no target is among the candidates.
    """
    prepared = Dataset(storage, "prepared", name).require("prepare")
    candidates = read_candidates(storage, name, prepared, config.histories)
    ranker_name = config.name or name
    if config.histories == "test":
        return _measure_published(spark, storage, ranker_name, prepared, candidates, config, seed, force)
    runs = tuple(_read_run(storage, run, prepared) for run in config.runs)
    recipe = Recipe(
        stage="rank",
        settings={**recipe_settings(config), "seed": seed},
        inputs=_input_digests(prepared, candidates) | {f"run {run.name}": run.manifest.content for run in runs},
    )
    output = StageOutput(Dataset(storage, RANKERS, ranker_name), recipe, force, resumes=True)
    if (current := output.current()) is not None:
        _print_measured(current)
        return current
    inputs = RankerInputs(
        candidates=candidates,
        prepared=prepared,
        runs=runs,
        without=config.without,
        num_ranked=config.num_ranked,
        pairs_at_once=config.pairs_at_once,
        tensorflow_threads=config.tensorflow_threads,
    )
    job = _job(storage, inputs, config, seed)
    manifest = _fit(own_session(spark), output.begin(), job, config)
    _print_measured(manifest)
    return manifest


def read_candidates(storage: Storage, name: str, prepared: Manifest, histories: str) -> Manifest:
    """
    Raises:
        DataError: there are none, or they were made from other data.
    """
    candidates = Dataset(storage, "candidates", candidates_name(name, histories)).manifest()
    if candidates is None:
        raise DataError(
            f"candidates '{candidates_name(name, histories)}': not there or not finished. Run the job 'candidates' "
            f"with --set candidates.histories={histories} first."
        )
    if not are_found_in(candidates, prepared, histories):
        raise DataError(
            f"candidates '{candidates.name}' were made from other data than prepared '{name}' holds now: run the job "
            f"'candidates' with --set candidates.histories={histories} again."
        )
    return candidates


def _read_run(storage: Storage, name: str, prepared: Manifest) -> TrainedRun:
    run = read_run(storage, name, prepared)
    trained_on = run.manifest.inputs.get("prepared")
    if trained_on != prepared.content:
        raise DataError(
            f"ranker.runs: run '{name}' was trained on other data ({trained_on}) than prepared '{prepared.name}' "
            f"({prepared.content}), so it may know the targets: train it on that data, or leave it out."
        )
    return run


def _input_digests(prepared: Manifest, candidates: Manifest) -> dict[str, str]:
    return {
        "prepared": prepared.content,
        "vocabulary": prepared.table(ITEMS).content,
        "candidates": candidates.content + candidates.recipe,
    }


def _job(storage: Storage, inputs: RankerInputs, config: RankerConfig, seed: int) -> RankJob:
    users = inputs.prepared.table(f"sequences/{config.histories}").rows
    return RankJob(
        root=storage.root,
        inputs=inputs,
        batch_size=config.batch_size,
        seed=seed,
        held_out_share=config.held_out_share,
        chosen_share=min(1.0, config.max_users / max(1, users)),
    )


def _fit(spark: SparkSession, attempt: Attempt, job: RankJob, config: RankerConfig) -> Manifest:
    storage, inputs = attempt.storage, job.inputs
    features = open_features(storage, inputs, read_vocabulary(storage, inputs.prepared)).features.names
    tasks = _tasks(attempt, inputs, "fit_rows")
    facts = write_row_files(spark, storage.root, tasks, fit_schema(features), partial(write_fit_rows, job))
    rows, held_out = read_fit_rows(storage, [task.output for task in tasks], features)
    model = fit(features, rows, held_out, config, job.seed)
    text = model.to_text()
    storage.write_bytes(f"{attempt.path}/{MODEL}", text.encode())
    ranker = StoredRanker(attempt.dataset.name, f"{attempt.path}/{MODEL}", config.learner, features)
    measuring = dataclasses.replace(job, ranker=ranker, only_held_out=True)
    measured, users = _measure(spark, attempt, measuring, config)
    importances = dict(sorted(model.importances().items(), key=lambda each: -each[1]))
    details = {
        "learner": config.learner,
        "features": list(features),
        "importances": importances,
        "measured": measured,
        "measured_on": "validation targets of the users held out",
        "runs": {run.name: run.manifest.content for run in inputs.runs},
        "without": list(inputs.without),
        "num_ranked": inputs.num_ranked,
        "vocabulary": inputs.prepared.table(ITEMS).content,
        "candidates": found_by(inputs.candidates),
    }
    card = {"name": attempt.dataset.name, **details}
    storage.write_bytes(f"{attempt.path}/{CARD}", (json.dumps(card, indent=1, default=str) + "\n").encode())
    storage.write_bytes(f"{attempt.path}/{PICTURE}", importances_picture(importances))
    for scratch in ("fit_rows", "ranks"):
        storage.delete(f"{attempt.path}/{scratch}")
    counts = {
        "users": sum(each["users"] for each in facts),
        "targets_fitted_on": len(rows),
        "targets_held_out": len(held_out),
        "users_measured": users,
        **_size_of(model),
    }
    return attempt.publish(counts=counts, details=json.loads(json.dumps(details)), content=digest_of(text))


def _measure_published(
    spark: SparkSession,
    storage: Storage,
    name: str,
    prepared: Manifest,
    candidates: Manifest,
    config: RankerConfig,
    seed: int,
    force: bool,
) -> Manifest:
    manifest = read_ranker(storage, name, prepared)
    inputs = ranker_inputs(storage, manifest, candidates, prepared)
    settings = {"num_replicates": config.num_replicates, "confidence": config.confidence, "seed": seed}
    digests = _input_digests(prepared, candidates) | {"ranker": manifest.content + manifest.recipe}
    recipe = Recipe(stage="rank", settings={"histories": "test", **settings}, inputs=digests)
    output = StageOutput(Dataset(storage, RANKERS, f"{name}-test"), recipe, force, resumes=True)
    if (current := output.current()) is not None:
        _print_measured(current)
        return current
    attempt = output.begin()
    job = dataclasses.replace(_job(storage, inputs, config, seed), ranker=StoredRanker.of(manifest))
    measured, users = _measure(own_session(spark), attempt, job, config)
    storage.delete(f"{attempt.path}/ranks")
    details = {"measured": measured, "measured_on": "test targets", "ranker": name}
    made = attempt.publish(counts={"users_measured": users}, details=details, content=digest_of(measured))
    _print_measured(made)
    return made


def _measure(
    spark: SparkSession, attempt: Attempt, job: RankJob, config: RankerConfig
) -> tuple[dict[str, dict[str, Any]], int]:
    """The metrics of places, runs and ranker, and the number of rows."""
    storage = attempt.storage
    names = ["places", *(f"logits of {run.name}" for run in job.inputs.runs), "ranker"]
    tasks = _tasks(attempt, job.inputs, "ranks")
    write_row_files(spark, storage.root, tasks, ranks_schema(len(names)), partial(write_ranks, job))
    tables = []
    for task in tasks:
        with storage.open_input(task.output) as stream:
            tables.append(pq.read_table(stream))
    table = pa.concat_tables(tables).combine_chunks()
    if not table.num_rows:
        raise DataError(f"ranker '{attempt.dataset.name}': nobody to measure with. Raise ranker.held_out_share.")
    ranks = np.stack([column(table, f"rank_{number}") for number in range(len(names))], axis=1)
    measured = measure(
        names,
        column(table, USER_KEY),
        ranks,
        seed=job.seed,
        num_replicates=config.num_replicates,
        confidence=config.confidence,
    )
    return measured, table.num_rows


def read_fit_rows(storage: Storage, paths: list[str], features: tuple[str, ...]) -> tuple[FitRows, FitRows]:
    """The rows of all files, and those of the users held out, groups in order of user and time."""
    parts = []
    for number, path in enumerate(paths):
        with storage.open_input(path) as stream:
            table = pq.read_table(stream).combine_chunks()
        if table.num_rows:
            parts.append((number, table))
    if not parts:
        empty = FitRows(np.zeros((0, len(features)), np.float32), np.zeros(0, np.bool_), np.zeros(0, np.int64))
        return empty, empty
    of_all = {name: np.concatenate([column(part, name) for _, part in parts]) for name in (IS_TARGET, HELD_OUT)}
    keys = {name: np.concatenate([column(part, name) for _, part in parts]) for name in (USER_KEY, TIME, GROUP)}
    file = np.concatenate([np.full(part.num_rows, number) for number, part in parts])
    is_first = np.ones(len(file), np.bool_)
    is_first[1:] = (np.diff(file) != 0) | (np.diff(keys[GROUP]) != 0)
    starts = np.flatnonzero(is_first)
    values = np.empty((len(file), len(features)), np.float32)
    for number, name in enumerate(features):
        values[:, number] = np.concatenate([column(part, name) for _, part in parts])
    rows = FitRows(values, of_all[IS_TARGET], np.diff(np.append(starts, len(file))))
    order = np.lexsort((keys[TIME][starts], keys[USER_KEY][starts]))
    is_held = of_all[HELD_OUT][starts][order]
    return rows.take(order[~is_held]), rows.take(order[is_held])


def _tasks(attempt: Attempt, inputs: RankerInputs, folder: str) -> list[FileTask]:
    return [
        FileTask(number, each, f"{attempt.path}/{folder}/part-{number:05d}.parquet")
        for number, each in enumerate(candidate_files(inputs.prepared, inputs.candidates))
    ]


def _size_of(model: FittedModel) -> dict[str, int]:
    return {"trees": model.num_trees} if hasattr(model, "num_trees") else {}


def _print_measured(manifest: Manifest) -> None:
    users = f"{manifest.counts['users_measured']:,}"
    print_table(measured_table(manifest.details["measured"], f"{manifest.details['measured_on']} ({users})"))
    for name, metrics in manifest.details["measured"].items():
        _LOG.info("  %s: %s %.4f", name, NDCG, metrics[NDCG]["value"])
