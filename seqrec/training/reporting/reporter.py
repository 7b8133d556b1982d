"""Where the loop's progress goes: the worker's status, and from worker 0 also the screen, the logs and history.csv."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seqrec.core.config import plain
from seqrec.core.storage import Storage
from seqrec.training.job import TrainingJob, TrainingState
from seqrec.training.reporting.mlflow import MlflowLog, attempt_tag
from seqrec.training.reporting.progress import ProgressBar, epoch_line, history_csv
from seqrec.training.reporting.status import StatusWriter
from seqrec.training.reporting.tensorboard import ScalarLog


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What there is to report after a step."""

    step: int  # Steps done in this epoch.
    steps: int  # Steps that this epoch has.
    loss: float
    examples_per_second: float  # Mean over this epoch's steps so far.
    scalars: Mapping[str, float] | None  # Figures for the logs by name; None in the steps that are not logged.


class Reporter:
    """Receives what the loop reports. Every worker has one.

    Args:
        state: the state that the loop advances.
        is_first: whether this is worker 0, which writes the logs.
        is_alone: whether it is the only worker. With several the driver draws the bar, from worker 0's status.
    """

    def __init__(
        self,
        job: TrainingJob,
        writer: StatusWriter,
        storage: Storage,
        state: TrainingState,
        *,
        is_first: bool,
        is_alone: bool,
    ):
        self._job = job
        self._writer = writer
        self._storage = storage
        self._state = state
        self._log = ScalarLog(storage, f"{job.attempt_path}/logs", job.training.scratch) if is_first else None
        self._mlflow = _mlflow_log(job, storage) if is_first and job.training.mlflow else None
        self._bar = ProgressBar() if is_alone else None

    def phase(self, name: str) -> None:
        """The worker begins something else, such as "training" or "validation"."""
        self._writer.tick()
        status, state = self._writer.status, self._state
        status.phase, status.epoch, status.step = name, state.epoch, state.step

    def step(self, report: StepReport) -> None:
        """A step is done."""
        self._writer.tick()
        status = self._writer.status
        status.step, status.steps = report.step, report.steps
        status.progress = {"loss": report.loss, "examples/s": report.examples_per_second}
        if self._bar is not None:
            self._bar.show(self._state.epoch, report.step, report.steps, status.progress)
        if report.scalars is not None:
            self._write_scalars(self._state.global_step, report.scalars)

    def epoch(self, row: Mapping[str, Any], is_best: bool) -> None:
        """An epoch is validated and saved; `row` is its line of the history."""
        self._writer.tick()
        self.show_line(epoch_line(row, self._job.training.num_epochs, is_best))
        if self._log is not None:
            kept = {k: v for k, v in row.items() if k not in ("epoch", "global_step", "steps")}
            self._write_scalars(row["global_step"], {f"epoch/{name}": value for name, value in kept.items()})
            self._log.publish()
            self._storage.write_bytes(f"{self._job.attempt_path}/history.csv", history_csv(self._state.history))

    def show_line(self, line: str) -> None:
        """Shows a line on the screen: from here, or by the driver, which reads it in worker 0's status."""
        self._writer.status.lines.append(line)
        if self._bar is not None:
            self._bar.close()
            self._bar.write(line)

    def close(self, failed: bool = False) -> None:
        if self._mlflow is not None:
            self._mlflow.close(failed)
        if self._bar is not None:
            self._bar.close()
        if self._log is not None:
            self._log.close()

    def _write_scalars(self, step: int, values: Mapping[str, float]) -> None:
        for log in (self._log, self._mlflow):
            if log is not None:
                log.write(step, values)


def _mlflow_log(job: TrainingJob, storage: Storage) -> MlflowLog:
    assert job.training.mlflow is not None
    run = job.attempt_path.split("/")[-2]
    settings = plain({"seed": job.seed, "model": job.model, "training": job.training})
    return MlflowLog(job.training.mlflow, run, attempt_tag(storage, job.attempt_path), settings)
