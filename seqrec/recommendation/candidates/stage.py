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
from seqrec.neighbours.config import FINDERS, RETRIEVAL, CandidatesConfig
from seqrec.neighbours.finder import Candidates, num_rows_with_items
from seqrec.recommendation.candidates.recall import count_found, recall_results, recall_table
from seqrec.recommendation.candidates.sources import CandidateSources, read_retrieval_run, sources_at
from seqrec.scoring.run import TrainedRun
from seqrec.tables.files import describe_table
from seqrec.tables.row_files import FileTask, RowFile, check_num_users, write_row_files
from seqrec.tables.sessions import adaptive_session

CANDIDATES = "candidates"
CANDIDATE_ITEMS, CANDIDATE_SOURCES = "candidate_items", "candidate_sources"
_WITHOUT = "users_without_retrieval"
_USERS_AT_ONCE = 512
_LOG = logging.getLogger(__name__)

SCHEMA = StructType(
    [
        StructField(C.USER, StringType(), nullable=False),
        StructField(CANDIDATE_ITEMS, ArrayType(IntegerType(), containsNull=False), nullable=False),
        StructField(CANDIDATE_SOURCES, ArrayType(ByteType(), containsNull=False), nullable=False),
    ]
)
_ARROW = pa.schema(
    [(C.USER, pa.string()), (CANDIDATE_ITEMS, pa.list_(pa.int32())), (CANDIDATE_SOURCES, pa.list_(pa.int8()))]
)


def candidates_name(name: str, histories: str) -> str:
    """The name of the dataset: candidates that measure lie beside those that are used."""
    return name if histories == "latest" else f"{name}-{histories}"


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
    facts = write_row_files(session, storage.root, tasks, _ARROW, partial(_find_for_file, job))
    counted = _total(facts)
    table = describe_table(session, attempt, CANDIDATES, SCHEMA)
    check_num_users(attempt, table.rows, prepared.table(f"sequences/{config.histories}").rows)
    recall = recall_results(counted) if config.histories != "latest" else None
    manifest = attempt.publish(
        tables={CANDIDATES: table},
        counts={"users": table.rows, **{key: counted[key] for key in ("candidates", _WITHOUT) if key in counted}},
        details={
            "sources": list(FINDERS),
            "graph": json.loads(storage.read_bytes(built)),
            "newest_timestamp": newest,
            "recall": recall,
        },
    )
    found, users = f"{counted['candidates']:,}", f"{table.rows:,}"
    _LOG.info("candidates: %s for %s users, %.0f s", found, users, manifest.seconds)
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
        CANDIDATE_ITEMS: pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(candidates.items[is_real])),
        CANDIDATE_SOURCES: pa.ListArray.from_arrays(
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
    measured = job.config.histories != "latest"
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


def _total(facts: list[dict[str, Any]]) -> Counter[str]:
    total: Counter[str] = Counter(candidates=0)
    for each in facts:
        total.update(each)
    return total


def _print_recall(manifest: Manifest) -> None:
    if manifest.details["recall"]:
        settings = manifest.settings
        print_table(recall_table(manifest.details["recall"], settings["histories"], settings["max_candidates"]))
