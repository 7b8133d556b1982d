"""The `recommend` stage: lists of k items for all users, for some, or for histories in a file."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import SparkSession

from seqrec.core import columns as C
from seqrec.core.config import recipe_settings
from seqrec.core.errors import ConfigError, DataError
from seqrec.core.manifest import Attempt, Dataset, Manifest, Recipe
from seqrec.core.stage import StageOutput
from seqrec.core.storage import Storage, stream_digest
from seqrec.events.histories import are_found_in, files_digest, newest_timestamp
from seqrec.models.registry import family_of
from seqrec.neighbours.config import CANDIDATES, candidates_name
from seqrec.recommendation.candidates.sources import published_run
from seqrec.recommendation.config import RecommendationConfig
from seqrec.recommendation.lists.changed_users import SCHEMA as USERS_SCHEMA
from seqrec.recommendation.lists.changed_users import USERS, write_changed_users, write_user_digests
from seqrec.recommendation.lists.item_names import write_item_names
from seqrec.recommendation.lists.list_figures import SCHEMA, figures_of_lists, report_lists
from seqrec.recommendation.lists.users import listed_users, read_histories_file, unknown_users, write_known_histories
from seqrec.recommendation.lists.write_lists import (
    LISTS,
    NAMES,
    ListJob,
    WantedUsers,
    write_lists,
    write_popularity_lists,
)
from seqrec.recommendation.rankers.ranker import PublishedRanker, published_ranker
from seqrec.recommendation.rules.stored import StoredRules, rules_inputs, write_rules
from seqrec.scoring.run import TrainedRun, read_run
from seqrec.tables.files import describe_table
from seqrec.tables.row_files import FileTask, check_num_users, write_row_files
from seqrec.tables.sessions import adaptive_session

_ARROW = pa.schema(
    [
        pa.field(C.USER, pa.string(), False),
        pa.field(C.RANK, pa.int32(), False),
        pa.field(C.ITEM, pa.string(), False),
        pa.field(C.SCORE, pa.float32(), False),
        pa.field(C.SOURCE, pa.string(), False),
        pa.field(C.TITLE, pa.string()),
    ]
)


CHANGED = "changed_users"


@dataclass(frozen=True)
class RecommendationInputs:
    """The datasets that recommendations are made from."""

    prepared: Manifest
    run: TrainedRun | None  # None when a ranker orders the candidates.
    candidates: Manifest | None  # None when the whole catalogue is scored.
    retrieval_run: TrainedRun | None = None  # The run that candidates were found by, if they were found by one.
    ranker: PublishedRanker | None = None

    @property
    def num_items(self) -> int:
        return int(self.prepared.details["num_items"])


def recommendations_name(run: str, config: RecommendationConfig) -> str:
    """The name of the dataset: that of the run or ranker, with a suffix for a few users, which never replace all."""
    parts = [config.ranker or run]
    if config.histories != "latest":
        parts.append(config.histories)
    if config.over == "catalogue":
        parts.append("catalogue")
    if config.users is not None or config.users_file is not None:
        parts.append("users")
    if config.histories_file is not None:
        parts.append("histories")
    if config.changed_since is not None:
        parts.append("changed")
    return "-".join(parts)


def read_inputs(storage: Storage, name: str, run: str, config: RecommendationConfig) -> RecommendationInputs:
    """
    Raises:
        DataError: a dataset is missing, or made from other data than the rest; or the catalogue is too large.
    """
    prepared = Dataset(storage, "prepared", name).require("prepare")
    trained = read_run(storage, run, prepared) if config.ranker is None else None
    is_ranking = trained is not None and family_of(trained.config.name) == "ranking"
    if config.over == "catalogue":
        if is_ranking and prepared.details["num_items"] > config.max_catalogue:
            raise DataError(
                f"prepared '{name}' has {prepared.details['num_items']} items, more than recommendation.max_catalogue "
                f"({config.max_catalogue}): use recommendation.over=candidates; for a few users, raise max_catalogue."
            )
        return RecommendationInputs(prepared, trained, None)
    dataset = Dataset(storage, "candidates", candidates_name(name, config.histories))
    if trained is not None and not is_ranking and dataset.manifest() is None:
        raise DataError(
            f"{storage.uri(dataset.path)}: not there or not finished. Use recommendation.over=catalogue, for which "
            f"'{run}' needs no candidates, or run the job 'candidates' first."
        )
    candidates = dataset.require("candidates")
    if not are_found_in(candidates, prepared, config.histories):
        raise DataError(
            f"candidates '{candidates.name}' were made from other data than prepared '{name}' holds now: "
            "run the job 'candidates' again."
        )
    retrieval_run, ranker = published_run(storage, candidates, prepared), None
    if config.ranker is not None:
        ranker = published_ranker(storage, config.ranker, candidates, prepared)
    return RecommendationInputs(prepared, trained, candidates, retrieval_run, ranker)


def recommend_recipe(storage: Storage, name: str, run: str, config: RecommendationConfig) -> Recipe:
    """The recipe of the lists; needs neither Spark nor TensorFlow."""
    inputs = read_inputs(storage, name, run, config)
    contents = {
        "prepared": inputs.prepared.content,
        "files": files_digest(inputs.prepared, config.histories),
    }
    if inputs.run is not None:
        contents["run"] = inputs.run.manifest.content
    if inputs.ranker is not None:
        contents["ranker"] = inputs.ranker.digest
    ingested = Dataset(storage, "ingested", name).manifest()
    if ingested is not None and "items" in ingested.tables:
        contents["items"] = ingested.tables["items"].content
    if inputs.candidates is not None:
        contents["candidates"] = inputs.candidates.content + inputs.candidates.recipe
    users = listed_users(config)
    if users is not None:
        contents["users"] = hashlib.sha256("\n".join(sorted(users)).encode()).hexdigest()[:32]
    if config.changed_since is not None:
        earlier = Dataset(storage, "recommendations", config.changed_since).require("recommend")
        contents["changed_since"] = earlier.content + earlier.recipe
    contents |= rules_inputs(storage, inputs.prepared, config)
    if config.histories_file is not None:
        contents["histories_file"] = _file_digest(config.histories_file)
    return Recipe(stage="recommend", settings=recipe_settings(config), inputs=contents)


def run_recommend(
    spark: SparkSession,
    storage: Storage,
    name: str,
    run: str,
    config: RecommendationConfig,
    force: bool = False,
) -> Manifest:
    """Makes `recommendations/<run>`, or `<ranker>` (see `recommendations_name`); resumes where a killed attempt ended.

    Raises:
        SeqrecError: a dataset or file is missing, cannot be read, or does not belong to the others.
    """
    if config.histories != "latest" and (config.as_of or config.users is not None or config.users_file is not None):
        raise ConfigError(
            f"recommendation.histories is {config.histories}: as_of, users and users_file have no effect there. "
            "Leave them out."
        )
    recipe = recommend_recipe(storage, name, run, config)
    dataset = Dataset(storage, "recommendations", recommendations_name(run, config))
    output = StageOutput(dataset, recipe, force, resumes=True)
    if (current := output.current()) is not None:
        return current
    inputs = read_inputs(storage, name, run, config)
    attempt = output.begin()
    session = adaptive_session(spark)
    if not storage.exists(f"{attempt.path}/{NAMES}"):
        write_item_names(session, attempt, inputs.prepared, f"{attempt.path}/{NAMES}")
    tables = {}
    if config.histories == "latest" and config.histories_file is None:
        latest = [file.path for file in inputs.prepared.table("sequences/latest").files]
        write_user_digests(session, attempt, f"{attempt.path}/{NAMES}", latest)
        tables[USERS] = describe_table(session, attempt, USERS, USERS_SCHEMA)
    rules, report = write_rules(session, attempt, inputs.prepared, config.rules)
    counted = _write_all_lists(session, attempt, inputs, config, rules)
    table = describe_table(session, attempt, LISTS, SCHEMA)
    figures = figures_of_lists(session, attempt, inputs.num_items, config, counted)
    for scratch in (NAMES, "histories", CHANGED):
        storage.delete(f"{attempt.path}/{scratch}")
    manifest = attempt.publish(
        tables={LISTS: table, **tables}, counts={"rows": table.rows, **counted}, details={**figures, "rules": report}
    )
    report_lists(manifest)
    return manifest


def as_of_seconds(
    storage: Storage, inputs: RecommendationInputs, config: RecommendationConfig, newest_in_file: int = 0
) -> int:
    """The time for which lists are made: `as_of` if it is set, else that of the newest event.

    It is never the clock's time, so that the same lists can be made again.

    Args:
        newest_in_file: newest event of a file of histories, which may be later than the prepared data.
    """
    if config.as_of_seconds is not None:
        return config.as_of_seconds
    latest = inputs.prepared.table("sequences/latest").files
    return max(newest_in_file, newest_timestamp(storage, latest, C.HISTORY_TIMESTAMPS))


def list_job(
    storage: Storage,
    inputs: RecommendationInputs,
    config: RecommendationConfig,
    path: str,
    newest_in_file: int = 0,
    rules: StoredRules | None = None,
) -> ListJob:
    return ListJob(
        root=storage.root,
        names=f"{path}/{NAMES}",
        run=inputs.run,
        ranker=inputs.ranker,
        candidates=inputs.candidates,
        retrieval_run=inputs.retrieval_run,
        config=config,
        as_of=as_of_seconds(storage, inputs, config, newest_in_file),
        rules=rules,
    )


def _write_all_lists(
    spark: SparkSession,
    attempt: Attempt,
    inputs: RecommendationInputs,
    config: RecommendationConfig,
    rules: StoredRules | None,
) -> dict[str, Any]:
    storage = attempt.storage
    users, newest, expected, changed = listed_users(config), 0, None, None
    if config.histories_file is not None:
        rows, newest = read_histories_file(spark, config.histories_file)
        histories = write_known_histories(spark, storage, inputs.prepared, rows, f"{attempt.path}/histories")
        unknown = unknown_users(spark, storage, inputs.prepared, rows, histories)
        file_groups: list[tuple[str, ...]] = [(path,) for path in histories]
    else:
        unknown = [] if users is None else unknown_users(spark, storage, inputs.prepared, users, None)
        file_groups = _aligned_files(inputs, config)
        expected = inputs.prepared.table(f"sequences/{config.histories}").rows if users is None else len(users)
        if config.changed_since is not None:
            earlier, changed = Dataset(storage, "recommendations", config.changed_since).require("recommend"), CHANGED
            expected = write_changed_users(spark, attempt, earlier, CHANGED)
    job = list_job(storage, inputs, config, attempt.path, newest, rules)
    tasks = [FileTask(n, each, f"{attempt.path}/{LISTS}/part-{n:05d}.parquet") for n, each in enumerate(file_groups)]
    wanted = WantedUsers(None if users is None else frozenset(users), changed and f"{attempt.path}/{changed}")
    facts = write_row_files(spark, storage.root, tasks, _ARROW, partial(write_lists, job, wanted))
    if unknown:
        task = FileTask(len(tasks), (), f"{attempt.path}/{LISTS}/part-{len(tasks):05d}.parquet")
        facts += write_row_files(spark, storage.root, [task], _ARROW, partial(write_popularity_lists, job, unknown))
    total: Counter[str] = Counter()
    for each in facts:
        total.update(each)
    if expected is not None:
        check_num_users(attempt, total["users"], expected)
    return dict(total)


def _aligned_files(inputs: RecommendationInputs, config: RecommendationConfig) -> list[tuple[str, ...]]:
    """Each file of histories with the file of its candidates; alone if `as_of` is set: they are then found anew."""
    histories = [file.path for file in inputs.prepared.table(f"sequences/{config.histories}").files]
    if inputs.candidates is None or config.as_of is not None:
        return [(path,) for path in histories]
    folder = f"candidates/{inputs.candidates.name}/{inputs.candidates.id}/{CANDIDATES}"
    return [(path, f"{folder}/part-{number:05d}.parquet") for number, path in enumerate(histories)]


def _file_digest(path: str) -> str:
    try:
        with Path(path).open("rb") as stream:
            return stream_digest(stream)[:32]
    except OSError as error:
        raise DataError(
            f"recommendation.histories_file: {path}: cannot be read ({error.strerror}). Give JSON lines or Parquet."
        ) from None
