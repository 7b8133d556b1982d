"""The `candidates` stage: the items worth scoring of every history, row by row beside the histories' own files."""

import json
import logging
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.types import ArrayType, ByteType, IntegerType, StringType, StructField, StructType

from seqrec.core import columns as C
from seqrec.core.config import recipe_settings
from seqrec.core.console import print_table
from seqrec.core.manifest import Dataset, Manifest, Recipe
from seqrec.core.stage import StageOutput
from seqrec.core.storage import Storage
from seqrec.events.histories import files_digest, read_histories
from seqrec.events.vocabulary import Vocabulary, read_vocabulary
from seqrec.neighbours.build import NEIGHBOURS, NeighbourInputs, build_neighbours
from seqrec.neighbours.config import (
    CANDIDATES,
    FINDERS,
    LATEST,
    RETRIEVAL,
    TRAINING,
    CandidatesConfig,
    candidates_name,
)
from seqrec.neighbours.finder import Candidates, num_rows_with_items
from seqrec.recommendation.candidates.recall import count_found, recall_results, recall_table
from seqrec.recommendation.candidates.sources import CandidateSources, read_retrieval_run, sources_at
from seqrec.recommendation.candidates.training_lists import training_candidates
from seqrec.scoring.run import TrainedRun
from seqrec.tables.files import describe_table
from seqrec.tables.row_files import FileTask, RowFile, check_num_users, write_row_files
from seqrec.tables.sessions import adaptive_session

_WITHOUT = "users_without_retrieval"
_USERS_AT_ONCE = 512
_LOG = logging.getLogger(__name__)

SCHEMA = StructType(
    [
        StructField(C.USER, StringType(), nullable=False),
        StructField(C.CANDIDATE_ITEMS, ArrayType(IntegerType(), containsNull=False), nullable=False),
        StructField(C.CANDIDATE_SOURCES, ArrayType(ByteType(), containsNull=False), nullable=False),
    ]
)
_ARROW = pa.schema(
    [(C.USER, pa.string()), (C.CANDIDATE_ITEMS, pa.list_(pa.int32())), (C.CANDIDATE_SOURCES, pa.list_(pa.int8()))]
)
# Lists of training targets have the target beside them, by which training checks that it reads the right list.
_TRAINING_SCHEMA = StructType([*SCHEMA.fields, StructField(C.TARGET_ITEM, IntegerType(), nullable=False)])
_TRAINING_ARROW = _ARROW.append(pa.field(C.TARGET_ITEM, pa.int32()))


def candidates_recipe(storage: Storage, name: str, config: CandidatesConfig) -> Recipe:
    """What decides the candidates; needs neither Spark nor TensorFlow.

    Raises:
        DataError: the prepared data or the retrieval run is not there, or they do not go together.
    """
    prepared = Dataset(storage, "prepared", name).require("prepare")
    run = read_retrieval_run(storage, config.retrieval_run, config.histories, prepared)
    ingested = Dataset(storage, "ingested", name).manifest()
    items = ingested.tables["items"].content if ingested is not None and "items" in ingested.tables else "none"
    inputs = {"prepared": prepared.content, "files": files_digest(prepared, config.histories), "items": items}
    if run is not None:
        inputs[RETRIEVAL] = run.manifest.content
    return Recipe(stage="candidates", settings=recipe_settings(config), inputs=inputs)


def run_candidates(
    spark: SparkSession, storage: Storage, name: str, config: CandidatesConfig, force: bool = False
) -> Manifest:
    """Makes `candidates/<name>` (`<name>-test` when measuring) from `prepared/<name>` and the metadata.

    Measured candidates end in a table of their recall.

    Raises:
        DataError: the prepared data or the retrieval run is not there, or they do not go together.
    """
    prepared = Dataset(storage, "prepared", name).require("prepare")
    run = read_retrieval_run(storage, config.retrieval_run, config.histories, prepared)
    recipe = candidates_recipe(storage, name, config)
    dataset = Dataset(storage, "candidates", candidates_name(name, config.histories))
    output = StageOutput(dataset, recipe, force, resumes=True)
    if (current := output.current()) is not None:
        _print_recall(current)
        return current
    vocabulary = read_vocabulary(storage, prepared)
    attempt = output.begin()
    session = adaptive_session(spark)
    built = f"{attempt.path}/{NEIGHBOURS}/sizes.json"
    if not storage.exists(built):
        sizes = build_neighbours(NeighbourInputs(session, storage, prepared, vocabulary, config), attempt)
        storage.write_bytes(built, json.dumps(sizes).encode())
    tasks = [
        FileTask(number, (file.path,), f"{attempt.path}/{CANDIDATES}/part-{number:05d}.parquet")
        for number, file in enumerate(prepared.table(f"sequences/{config.histories}").files)
    ]
    newest = int(json.loads(storage.read_bytes(built))["newest_timestamp"])
    job = _Job(storage.root, attempt.path, prepared.to_json(), config, run, newest)
    schema, arrow = (_TRAINING_SCHEMA, _TRAINING_ARROW) if config.histories == TRAINING else (SCHEMA, _ARROW)
    facts = write_row_files(session, storage.root, tasks, arrow, partial(_find_for_file, job))
    counted = _total(facts)
    table = describe_table(session, attempt, CANDIDATES, schema)
    check_num_users(attempt, table.rows, _num_lists(prepared, config.histories))
    recall = recall_results(counted) if config.histories not in (LATEST, TRAINING) else None
    manifest = attempt.publish(
        tables={CANDIDATES: table},
        counts={
            "targets" if config.histories == TRAINING else "users": table.rows,
            **{key: counted[key] for key in ("candidates", _WITHOUT) if key in counted},
        },
        details={
            "sources": list(FINDERS),
            "graph": json.loads(storage.read_bytes(built)),
            "newest_timestamp": newest,
            "recall": recall,
        },
    )
    found, whose = f"{counted['candidates']:,}", "training targets" if config.histories == TRAINING else "users"
    _LOG.info("candidates: %s for %s %s, %.0f s", found, f"{table.rows:,}", whose, manifest.seconds)
    if counted[_WITHOUT]:
        unknown = f"{counted[_WITHOUT]:,}"
        _LOG.info("  %s users have no item that run '%s' knows: other sources only", unknown, config.retrieval_run)
    _print_recall(manifest)
    return manifest


