"""One trial in a process of its own, so that a crash, a kill or a leak ends only that trial.

`python -m seqrec.tuning.trial_process TASK.json` trains; `run_process` starts it and waits. It communicates with the
study through small files in the trial's folder, each written whole: `history.json` (the epochs so far), `word.json`
(the study's answer: continue or not), `outcome.json` (how it ended).
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from seqrec.core.config import load_section
from seqrec.core.errors import SeqrecError, first_line
from seqrec.core.storage import Storage, scratch_folder
from seqrec.feed.config import FeedConfig
from seqrec.models.config import ModelConfig
from seqrec.scoring.tensorflow_process import QUIET
from seqrec.training.config import TrainingConfig
from seqrec.training.job import TrainingJob
from seqrec.training.worker import run_worker
from seqrec.training.workers.processes import end_with_parent
from seqrec.tuning.trial_records import DONE, FAILED, PRUNED

HISTORY, WORD, OUTCOME, LOG = "history.json", "word.json", "outcome.json", "log.txt"
_LOOK_SECONDS = 0.05
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class TrialTask:
    """Everything that a trial's process needs; as JSON it can be sent to another machine."""

    workdir: str
    folder: str  # The trial's folder, relative to the workdir.
    prepared: str  # The prepared data's manifest as JSON, without the tables that a trial must not read.
    model: dict[str, Any]
    training: dict[str, Any]
    seed: int
    asks: bool  # Wait for the study's answer after each epoch.
    max_seconds: int | None
    feed: dict[str, Any] = field(default_factory=dict)


class TrialPrunedError(Exception):
    """The study has stopped the trial."""


def run_process(task: TrialTask, is_cancelled: Callable[[], bool] = lambda: False) -> int:
    """Runs a trial in a process of its own; returns the exit status, which is negative for a signal.

    The output of the process is stored as `log.txt` in the trial's folder.
    """
    with scratch_folder() as folder:
        description, log = folder / "task.json", folder / LOG
        description.write_text(json.dumps(asdict(task)), encoding="utf-8")
        environment = {**os.environ, **QUIET, "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
        environment["TMPDIR"] = str(folder)  # Deleted with the folder, even if the trial is killed.
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "seqrec.tuning.trial_process", str(description)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
            )
            try:
                status = _wait(process, task.max_seconds, is_cancelled)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        Storage(task.workdir).upload(log, f"{task.folder}/{LOG}")
        return status


def _wait(process: subprocess.Popen[bytes], max_seconds: int | None, is_cancelled: Callable[[], bool]) -> int:
    started = time.monotonic()
    while process.poll() is None:
        time.sleep(_LOOK_SECONDS)
        if is_cancelled() or (max_seconds is not None and time.monotonic() - started > max_seconds):
            process.kill()
            process.wait()
    return process.returncode


def train_trial(task: TrialTask) -> None:
    """Trains, reports each epoch to the study, and writes how the trial ended.

    An interrupt (SIGINT, SIGTERM) leaves no outcome: the trial resumes from its checkpoint when the study does.
    """
    storage = Storage(task.workdir)
    outcome: dict[str, Any] = {"state": DONE, "host": socket.gethostname(), "error": None, "traceback": None}

    def after_epoch(state: Any) -> None:
        _write(storage, f"{task.folder}/{HISTORY}", state.history)
        if task.asks and not may_go_on(storage, task.folder, state.epoch):
            raise TrialPrunedError

    try:
        with tempfile.TemporaryDirectory(prefix="seqrec-control-") as control:
            state = run_worker(_training_job(task, control), after_epoch)
        if not state.is_complete(task.training["num_epochs"]):
            sys.exit(128 + signal.SIGTERM)
        _write(storage, f"{task.folder}/{HISTORY}", state.history)
    except TrialPrunedError:
        outcome["state"] = PRUNED
    except Exception as error:
        text = first_line(error)
        text = text if isinstance(error, SeqrecError) else f"{type(error).__name__}: {text}"
        outcome |= {"state": FAILED, "error": text, "traceback": traceback.format_exc()}
        traceback.print_exc()
    _write(storage, f"{task.folder}/{OUTCOME}", outcome)


def read_json(storage: Storage, path: str) -> Any:
    """The content of a JSON file; None if there is none. Such files are written whole."""
    return json.loads(storage.read_bytes(path)) if storage.exists(path) else None


def answer(storage: Storage, folder: str, epoch: int, goes_on: bool) -> None:
    """Writes the study's answer to a trial that has finished `epoch`."""
    _write(storage, f"{folder}/{WORD}", {"epoch": epoch, "goes_on": goes_on})


def may_go_on(storage: Storage, folder: str, epoch: int) -> bool:
    """Waits for the study's answer to a trial that has finished `epoch`: whether it may train on."""
    while True:
        word: Mapping[str, Any] | None = read_json(storage, f"{folder}/{WORD}")
        if word is not None and (word["epoch"] >= epoch or not word["goes_on"]):
            return bool(word["goes_on"])
        time.sleep(look_seconds(storage))


def look_seconds(storage: Storage) -> float:
    """Seconds between two looks at files of another process; remote storage is asked less often."""
    return _LOOK_SECONDS if storage.local() is not None else 40 * _LOOK_SECONDS


def _training_job(task: TrialTask, control: str) -> TrainingJob:
    return TrainingJob(
        workdir=task.workdir,
        prepared=task.prepared,
        attempt_path=task.folder,
        resume_path=None,
        control=control,
        model=load_section(ModelConfig, task.model, "model"),
        training=load_section(TrainingConfig, task.training, "training"),
        seed=task.seed,
        feed=load_section(FeedConfig, task.feed, "feed"),
    )


def _write(storage: Storage, path: str, content: Any) -> None:
    storage.write_bytes(path, json.dumps(content).encode())


if __name__ == "__main__":
    end_with_parent()
    train_trial(TrialTask(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
