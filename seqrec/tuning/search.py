"""Draws trials, follows them, and records each in its file, until there are enough. Read `search` first."""

import dataclasses
import logging
import signal
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from seqrec.core.config import plain
from seqrec.core.errors import ConfigError, TrainingError, first_line
from seqrec.core.manifest import Manifest
from seqrec.feed.config import DEFAULT_FEED, FeedConfig
from seqrec.models.registry import check_settings
from seqrec.tuning.config import TuningConfig
from seqrec.tuning.executors import Executor, Running
from seqrec.tuning.search_space import SearchSpace
from seqrec.tuning.study import Study, default_draws
from seqrec.tuning.trial_process import HISTORY, OUTCOME, WORD, TrialTask, answer, look_seconds, read_json
from seqrec.tuning.trial_records import DONE, FAILED, PRUNED, RUNNING, TrialFiles, TrialRecord, best_of

_LOG = logging.getLogger(__name__)
# Tables that a trial may read. The test split is not among them: nothing that chooses settings can see it.
_TABLES = ("vocabulary/items", "vocabulary/categories", "sequences/train", "sequences/validation")
_LEFT_OVER = ("checkpoints", HISTORY, WORD, OUTCOME)  # Files of a trial that is over, which are deleted.


@dataclass(frozen=True)
class Search:
    """Everything that the trials of a study have in common."""

    space: SearchSpace
    config: TuningConfig
    metric: str
    prepared: Manifest
    files: TrialFiles
    executor: Executor
    num_threads: int | None  # Number of TensorFlow threads of a trial.
    seed: int  # Seed of every trial's training.
    feed: FeedConfig = DEFAULT_FEED


@dataclass
class _Followed:
    """A trial that runs."""

    record: TrialRecord
    running: Running
    since: float  # Monotonic time of its start, in seconds.
    seconds_before: float  # Time that earlier parts of the trial took.


def search(search: Search) -> Study:
    """Runs trials until `num_trials` are over, beginning with those that the files hold.

    Raises:
        TrainingError: no trial was trained to its end; the message has the error of the last one.
    """
    study = Study(search.space, search.config, search.files.read_all())
    waiting = [record for record in study.records if not record.is_over]
    _introduce(search, study)
    followed: list[_Followed] = []
    try:
        while True:
            while len(followed) < search.config.num_parallel:
                record = waiting.pop(0) if waiting else _next(search, study)
                if record is None:
                    break
                followed.append(_start(search, record))
            if not followed:
                break
            followed = [each for each in followed if not _is_over(search, study, each)]
            if followed:
                time.sleep(look_seconds(search.files.storage))
    finally:
        for each in followed:
            each.running.cancel()
    if best_of(study.records) is None:
        errors = [record.error for record in study.records if record.error]
        raise TrainingError(
            f"None of {len(study.records)} trials was trained to its end. "
            f"The last error: {errors[-1] if errors else 'none'}"
        )
    return study


def trial_configs(search: Search, record: TrialRecord) -> tuple[dict[str, Any], dict[str, Any]]:
    """The sections `model` and `training` of a trial.

    Raises:
        ConfigError: the drawn values do not fit together.
    """
    model, training = search.space.configs(record.settings)
    training = dataclasses.replace(
        training,
        run=None,
        metric=search.metric,
        num_epochs=search.config.num_epochs or training.num_epochs,
        num_workers=1,
        launcher="in_process",
        resume="auto",
        keep_last=1,
        mlflow=None,
        dry_run=False,
        num_threads=training.num_threads or search.num_threads,
    )
    sections = plain([model, training])
    return sections[0], sections[1]


def without_test_split(prepared: Manifest) -> Manifest:
    """The manifest with only those tables that a trial may read."""
    return dataclasses.replace(prepared, tables={name: prepared.table(name) for name in _TABLES})


def trial_line(record: TrialRecord, num_trials: int, metric: str, best: TrialRecord | None) -> str:
    """A line about a trial that is over."""
    parts = [f"trial {record.number + 1}/{num_trials}", f"{record.state:6}"]
    if record.value is not None:
        parts.append(f"{metric} {record.value:.4f}")
    if best is not None:
        parts.append("(best)" if best is record else f"(best {best.value:.4f}, trial {best.number + 1})")
    parts += [f"{len(record.rows)} epochs", f"{record.seconds:.0f} s"]
    parts += [f"{name.rpartition('.')[2]}={_shown(value)}" for name, value in record.drawn.items()]
    if record.error:
        parts.append(f"error: {record.error}")
    return "  ".join(parts)