def candidate_columns(candidates: Candidates) -> dict[str, pa.Array]:
    """Lists without the padding."""
    offsets = np.concatenate([[0], np.cumsum(candidates.counts)])
    is_real = candidates.items > 0
    return {
        C.CANDIDATE_ITEMS: pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(candidates.items[is_real])),
        C.CANDIDATE_SOURCES: pa.ListArray.from_arrays(
            pa.array(offsets, pa.int32()), pa.array(candidates.sources[is_real])
        ),
    }


@dataclass(frozen=True)
class _Job:
    """What travels to the workers."""

    root: str
    attempt_path: str
    prepared: str  # Manifest of the prepared data, as JSON.
    config: CandidatesConfig
    run: TrainedRun | None
    newest: int  # Time of the newest event.


_OPEN: dict[str, tuple[CandidateSources, Vocabulary]] = {}  # Attempt -> what a worker process has opened of it.


def _find_for_file(job: _Job, task: FileTask, file: RowFile) -> dict[str, Any]:
    """One file of histories, in a Spark worker: a few hundred users at a time."""
    storage, path = Storage(job.root), job.attempt_path
    if path not in _OPEN:
        _OPEN.clear()
        vocabulary = read_vocabulary(storage, Manifest.from_json(job.prepared, "the prepared data's manifest"))
        _OPEN[path] = sources_at(storage, path, job.config, job.run, vocabulary), vocabulary
    sources, vocabulary = _OPEN[path]
    if job.config.histories == TRAINING:
        return _find_for_training_file(job, sources, task, file)
    measured = job.config.histories != LATEST
    counted: Counter[str] = Counter(candidates=0)
    for histories in read_histories(storage, task.inputs[0], _USERS_AT_ONCE, job.newest, with_targets=measured):
        lists = sources.lists(histories)
        candidates = sources.merge(lists, len(histories))
        file.write({C.USER: histories.users, **candidate_columns(candidates)})
        counted["candidates"] += int(candidates.counts.sum())
        if RETRIEVAL in lists:
            counted[_WITHOUT] += len(histories) - num_rows_with_items(lists[RETRIEVAL])
        if measured:
            counted.update(count_found(histories, lists, candidates, vocabulary.train_count))
    return dict(counted)


def _find_for_training_file(job: _Job, sources: CandidateSources, task: FileTask, file: RowFile) -> dict[str, Any]:
    """One file of training rows: a list for each of its targets."""
    most = job.config.num_recent_items
    if job.run is not None:
        most = max(most, job.run.config.max_history_length)
    found = training_candidates(
        sources, Storage(job.root), task.inputs[0], task.number, job.config.train_share, most, _USERS_AT_ONCE
    )
    num_found = 0
    for targets, candidates in found:
        file.write({C.USER: targets.users, **candidate_columns(candidates), C.TARGET_ITEM: targets.target_items})
        num_found += int(candidates.counts.sum())
    return {"candidates": num_found}


def _num_lists(prepared: Manifest, histories: str) -> int:
    """How many lists there are to find: one for each row, and for training rows one for each target."""
    table = prepared.table(f"sequences/{histories}")
    return sum(file.targets or 0 for file in table.files) if histories == TRAINING else table.rows


def _total(facts: list[dict[str, Any]]) -> Counter[str]:
    total: Counter[str] = Counter(candidates=0)
    for each in facts:
        total.update(each)
    return total


def _print_recall(manifest: Manifest) -> None:
    if manifest.details["recall"]:
        settings = manifest.settings
        print_table(recall_table(manifest.details["recall"], settings["histories"], settings["max_candidates"]))
