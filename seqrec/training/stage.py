"""The `train` stage: reads prepared sequences, writes a run. TensorFlow is first imported by the workers."""

import json
import logging
from functools import partial
from typing import NamedTuple

import yaml

from seqrec.core.config import plain, recipe_settings
from seqrec.core.errors import TrainingError, check_all
from seqrec.core.manifest import Attempt, Dataset, FileEntry, Manifest, Recipe, Table
from seqrec.core.stage import StageOutput
from seqrec.core.storage import Storage, stream_digest
from seqrec.events.features import copy_features
from seqrec.events.vocabulary import CATEGORIES, ITEMS, copy_table
from seqrec.feed.config import DEFAULT_FEED, FeedConfig
from seqrec.feed.plan import advise_on_left_over, describe_plan, plan_epoch
from seqrec.models.config import ModelConfig
from seqrec.models.registry import load_options
from seqrec.scoring.run_files import CONFIG, WEIGHTS
from seqrec.training.checks import (
    TRAIN,
    TRAIN_FILES,
    check_memory,
    check_prepared,
    choose_launcher,
    differences,
    layout_of,
    train_files_digest,
    with_metric,
)
from seqrec.training.config import TrainingConfig
from seqrec.training.job import TrainingJob, TrainingState, stop_error
from seqrec.training.learning_rate import plan_learning_rate
from seqrec.training.objectives.registry import check_objective, reads_of
from seqrec.training.objectives.target_lists import read_target_lists
from seqrec.training.worker import run_worker
from seqrec.training.workers.horovod_build import require_horovod
from seqrec.training.workers.watcher import launch

_LOG = logging.getLogger(__name__)
_SETTINGS = "settings.json"  # The settings and inputs that an attempt was begun with.


class _Inputs(NamedTuple):
    """What a run is made from."""

    prepared: Manifest
    model: ModelConfig
    training: TrainingConfig
    seed: int
    lists: Manifest | None  # Candidates of the training targets; None: no negatives are drawn from them.


def _read_inputs(storage: Storage, name: str, model: ModelConfig, training: TrainingConfig, seed: int) -> _Inputs:
    prepared = Dataset(storage, "prepared", name).require("prepare")
    lists = read_target_lists(storage, prepared) if training.loss.candidates_share else None
    return _Inputs(prepared, model, with_metric(training, model), seed, lists)


def current_run(
    storage: Storage, name: str, run: str, model: ModelConfig, training: TrainingConfig, seed: int, force: bool
) -> Manifest | None:
    """`runs/<run>`, if it is up to date and as long as `training` wants it; None too for a dry run."""
    inputs = _read_inputs(storage, name, model, training, seed)
    return None if training.dry_run else _current(_output(storage, run, inputs, force), training)


def run_train(
    storage: Storage,
    name: str,
    run: str,
    model: ModelConfig,
    training: TrainingConfig,
    seed: int,
    force: bool,
    feed: FeedConfig = DEFAULT_FEED,
) -> Manifest:
    """Trains on `prepared/<name>` and writes `runs/<run>`; resumes an earlier attempt that was cut off.

    With `training.dry_run` it only prints the plan, and returns the prepared data's manifest.

    Raises:
        SeqrecError: settings, data, storage or workers with which training cannot start or continue.
    """
    inputs = _read_inputs(storage, name, model, training, seed)
    load_options(inputs.model)
    check_objective(inputs.training.loss, inputs.model.name, inputs.training.jit)
    num_runs = _num_runs(storage, inputs)
    plan = _checked_plan(inputs, num_runs)
    if training.dry_run:
        print(plan)
        return inputs.prepared
    output = _output(storage, run, inputs, force)
    current = _current(output, training)
    if current is not None:
        return current
    earlier = output.earlier if output.resumes else None
    attempt = _begin(output, inputs)
    _LOG.info("%s", plan)
    state = _launch(attempt, inputs, feed, earlier, num_runs)
    _LOG.info("train: run '%s' ends %s", run, _ending(state, inputs.training))
    return _publish(attempt, inputs, state)


