"""The `similar_items` stage: a list of items for every item, or the measure of such lists by the next events."""

import json
import logging
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession
from pyspark.sql.types import FloatType, IntegerType, StringType, StructField, StructType

from seqrec.core import columns as C
from seqrec.core.config import recipe_settings
from seqrec.core.console import print_table
from seqrec.core.manifest import Attempt, Dataset, Manifest, Recipe, digest_of
from seqrec.core.stage import StageOutput
from seqrec.core.storage import Storage
from seqrec.events.histories import files_digest
from seqrec.events.ragged import column
from seqrec.events.vocabulary import ITEMS, Vocabulary, read_vocabulary
from seqrec.neighbours.build import NEIGHBOURS, NeighbourInputs, read_events, write_co_visitation
from seqrec.neighbours.config import CandidatesConfig
from seqrec.neighbours.table import write_neighbours
from seqrec.recommendation.candidates.sources import read_retrieval_run
from seqrec.recommendation.lists.item_names import write_item_names
from seqrec.recommendation.rankers.measuring import measure, measured_table
from seqrec.recommendation.rankers.rank_files import USER_KEY, ranks_schema
from seqrec.recommendation.similar_items.config import KINDS, OFTEN_NEXT, SimilarItemsConfig
from seqrec.recommendation.similar_items.list_files import (
    ENTRY,
    KEY,
    KIND,
    LISTS_SCHEMA,
    NAMES,
    NEAR,
    SIMILAR,
    TABLE_SCHEMA,
    TABLES,
    VECTORS,
    WEIGHT,
    SimilarJob,
    items_of_file,
    ranked_names,
    write_similar,
    write_tables,
    write_target_ranks,
)
from seqrec.recommendation.similar_items.page import similar_items_page
from seqrec.recommendation.similar_items.vectors import write_item_vectors
from seqrec.scoring.run import TrainedRun
from seqrec.tables.files import describe_table
from seqrec.tables.row_files import FileTask, write_row_files
from seqrec.tables.sessions import adaptive_session

SIMILAR_ITEMS, LISTS, PAGE = "similar_items", "lists", "page.html"
SCHEMA = StructType(
    [
        StructField(C.ITEM, StringType(), nullable=False),
        StructField(C.RANK, IntegerType(), nullable=False),
        StructField(SIMILAR, StringType(), nullable=False),
        StructField(C.SCORE, FloatType(), nullable=False),
        StructField(C.SOURCE, StringType(), nullable=False),
        StructField(C.TITLE, StringType()),
    ]
)
_LOG = logging.getLogger(__name__)


def run_similar_items(
    spark: SparkSession, storage: Storage, name: str, config: SimilarItemsConfig, seed: int, force: bool = False
) -> Manifest:
    """Makes `similar_items/<name>`: a list for every item, and a page that shows some of them. With validation or test
    it makes `similar_items/<name>-<split>`: how often the lists of a user's items hold the item that came next.

    Raises:
        SeqrecError: something is not there or does not belong together, or faiss is needed and not installed.
    """
    prepared = Dataset(storage, "prepared", name).require("prepare")
    run = read_retrieval_run(storage, config.run, config.histories, prepared, f"{SIMILAR_ITEMS}.run")
    is_measured = config.histories != "latest"
    dataset = Dataset(storage, SIMILAR_ITEMS, f"{name}-{config.histories}" if is_measured else name)
    output = StageOutput(dataset, _recipe(storage, prepared, run, config, seed), force, resumes=True)
    if (current := output.current()) is not None:
        _print(current)
        return current
    attempt = output.begin()
    session = adaptive_session(spark)
    vocabulary = read_vocabulary(storage, prepared)
    _write_inputs(session, attempt, prepared, run, vocabulary, config)
    category = vocabulary.item_category if is_measured else vocabulary.item_category[:0]
    job = SimilarJob(storage.root, attempt.path, config, vocabulary.num_items, category)
    if is_measured:
        manifest = _publish_measured(session, attempt, prepared, job, seed)
    else:
        manifest = _publish_lists(session, attempt, prepared, vocabulary, job)
    _LOG.info("%s: '%s' is in %s, %.0f s", SIMILAR_ITEMS, manifest.name, storage.uri(attempt.path), manifest.seconds)
    _print(manifest)
    return manifest


def _recipe(
    storage: Storage, prepared: Manifest, run: TrainedRun | None, config: SimilarItemsConfig, seed: int
) -> Recipe:
    inputs = {"prepared": prepared.content, "files": files_digest(prepared, config.histories)}
    inputs["vocabulary"] = prepared.table(ITEMS).content
    if run is not None:
        inputs["run"] = run.manifest.content
    ingested = Dataset(storage, "ingested", prepared.name).manifest()
    if config.histories == "latest" and ingested is not None and "items" in ingested.tables:
        inputs["items"] = ingested.tables["items"].content  # Titles.
    return Recipe(stage=SIMILAR_ITEMS, settings={**recipe_settings(config), "seed": seed}, inputs=inputs)


