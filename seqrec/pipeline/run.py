"""All stages in order, from raw files to one table of results."""

import dataclasses
import logging
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from seqrec.core.errors import ConfigError, SeqrecError
from seqrec.models.config import ModelConfig
from seqrec.models.registry import check_name, check_settings
from seqrec.pipeline import stages
from seqrec.pipeline.config import LoadedConfig

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    job: str
    action: Callable[[LoadedConfig], Any]
    model: str | None = None  # The model that this step trains or evaluates.


def plan_steps(config: LoadedConfig) -> list[Step]:
    """What has to run, in order; the source decides the beginning, `pipeline.models` the end.

    Raises:
        ConfigError: several models, and one name for the runs of all; or settings with which training could not start.
    """
    run = config.run
    if run.training.run is not None and len(run.pipeline.models) > 1:
        raise ConfigError(
            f"training.run={run.training.run} names one run, but pipeline.models lists {len(run.pipeline.models)} "
            f"({', '.join(run.pipeline.models)}): leave training.run null, or train one model."
        )
    _check_training(config)
    first = {"synthetic": [Step("synthesize", stages.synthesize)], "download": [Step("download", stages.download)]}
    steps = first.get(config.run.source.kind, [])
    steps += [Step("ingest", stages.ingest), Step("prepare", stages.prepare)]
    for model in config.run.pipeline.models:
        steps += [Step("train", stages.train, model), Step("evaluate", stages.evaluate, model)]
    return steps


def _check_training(config: LoadedConfig) -> None:
    """What `train` would refuse whatever the data, before hours are spent on them."""
    from seqrec.feed.plan import check_division
    from seqrec.training.checks import layout_of

    run = config.run
    for model in run.pipeline.models:
        check_name(model, "pipeline.models")
        if run.model != ModelConfig(name=run.model.name):  # With the defaults nothing can be wrong.
            # Imported with the model, TensorFlow takes seconds.
            check_settings(dataclasses.replace(run.model, name=model))
    check_division(layout_of(run.training, run.seed))


def pipeline(config: LoadedConfig) -> None:
    """Runs every step, each as its own `spark-submit` or all in this process, and prints the table of results."""
    steps = plan_steps(config)
    started = time.monotonic()
    with _session(config):
        for number, step in enumerate(steps, start=1):
            title = step.job if step.model is None else f"{step.job} {step.model}"
            _LOG.info("\n[%d/%d] %s", number, len(steps), title)
            step_started = time.monotonic()
            if config.run.pipeline.one_process:
                step.action(_for_model(config, step.model))
            else:
                _submit(step)
            _LOG.info("[%d/%d] %s: %.0f s", number, len(steps), title, time.monotonic() - step_started)
    if len(config.run.pipeline.models) > 1:  # A single model's table was just printed.
        _print_results(config)
    _LOG.info("pipeline: %d steps in %.0f s", len(steps), time.monotonic() - started)


def _session(config: LoadedConfig) -> Any:
    """One session around all steps of a single process; otherwise each step starts its own."""
    if not config.run.pipeline.one_process:
        return nullcontext()
    from seqrec.tables.sessions import spark_session

    return spark_session("pipeline", config.spark.get("pipeline"))


def _for_model(config: LoadedConfig, model: str | None) -> LoadedConfig:
    if model is None:
        return config
    run = dataclasses.replace(config.run, model=dataclasses.replace(config.run.model, name=model))
    return dataclasses.replace(config, run=run)


def _submit(step: Step) -> None:
    """The step as its own `spark-submit`, with this command's config and overrides."""
    command = [sys.executable, "-m", "seqrec.pipeline", step.job, *sys.argv[1:]]
    if step.model is not None:
        command += ["--set", f"model.name={step.model}"]
    stage = subprocess.Popen(command)
    try:
        status = stage.wait()
    except KeyboardInterrupt:
        stage.wait()  # It has had the interrupt too, and ends in its own way: train saves what it has.
        raise
    if status != 0:
        raise SeqrecError(
            f"stage '{step.job}' ended with exit status {status}; the reason is above. "
            "Mend it and run the same command again: what is done is not repeated."
        )


def _print_results(config: LoadedConfig) -> None:
    from seqrec.core.storage import Storage
    from seqrec.evaluation.results import print_comparison

    run = config.run
    runs = [_for_model(config, model).run.run for model in run.pipeline.models]
    print_comparison(Storage(run.workdir), runs, run.evaluation)