def _introduce(search: Search, study: Study) -> None:
    over = sum(record.is_over for record in study.records)
    if study.records:
        cut_off = len(study.records) - over
        cut = f", {cut_off} of which were cut off" if cut_off else ""
        _LOG.info("tune: resuming after %d trials%s", over, cut)
        return
    if search.config.include_default:
        missing = [p.name for p in search.space.parameters if p.name not in default_draws(search.space)]
        missing = [name for name in missing if search.space.is_open(_named(search.space, name), {})]
        if missing:
            _LOG.info("tune: trial 1 is the default except for %s: the space has no such value", ", ".join(missing))


def _named(space: SearchSpace, name: str) -> Any:
    return next(parameter for parameter in space.parameters if parameter.name == name)


def _next(search: Search, study: Study) -> TrialRecord | None:
    """The next trial, recorded before it starts; None if there are enough. Values that do not fit together make a
    failed trial."""
    while len(study.records) < search.config.num_trials:
        record = study.draw()
        record.started = datetime.now(timezone.utc).isoformat(timespec="seconds")
        try:
            trial_configs(search, record)
            check_settings(search.space.configs(record.settings)[0])
        except ConfigError as error:
            _end(search, study, record, FAILED, str(error))
            continue
        search.files.write(record)
        return record
    return None


def _start(search: Search, record: TrialRecord) -> _Followed:
    model, training = trial_configs(search, record)
    task = TrialTask(
        workdir=search.files.storage.root,
        folder=search.files.folder(record.number),
        prepared=without_test_split(search.prepared).to_json(),
        model=model,
        training=training,
        feed=plain(search.feed),
        seed=search.seed,
        asks=search.config.pruning.enabled,
        max_seconds=search.config.max_trial_seconds,
    )
    if record.rows:  # The trial was cut off: epochs that were judged are not judged again.
        answer(search.files.storage, task.folder, len(record.rows), True)
    return _Followed(record, search.executor.start(task), time.monotonic(), record.seconds)


def _is_over(search: Search, study: Study, followed: _Followed) -> bool:
    """Reads what a trial has reported since the last look, answers it, and records its end."""
    record, running = followed.record, followed.running
    status = running.status  # Read before its files, so that everything that it wrote before its end is seen.
    folder, storage = search.files.folder(record.number), search.files.storage
    seconds = time.monotonic() - followed.since
    record.seconds = round(followed.seconds_before + seconds, 1)
    for row in (read_json(storage, f"{folder}/{HISTORY}") or [])[len(record.rows) :]:
        if record.state != RUNNING:
            break
        record.judge(row, search.metric)
        goes_on = study.goes_on(record)
        if not goes_on:
            record.state = PRUNED
        search.files.write(record)
        answer(storage, folder, len(record.rows), goes_on)
    if status is None:
        return False
    outcome = read_json(storage, f"{folder}/{OUTCOME}")
    if outcome is not None:
        record.host, record.traceback = outcome["host"], outcome["traceback"]
    if record.state == PRUNED:
        _end(search, study, record, PRUNED, None)
    elif outcome is None:
        _end(search, study, record, FAILED, _cause(running, status, search.config.max_trial_seconds, seconds))
    else:
        _end(search, study, record, outcome["state"], outcome["error"])
    return True


def _end(search: Search, study: Study, record: TrialRecord, state: str, error: str | None) -> None:
    record.state, record.error = state, error
    if state == DONE and record.value is None:
        record.state, record.error = FAILED, "it ended without a single epoch."
    study.end(record)
    search.files.write(record)
    for name in _LEFT_OVER:
        search.files.storage.delete(f"{search.files.folder(record.number)}/{name}")
    _LOG.info("%s", trial_line(record, search.config.num_trials, search.metric, best_of(study.records)))


def _cause(running: Running, status: int, max_seconds: int | None, seconds: float) -> str:
    """The reason why a trial's process ended without an outcome, `seconds` after its start."""
    if running.error is not None:
        return f"it could not be run: {first_line(running.error)}"
    if status == -signal.SIGKILL and max_seconds is not None and seconds >= max_seconds:
        return f"it took more than tuning.max_trial_seconds ({max_seconds} s)."
    if status < 0:
        return f"its process was killed by signal {-status}{' (out of memory?)' if status == -9 else ''}; see log.txt."
    return f"its process ended with exit status {status}; see log.txt."


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