def _write_inputs(
    spark: SparkSession,
    attempt: Attempt,
    prepared: Manifest,
    run: TrainedRun | None,
    vocabulary: Vocabulary,
    config: SimilarItemsConfig,
) -> None:
    """The table of pairs, and the item vectors; what a killed attempt has finished is kept."""
    storage = attempt.storage
    if not storage.exists(f"{attempt.path}/{NEIGHBOURS}/{OFTEN_NEXT}/offsets.npy"):
        counting = CandidatesConfig(
            histories=config.histories,
            window=config.window,
            pair_half_life_days=config.pair_half_life_days,
            num_neighbours=config.depth,
            max_user_events=config.max_user_events,
        )
        inputs = NeighbourInputs(spark, storage, prepared, vocabulary, counting)
        write_co_visitation(inputs, attempt, read_events(inputs), OFTEN_NEXT, config.direction)
    if run is not None:
        near = f"{attempt.path}/{NEAR}" if config.search == "approximate" else None
        write_item_vectors(storage, run, f"{attempt.path}/{VECTORS}", near, config.tensorflow_threads)
    if config.histories == "latest" and not storage.exists(f"{attempt.path}/{NAMES}"):
        write_item_names(spark, attempt, prepared, f"{attempt.path}/{NAMES}")


def _publish_lists(
    spark: SparkSession, attempt: Attempt, prepared: Manifest, vocabulary: Vocabulary, job: SimilarJob
) -> Manifest:
    storage, config = attempt.storage, job.config
    tasks = _tasks(attempt, LISTS, job.num_items)
    counted = _total(write_row_files(spark, storage.root, tasks, LISTS_SCHEMA, partial(write_similar, job)))
    table = describe_table(spark, attempt, LISTS, SCHEMA)
    measured = _measured_alike(storage, prepared, config)
    page = similar_items_page(job, storage, prepared.name, vocabulary, dict(counted), measured)
    storage.write_bytes(f"{attempt.path}/{PAGE}", page.encode())
    for scratch in (NAMES, NEIGHBOURS, VECTORS, NEAR):
        storage.delete(f"{attempt.path}/{scratch}")
    return attempt.publish(tables={LISTS: table}, counts={"rows": table.rows, **counted})


def _publish_measured(
    spark: SparkSession, attempt: Attempt, prepared: Manifest, job: SimilarJob, seed: int
) -> Manifest:
    storage, config = attempt.storage, job.config
    tasks = _tasks(attempt, "scratch", job.num_items)
    entries = _total(write_row_files(spark, storage.root, tasks, TABLE_SCHEMA, partial(write_tables, job)))
    kinds = tuple(kind for kind in KINDS if kind in entries)
    for kind in kinds:
        pairs = _parts(storage, [task.output for task in tasks], KINDS.index(kind))
        write_neighbours(storage, f"{attempt.path}/{TABLES}/{kind}", pairs, job.num_items + 1, entries[kind])
    files = [file.path for file in prepared.table(f"sequences/{config.histories}").files]
    tasks = [FileTask(n, (path,), f"{attempt.path}/ranks/part-{n:05d}.parquet") for n, path in enumerate(files)]
    names = ranked_names(kinds)
    write_row_files(spark, storage.root, tasks, ranks_schema(len(names)), partial(write_target_ranks, job, kinds))
    parts = []
    for task in tasks:
        with storage.open_input(task.output) as stream:
            parts.append(pq.read_table(stream))
    table = pa.concat_tables(parts).combine_chunks()
    measured = measure(
        names,
        column(table, USER_KEY),
        np.stack([column(table, f"rank_{number}") for number in range(len(names))], axis=1),
        seed=seed,
        num_replicates=config.num_replicates,
        confidence=config.confidence,
    )
    for scratch in ("scratch", "ranks", TABLES, NEIGHBOURS, VECTORS, NEAR):
        storage.delete(f"{attempt.path}/{scratch}")
    counts = {"users": table.num_rows, **{f"entries_{kind}": entries[kind] for kind in kinds}}
    return attempt.publish(counts=counts, details={"measured": measured}, content=digest_of(measured))


def _tasks(attempt: Attempt, folder: str, num_items: int) -> list[FileTask]:
    tasks: list[FileTask] = []
    while len(items_of_file(len(tasks), num_items)):
        tasks.append(FileTask(len(tasks), (), f"{attempt.path}/{folder}/part-{len(tasks):05d}.parquet"))
    return tasks


def _total(facts: list[dict[str, Any]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for each in facts:
        total.update(each)
    return total


def _parts(storage: Storage, files: list[str], kind: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Keys, items and weights of one kind, in order of key."""
    for path in files:
        with storage.open_input(path) as stream:
            for batch in pq.ParquetFile(stream).iter_batches(1 << 18):
                rows = np.flatnonzero(column(batch, KIND) == kind)
                yield column(batch, KEY)[rows], column(batch, ENTRY)[rows], column(batch, WEIGHT)[rows]


def _measured_alike(storage: Storage, prepared: Manifest, config: SimilarItemsConfig) -> dict[str, Any] | None:
    """What lists of the same settings and data gave on the targets of test, or else of validation, if measured."""
    for split in ("test", "validation"):
        manifest = Dataset(storage, SIMILAR_ITEMS, f"{prepared.name}-{split}").manifest()
        own = {key: value for key, value in recipe_settings(config).items() if key not in ("histories", "k", "kind")}
        if (
            manifest is not None
            and manifest.inputs["prepared"] == prepared.content
            and all(manifest.settings.get(key) == value for key, value in json.loads(json.dumps(own)).items())
        ):
            return {"split": split, "measured": manifest.details["measured"]}
    return None


def _print(manifest: Manifest) -> None:
    if "measured" in manifest.details:
        title = f"{manifest.settings['histories']} targets in lists of similar items ({manifest.counts['users']:,})"
        print_table(measured_table(manifest.details["measured"], title))
    else:
        counts = {key: f"{value:,}" for key, value in manifest.counts.items()}
        _LOG.info("  %s items, %s without a list, %s with a short one", *list(counts.values())[1:])