def _num_runs(storage: Storage, inputs: _Inputs) -> tuple[int, ...] | None:
    """The runs of events in each training file, counted once for all workers; None for a loss that reads windows."""
    if reads_of(inputs.training.loss, inputs.model.name) != "runs":
        return None
    from seqrec.feed.runs import count_runs

    return tuple(count_runs(storage, inputs.prepared.table(TRAIN).files, inputs.model.max_history_length))


def _checked_plan(inputs: _Inputs, num_runs: tuple[int, ...] | None) -> str:
    """A description of the first epoch's plan, once settings and data are known to go together."""
    layout, files = layout_of(inputs.training, inputs.seed), inputs.prepared.table(TRAIN).files
    plan_of = partial(plan_epoch, files, layout, num_runs=num_runs)
    check_all(partial(plan_of, 0), partial(check_prepared, inputs.prepared, inputs.model, inputs.training))
    plan = plan_of(0)
    rate = plan_learning_rate(inputs.training, lambda epoch: plan_of(epoch).steps)
    lines = [describe_plan(plan, layout), rate.describe()]
    if choose_launcher(inputs.training) == "in_process":
        lines += filter(None, [check_memory(inputs.prepared, inputs.model, inputs.training)])
    lines += filter(None, [advise_on_left_over(plan, layout)])
    return "\n".join(lines)


def _output(storage: Storage, run: str, inputs: _Inputs, force: bool) -> StageOutput:
    dataset = Dataset(storage, "runs", run)
    return StageOutput(dataset, _recipe(storage, inputs), force, resumes=inputs.training.resume == "auto")


def _current(output: StageOutput, training: TrainingConfig) -> Manifest | None:
    def is_finished(run: Manifest) -> bool:
        return run.details["stopped_early"] or run.details["epochs"] >= training.num_epochs

    return output.current(is_finished, lambda run: f"{run.details['epochs']} epochs")


def _recipe(storage: Storage, inputs: _Inputs) -> Recipe:
    """What decides the numbers.

    The number of epochs does not, so a longer run resumes where a shorter one ended; except where every step's learning
    rate depends on it.
    """
    training = inputs.training
    contents = {"prepared": inputs.prepared.content, "vocabulary": inputs.prepared.table(ITEMS).content}
    contents[TRAIN_FILES] = train_files_digest(inputs.prepared)
    if training.start_from:
        contents["start_from"] = Dataset(storage, "runs", training.start_from).require("train").content
    if inputs.lists is not None:
        contents["candidates"] = inputs.lists.content
    own = recipe_settings(training)
    if training.optimizer.schedule == "cosine":
        own["num_epochs"] = training.num_epochs
    settings = {"model": recipe_settings(inputs.model), "training": own, "seed": inputs.seed}
    return Recipe(stage="train", settings=settings, inputs=contents)


def _begin(output: StageOutput, inputs: _Inputs) -> Attempt:
    """The attempt to write to, with the files that describe the run already in it."""
    if output.resumes and not output.force:
        _refuse_other_settings(output)
    attempt = output.begin()
    _write_description(attempt, inputs, output.recipe)
    return attempt


def _refuse_other_settings(output: StageOutput) -> None:
    """An unfinished attempt with a checkpoint is work: other settings must not silently delete it."""
    dataset, recipe = output.dataset, output.recipe
    storage = dataset.storage
    for attempt_id in output.other_attempts():
        path = f"{dataset.path}/{attempt_id}"
        has_settings = storage.exists(f"{path}/{_SETTINGS}")
        is_finished = storage.exists(f"{path}/{WEIGHTS}")
        if is_finished or not has_settings:
            continue
        if not any("/step-" in file.path for file in storage.list_files(f"{path}/checkpoints")):
            continue
        stored = json.loads(storage.read_bytes(f"{path}/{_SETTINGS}"))
        differing = differences(stored, {"settings": dict(recipe.settings), "inputs": dict(recipe.inputs)})
        raise TrainingError(
            f"Run '{dataset.name}' has unfinished training with other settings: {'; '.join(differing)}. Set these back "
            "to resume it, set training.resume=never to start over, or name another training.run."
        )


