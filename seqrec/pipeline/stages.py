"""All stages in one table, a row for each job. Jobs, pipeline, command line, submit and the documentation read it.

A row names its stage's function, which is imported only when the stage runs: preparation needs no TensorFlow, training
on one worker no Spark, and `--help` neither.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from seqrec.core.errors import DataError, SeqrecError, SmallDataError, check_all
from seqrec.pipeline.config import LoadedConfig, RunConfig

Condition = Callable[[RunConfig], bool]


def _always(_: RunConfig) -> bool:
    return True


def _never(_: RunConfig) -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One job.

    `run` and `shortcut` name functions as "module:function". Their parameters are filled by name: `storage` (that of
    the workdir), `spark` (a session, started for the function), `config` (the settings of `section`), `loaded` (the
    whole LoadedConfig), `inputs` (a dataclass, whose fields are filled likewise), and any attribute of RunConfig.
    """

    section: str  # Section of the config with the stage's own settings and its `spark:` block.
    run: str  # Function that makes the result, or finds that it is up to date.
    reads: tuple[str, ...]  # Sections that the stage reads; --help shows their keys.
    shortcut: str | None = None  # Function that is asked first, without Spark: the result, or None if `run` is needed.
    uses_spark: Condition = _always  # Whether the job starts Spark, so that a cluster needs this environment.
    starts_workers: Condition = _never  # Whether Horovod's workers run as tasks of the job's own Spark application.
    driver_share: float = 0.5  # Share of the machine's memory for the driver's JVM in a local run.
    in_pipeline: Condition = _never  # Whether the pipeline runs it.
    for_each_model: bool = False  # Whether the pipeline runs it for each model, after all stages that run once.


# Training and scoring need the machine's memory in Python, not in the driver's JVM: hence their small shares.
STAGES: dict[str, Stage] = {
    "download": Stage(
        section="download",
        run="seqrec.ingestion.stage:run_download",
        shortcut="seqrec.ingestion.stage:current_download",
        reads=("download",),
        uses_spark=_never,
        driver_share=0.05,
        in_pipeline=lambda run: run.source.kind == "download",
    ),
    "synthesize": Stage(
        section="synthesis",
        run="seqrec.ingestion.stage:run_synthesize",
        shortcut="seqrec.ingestion.stage:current_synthesis",
        reads=("source", "synthesis"),
        in_pipeline=lambda run: run.source.kind == "synthetic",
    ),
    "ingest": Stage(
        section="ingestion",
        run="seqrec.ingestion.stage:run_ingest",
        shortcut="seqrec.ingestion.stage:current_ingestion",
        reads=("source", "ingestion"),
        in_pipeline=_always,
    ),
    "prepare": Stage(
        section="preparation",
        run="seqrec.preparation.stage:run_prepare",
        shortcut="seqrec.preparation.stage:current_preparation",
        reads=("preparation", "features"),
        in_pipeline=_always,
    ),
    "train": Stage(
        section="training",
        run="seqrec.training.stage:run_train",
        shortcut="seqrec.training.stage:current_run",
        reads=("model", "feed", "training"),
        starts_workers=_always,
        driver_share=0.08,
        in_pipeline=_always,
        for_each_model=True,
    ),
    "evaluate": Stage(
        section="evaluation",
        run="seqrec.evaluation.stage:run_evaluate",
        shortcut="seqrec.evaluation.stage:current_evaluation",
        reads=("evaluation", "model", "feed", "training"),
        driver_share=0.2,
        in_pipeline=_always,
        for_each_model=True,
    ),
    "tune": Stage(
        section="tuning",
        run="seqrec.tuning.stage:run_tune",
        reads=("tuning", "model", "feed", "training", "evaluation"),
        starts_workers=lambda run: run.tuning.num_compared_seeds > 0 and run.training.num_workers > 1,
        driver_share=0.2,
    ),
    "index": Stage(
        section="index",
        run="seqrec.recommendation.index.stage:run_index",
        reads=("index", "model", "training"),
        uses_spark=_never,
        driver_share=0.05,
    ),
    "candidates": Stage(
        section="candidates",
        run="seqrec.recommendation.candidates.stage:run_candidates",
        reads=("candidates",),
    ),
    "rank": Stage(
        section="ranker",
        run="seqrec.recommendation.rankers.stage:run_rank",
        reads=("ranker",),
        driver_share=0.2,
    ),
    "recommend": Stage(
        section="recommendation",
        run="seqrec.recommendation.lists.stage:run_recommend",
        shortcut="seqrec.recommendation.lists.show_user:show_wanted_user",
        reads=("recommendation", "model", "training"),
        driver_share=0.2,
    ),
    "similar_items": Stage(
        section="similar_items",
        run="seqrec.recommendation.similar_items.stage:run_similar_items",
        reads=("similar_items",),
        driver_share=0.3,
    ),
    "export": Stage(
        section="export",
        run="seqrec.recommendation.export.stage:run_export",
        reads=("export", "model", "training"),
        uses_spark=_never,
        driver_share=0.05,
    ),
    "drift": Stage(
        section="drift",
        run="seqrec.evaluation.drift.stage:run_drift",
        reads=("drift",),
        uses_spark=_never,
        driver_share=0.05,
    ),
}
_READ_IN_PIPELINE = [part for each in STAGES.values() if each.in_pipeline is not _never for part in each.reads]
STAGES["pipeline"] = Stage(
    section="pipeline",
    run="seqrec.pipeline.run:pipeline",
    reads=("pipeline", *dict.fromkeys(_READ_IN_PIPELINE)),
    uses_spark=lambda run: run.pipeline.one_process,
    starts_workers=lambda run: run.pipeline.one_process and run.training.num_workers > 1,
    driver_share=0.05,
)


