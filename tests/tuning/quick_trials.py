"""Trials that need no training: the metric follows from the settings, by a formula with its best at one place.

They talk with the study as real ones do, through the same files.
"""

import json
import math
import threading
from pathlib import Path
from typing import Any

from seqrec.core.config import load_section
from seqrec.core.manifest import FileEntry, Manifest, Table
from seqrec.core.storage import Storage
from seqrec.models.config import ModelConfig
from seqrec.training.config import TrainingConfig
from seqrec.tuning.config import TuningConfig
from seqrec.tuning.executors import Running
from seqrec.tuning.search import Search
from seqrec.tuning.space_checks import build_space
from seqrec.tuning.trial_process import HISTORY, OUTCOME, TrialTask, may_go_on
from seqrec.tuning.trial_records import TrialFiles

BEST_RATE = 0.01
SPACE: dict[str, Any] = {
    "training.optimizer.learning_rate": {"low": 1.0e-4, "high": 1.0, "log": True},
    "model.item_dim": {"low": 8, "high": 32},
}


class QuickTrials:
    """An executor; `breaks_at`, `fails_at`, ... are numbers of the trial that interrupts the study, or fails."""

    def __init__(
        self,
        *,
        breaks_at: int | None = None,
        fails_at: tuple[int, ...] = (),
        dies_at: int | None = None,
        cannot_run: int | None = None,
    ):
        self.tasks: list[TrialTask] = []
        self._breaks_at, self._fails_at, self._dies_at, self._cannot_run = breaks_at, fails_at, dies_at, cannot_run

    def start(self, task: TrialTask) -> Running:
        self.tasks.append(task)
        number = int(task.folder.rpartition("/")[2])
        if number == self._breaks_at:
            raise KeyboardInterrupt
        return Running(lambda _: self._run(task, number), threading.Thread)

    def _run(self, task: TrialTask, number: int) -> int:
        storage = Storage(task.workdir)
        if number == self._cannot_run:
            raise MemoryError
        if number == self._dies_at:
            return -9
        if number in self._fails_at:
            self._end(storage, task, {"state": "failed", "error": "it broke", "traceback": "Traceback ..."})
            return 0
        history = []
        for epoch in range(1, task.training["num_epochs"] + 1):
            history.append({"epoch": epoch, "loss": 1.0, "group_auc": metric_of(task.training, epoch)})
            storage.write_bytes(f"{task.folder}/{HISTORY}", json.dumps(history).encode())
            if task.asks and not may_go_on(storage, task.folder, epoch):
                self._end(storage, task, {"state": "pruned", "error": None, "traceback": None})
                return 0
        self._end(storage, task, {"state": "done", "error": None, "traceback": None})
        return 0

    def _end(self, storage: Storage, task: TrialTask, outcome: dict[str, Any]) -> None:
        storage.write_bytes(f"{task.folder}/{OUTCOME}", json.dumps({**outcome, "host": "here"}).encode())


def metric_of(training: dict[str, Any], epoch: int) -> float:
    distance = math.log10(training["optimizer"]["learning_rate"] / BEST_RATE)
    return 0.5 + 0.5 / (1.0 + distance**2) * (1.0 - 0.5**epoch)


def prepared_manifest() -> Manifest:
    names = ("vocabulary/items", "vocabulary/categories", "sequences/train", "sequences/validation", "sequences/test")
    tables = {
        name: Table(rows=1, content="0" * 16, files=(FileEntry(path=f"prepared/toy/{name}", rows=1, size=1),))
        for name in names
    }
    return Manifest(
        stage="prepare", name="toy", id="x", format_version=1, recipe="x", settings={}, inputs={}, content="x",
        tables=tables, counts={},
    )  # fmt: skip


def quick_search(folder: Path, executor: QuickTrials, **tuning: Any) -> Search:
    """A search whose trials lie below `folder`."""
    values = {"space": SPACE, "num_trials": 8, "num_epochs": 4, **tuning}
    config = load_section(TuningConfig, values, "tuning")
    space = build_space(config.parameters(), ModelConfig(), TrainingConfig())
    return Search(
        space=space,
        config=config,
        metric="group_auc",
        prepared=prepared_manifest(),
        files=TrialFiles(Storage(str(folder)), "tuning/toy"),
        executor=executor,
        num_threads=1,
        seed=1,
    )
