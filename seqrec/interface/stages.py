"""The stages as functions of settings that return frames."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import pandas as pd

from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.interface import frames
from seqrec.interface.running import errors_in_one_line, run
from seqrec.interface.settings import Config
from seqrec.pipeline.stages import STAGES


def ingest(config: Config) -> pd.DataFrame:
    """Reads the raw files into the tables of reviews and items, after making or fetching them if `source` says so.

    Returns: one row per file: its name, its lines, and how many of them were written, converted, repeated, blank and
        rejected; a column for each reason of rejects that occurs.

    Raises:
        SeqrecError: a setting, a file or the machine does not allow it; one line that says what to do.
    """
    for job in ("download", "synthesize"):
        if STAGES[job].in_pipeline(config.run):
            run(job, config)
    return frames.line_counts(run("ingest", config))


def prepare(config: Config) -> pd.DataFrame:
    """Makes the vocabulary and the sequences of training, validation and test.

    Returns: the counts of every step, in order: columns `step` and `count`; those of the split begin with "split: ".

    Raises:
        SeqrecError: there is too little data, or nothing ingested.
    """
    return frames.preparation_counts(run("prepare", config))


def train(config: Config, model: str | None = None) -> pd.DataFrame:
    """Trains a model; continues where an earlier training was cut off.

    Args:
        model: the model's name, such as "sli_rec"; None: that of `model.name`.
    Returns: one row per epoch, indexed by `epoch`: the loss, and the metrics on the validation rows.

    Raises:
        SeqrecError: settings or data with which training cannot start, or a run that diverges.
    """
    config = config.with_model(model)
    run("train", config)
    return frames.epochs(Storage(config.run.workdir), config.run.run)


def evaluate(config: Config, model: str | None = None) -> pd.DataFrame:
    """Measures a trained model and the baselines on the same rows.

    Args:
        model: as in `train`.
    Returns: one row per ranking and metric: `ranking`, `kind` (model or baseline), `metric`, `value`, and `low` and
        `high`, the bounds of the bootstrap interval over users (missing where a metric has none). Metrics that cannot
        vary, such as the hit rate@10 among 10 candidates, are left out. For a table of the values:
        `frame.pivot(index="ranking", columns="metric", values="value")`.

    Raises:
        SeqrecError: there is no such run, or it does not belong to the data.
    """
    return frames.metrics(run("evaluate", config.with_model(model)))


def recommend(config: Config, users: str | Iterable[str] | None = None, model: str | None = None) -> pd.DataFrame:
    """The items that a trained run ranks best; candidates are found first where they are missing.

    Args:
        users: one user id, several, or None for everyone. A user of whom nothing is known gets popular items.
        model: as in `train`.
    Returns: one row per listed item, by user and rank: `user_id`, `rank` from 1, `item_id`, `score`, `source` (what
        found the item) and `title` (missing without metadata).

    Raises:
        SeqrecError: there is no such run, or it does not belong to the data.
    """
    config = config.with_model(model)
    if config.run.recommendation.over == "candidates":
        run("candidates", config)
    wanted: dict[str, Any] = {"users": None, "user": None, "page": False}
    if users is not None:
        wanted["users"] = (users,) if isinstance(users, str) else tuple(dict.fromkeys(users))
    section = dataclasses.replace(config.run.recommendation, **wanted)
    config = dataclasses.replace(config, run=dataclasses.replace(config.run, recommendation=section))
    with errors_in_one_line(config):
        manifest = run("recommend", config)
        return frames.lists(Storage(config.run.workdir), manifest)


def run_job(config: Config, job: str, model: str | None = None) -> "pd.Series[Any]":
    """Runs any job by its name, such as "tune" or "export", as the command line does.

    Args:
        job: one of the jobs that `./spark-submit.sh help` lists.
        model: as in `train`.
    Returns: the counts of its result by name; empty for a job that makes no dataset.

    Raises:
        KeyError: there is no such job.
        SeqrecError: what the job would report in one line.
    """
    if job not in STAGES:
        raise KeyError(f"no job '{job}': use one of {', '.join(STAGES)}.")
    result = run(job, config.with_model(model))
    counts = result.counts if isinstance(result, Manifest) else {}
    return pd.Series({name: value for name, value in counts.items() if not isinstance(value, dict)}, dtype="object")
