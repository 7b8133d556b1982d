"""All stages in order, from raw files to one table of results."""

import dataclasses
import logging
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from seqrec.core.errors import ConfigError, SeqrecError
from seqrec.models.config import ModelConfig
from seqrec.models.registry import check_name, check_settings
from seqrec.pipeline.config import LoadedConfig
from seqrec.pipeline.stages import STAGES, run_stage, take_shortcut
from seqrec.training.checks import choose_launcher
from seqrec.training.workers.horovod_ready import BackgroundBuild, is_ready

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """One stage of the pipeline."""

    job: str
    model: str | None = None  # The model that this step trains or evaluates; None for a stage of all models.

    @property
    def title(self) -> str:
        return self.job if self.model is None else f"{self.job} {self.model}"


def plan_steps(config: LoadedConfig) -> list[Step]:
    """The steps of the pipeline in order: the source decides the first ones, `pipeline.models` the last ones.

    Raises:
        ConfigError: the runs of several models have one name, or training could not start with these settings.
    """
    run = config.run
    if run.training.run is not None and len(run.pipeline.models) > 1:
        raise ConfigError(
            f"training.run={run.training.run} names one run, but pipeline.models lists {len(run.pipeline.models)} "
            f"({', '.join(run.pipeline.models)}): leave training.run null, or train one model."
        )
    _check_training(config)
    jobs = [job for job, stage in STAGES.items() if stage.in_pipeline(run)]
    steps = [Step(job) for job in jobs if not STAGES[job].for_each_model]
    return steps + [Step(job, model) for model in run.pipeline.models for job in jobs if STAGES[job].for_each_model]


def _check_training(config: LoadedConfig) -> None:
    """Refuses settings that `train` would refuse whatever the data, before hours are spent on the data."""
    from seqrec.feed.layout import check_division
    from seqrec.training.checks import layout_of
    from seqrec.training.objectives.config import LossConfig
    from seqrec.training.objectives.registry import check_objective

    run = config.run
    for model in run.pipeline.models:
        check_name(model, "pipeline.models")
        if run.model != ModelConfig(name=run.model.name):  # The defaults are right.
            # This imports the model and with it TensorFlow, which takes seconds.
            check_settings(dataclasses.replace(run.model, name=model))
        if run.training.loss != LossConfig():
            check_objective(run.training.loss, model, run.training.jit)
    check_division(layout_of(run.training, run.seed))


def pipeline(loaded: LoadedConfig) -> None:
    """Runs every step by its own `spark-submit`, or all in this process, and prints the table of results."""
    steps = plan_steps(loaded)
    started = time.monotonic()
    with _horovod_beside(loaded, steps) as horovod, _session(loaded):
        for number, step in enumerate(steps, start=1):
            _LOG.info("\n[%d/%d] %s", number, len(steps), step.title)
            step_started = time.monotonic()
            config = loaded.with_model(step.model)
            if step.job == "train":
                horovod.check()
            if loaded.run.pipeline.one_process:
                run_stage(step.job, config)
            elif take_shortcut(step.job, config) is None:
                _submit(step)
            _LOG.info("[%d/%d] %s: %.0f s", number, len(steps), step.title, time.monotonic() - step_started)
    if len(loaded.run.pipeline.models) > 1:  # The table of a single model has just been printed.
        _print_results(loaded)
    _LOG.info("pipeline: %d steps in %.0f s", len(steps), time.monotonic() - started)


@contextmanager
def _horovod_beside(loaded: LoadedConfig, steps: Sequence[Step]) -> Iterator[BackgroundBuild]:
    """Context in which Horovod is built beside the stages that do not need it, where training will want it.

    Raises:
        ConfigError: training will want it, and it cannot be built here.
    """
    run = loaded.run
    is_wanted = choose_launcher(run.training) not in ("in_process", "processes") and not run.training.dry_run
    models = [step.model for step in steps if step.job == "train"] if is_wanted and not is_ready() else []
    build = BackgroundBuild(any(_current_training(loaded.with_model(model)) is None for model in models))
    try:
        yield build
    finally:
        build.end()


def _current_training(config: LoadedConfig) -> Any:
    """The run that training would find up to date; None too where its data is not there yet."""
    try:
        return take_shortcut("train", config)
    except SeqrecError:
        return None


def _session(config: LoadedConfig) -> Any:
    """A session around all steps of a single process; nothing where each step starts its own."""
    if not config.run.pipeline.one_process:
        return nullcontext()
    from seqrec.tables.sessions import spark_session

    return spark_session("pipeline", config.spark.get("pipeline"))


def _submit(step: Step) -> None:
    """Runs a step by its own `spark-submit`, with the config and overrides of this command."""
    command = [sys.executable, "-m", "seqrec.pipeline", step.job, *sys.argv[1:]]
    if step.model is not None:
        command += ["--set", f"model.name={step.model}"]
    stage = subprocess.Popen(command)
    try:
        status = stage.wait()
    except KeyboardInterrupt:
        stage.wait()  # The stage was interrupted too, and ends in its own way: training saves a checkpoint.
        raise
    if status != 0:
        raise SeqrecError(
            f"stage '{step.job}' ended with exit status {status}; the reason is above. "
            "Fix it and run the same command again; finished stages are skipped."
        )


def _print_results(config: LoadedConfig) -> None:
    from seqrec.core.storage import Storage
    from seqrec.evaluation.results import print_comparison

    run = config.run
    runs = [config.with_model(model).run.run for model in run.pipeline.models]
    print_comparison(Storage(run.workdir), runs, run.evaluation)