def run_stage(job: str, config: LoadedConfig) -> Any:
    """Runs the stage of a job, in a Spark session if its function takes one; returns what the function returns."""
    stage = STAGES[job]
    if (result := take_shortcut(job, config)) is not None:
        return result
    try:
        if not takes_session(job):
            return _call(stage.run, stage, config)
        from seqrec.tables.sessions import spark_session

        with spark_session(job, config.spark.get(stage.section)) as spark:
            return _call(stage.run, stage, config, spark)
    except SmallDataError as error:
        raise with_training(error, config.run) from None


def takes_session(job: str) -> bool:
    """Whether the stage's function is given a Spark session."""
    return "spark" in inspect.signature(load_function(STAGES[job].run)).parameters


def with_training(error: SmallDataError, run: RunConfig) -> DataError:
    """The refusal of small data, and what training would refuse next, so that all can be set at once."""
    from seqrec.feed.layout import check_layout
    from seqrec.training.checks import check_cutoffs, layout_of, with_metric

    if not error.num_negatives or not error.train_files:
        return error
    training = with_metric(run.training, run.model)
    try:
        check_all(
            partial(check_layout, error.train_files, layout_of(training, run.seed)),
            partial(check_cutoffs, error.num_negatives, error.num_items, training),
        )
    except SeqrecError as further:
        return DataError(f"{error} Then training would be refused, too: {further}")
    return error


def take_shortcut(job: str, config: LoadedConfig) -> Any:
    """The result of a stage that has nothing to do, found without Spark; None if the stage must run."""
    stage = STAGES[job]
    return None if stage.shortcut is None else _call(stage.shortcut, stage, config)


def load_function(name: str) -> Callable[..., Any]:
    """The function that "module:function" names."""
    module, _, function = name.partition(":")
    loaded: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return loaded


def _call(name: str, stage: Stage, config: LoadedConfig, spark: Any = None) -> Any:
    from seqrec.core.storage import Storage  # Imports pyarrow, for which `--help` should not wait.

    run = config.run
    special = {"storage": Storage(run.workdir), "spark": spark, "config": getattr(run, stage.section), "loaded": config}
    function = load_function(name)
    return function(**_arguments(function, run, special))


def _arguments(function: Callable[..., Any], run: RunConfig, special: Mapping[str, Any]) -> dict[str, Any]:
    """A value for each parameter of a function, or of a dataclass."""
    arguments = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name in special:
            arguments[name] = special[name]
        elif name == "inputs":
            inputs_class: Callable[..., Any] = parameter.annotation
            arguments[name] = inputs_class(**_arguments(inputs_class, run, special))
        else:
            arguments[name] = getattr(run, name)
    return arguments