def _launch(
    attempt: Attempt,
    inputs: _Inputs,
    feed: FeedConfig,
    earlier: Manifest | None,
    num_runs: tuple[int, ...] | None,
) -> TrainingState:
    """Runs the workers to the end; `earlier` is a finished run to resume from, if there is one.

    Raises:
        TrainingError: training was asked to stop before its last epoch.
    """
    job = TrainingJob(
        workdir=attempt.storage.uri(),  # Absolute: workers may run in another folder.
        prepared=inputs.prepared.to_json(),
        attempt_path=attempt.path,
        resume_path=f"{attempt.dataset.path}/{earlier.id}" if earlier is not None else None,
        control="",
        model=inputs.model,
        training=inputs.training,
        seed=inputs.seed,
        feed=feed,
        num_runs=num_runs,
        lists=None if inputs.lists is None else inputs.lists.to_json(),
    )
    launcher = choose_launcher(inputs.training)
    if launcher not in ("in_process", "processes"):
        require_horovod()
    state = launch(job, launcher, run_worker)
    if not state.is_complete(inputs.training.num_epochs):
        raise stop_error(state.epoch, state.step, " on request")
    return state


def _ending(state: TrainingState, training: TrainingConfig) -> str:
    why = "no better metric for a while" if state.stopped_early else "all epochs done"
    best = f"{training.metric} {state.best_value:.4f}"
    return f"after epoch {state.epoch} ({why}); best is epoch {state.best_epoch + 1}, {best}."


def _write_description(attempt: Attempt, inputs: _Inputs, recipe: Recipe) -> None:
    """Writes a run's settings, for people and for the next attempt, and the vocabulary that its indices refer to."""
    config = plain({"seed": inputs.seed, "model": inputs.model, "training": inputs.training})
    attempt.storage.write_bytes(f"{attempt.path}/{CONFIG}", yaml.safe_dump(config, sort_keys=False).encode())
    settings = {"settings": dict(recipe.settings), "inputs": dict(recipe.inputs)}
    attempt.storage.write_bytes(f"{attempt.path}/{_SETTINGS}", json.dumps(settings).encode())
    for name in (ITEMS, CATEGORIES):
        table = inputs.prepared.table(name)
        has_rows = table.rows > 0  # Data without metadata has no categories.
        if has_rows and not attempt.storage.exists(f"{attempt.path}/{name}.parquet"):
            copy_table(attempt.storage, table, f"{attempt.path}/{name}.parquet", inputs.training.scratch)


def _publish(attempt: Attempt, inputs: _Inputs, state: TrainingState) -> Manifest:
    from seqrec.training.checkpoints import Checkpoints
    from seqrec.training.reporting.progress import history_csv

    storage, training, prepared = attempt.storage, inputs.training, inputs.prepared
    # Worker 0 writes it after each epoch's checkpoint; a worker killed between the two leaves out the last row.
    storage.write_bytes(f"{attempt.path}/history.csv", history_csv(state.history))
    weights = Checkpoints(storage, attempt.path, training.keep_last, training.scratch).publish_best()
    details = {
        "weights": WEIGHTS,
        "model": plain(inputs.model),
        "seed": inputs.seed,
        "prepared": prepared.name,
        **{key: prepared.details[key] for key in ("num_trained_items", "num_items", "num_categories")},
        "epochs": state.epoch,
        "stopped_early": state.stopped_early,
        "metric": training.metric,
        "best": state.history[state.best_epoch],
    }
    counts = {"steps": state.global_step, "examples": state.global_step * training.global_batch_size}
    tables = {name: _published_table(attempt, prepared, name) for name in (ITEMS, CATEGORIES)}
    feature_tables, feature_details = copy_features(storage, prepared, attempt.path, training.scratch)
    tables, details, content = tables | feature_tables, details | feature_details, _digest(storage, weights)
    return attempt.publish(tables=tables, counts=counts, details=details, content=content)


def _published_table(attempt: Attempt, prepared: Manifest, name: str) -> Table:
    source = prepared.table(name)
    if not source.rows:
        return Table(rows=0, content=source.content, files=())
    path = f"{attempt.path}/{name}.parquet"
    size = next(file.size for file in attempt.storage.list_files(attempt.path) if file.path == path)
    return Table(rows=source.rows, content=source.content, files=(FileEntry(path=path, rows=source.rows, size=size),))


def _digest(storage: Storage, path: str) -> str:
    with storage.open_input(path) as stream:
        return stream_digest(stream)[:32]
