"""Starts the workers, shows their progress, and finds out which one was the cause when they end badly."""

import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from seqrec.core.errors import SeqrecError, StorageError, TrainingError, first_line
from seqrec.core.storage import Storage
from seqrec.scoring.tensorflow_process import quieten_tensorflow
from seqrec.training.job import TrainingJob, TrainingState, stop_error, user_error
from seqrec.training.reporting.progress import ProgressBar
from seqrec.training.reporting.status import (
    ABORT,
    DONE,
    FAILED,
    STOP,
    STOPPED,
    WorkerStatus,
    read_statuses,
    write_word,
)
from seqrec.training.workers.launchers import Callbacks, launch_by_horovodrun, launch_on_spark
from seqrec.training.workers.processes import launch_processes
from seqrec.training.workers.status_board import StatusBoard

Worker: TypeAlias = Callable[[TrainingJob], TrainingState]

_LOOK_SECONDS = 1.0
_PROBE_BYTES = 65_536  # A little more than a status.
_FOLLOW_SECONDS = 10.0  # Time for the others to notice a failure and end by themselves.
_SETTLE_SECONDS = 4.0  # Time after the end for the last status of every worker that could still write one.


def launch(job: TrainingJob, launcher: str, worker: Worker) -> TrainingState:
    """Runs all workers of a job to their end; returns the final state.

    Args:
        launcher: "in_process", "spark", "horovodrun" or "processes".
        worker: what each worker runs; a function of a module, so that other processes find it by name.

    Raises:
        SeqrecError: a worker's own, or a TrainingError that names the worker that failed, died or hung.
    """
    # TensorFlow reads these when it starts, and another stage of this process may start it before training can set
    # its threads.
    quieten_tensorflow()
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    if launcher == "in_process":
        with tempfile.TemporaryDirectory(prefix="seqrec-control-") as folder:
            return worker(replace(job, control=folder))
    if launcher == "spark":
        from seqrec.tables.sessions import spark_session

        with spark_session("train") as spark:
            return _launch_watched(job, worker, launcher, spark)
    return _launch_watched(job, worker, launcher, None)


def _launch_watched(job: TrainingJob, worker: Worker, launcher: str, spark: Any) -> TrainingState:
    """Runs the workers on Spark, by horovodrun or as processes, with a watcher beside them."""
    config = job.training
    is_local = config.hosts is None if spark is None else spark.sparkContext.master.startswith("local")
    job, folder = _with_control(job, is_local)
    watcher = Watcher(job)
    callbacks = Callbacks(watcher.ask_to_stop, watcher.note_failure, watcher.end_now)
    try:
        if spark is not None:
            return launch_on_spark(worker, job, config.num_workers, config.start_timeout, spark, callbacks)
        if launcher == "processes":
            return launch_processes(worker, job, config.num_workers, callbacks)
        return launch_by_horovodrun(worker, job, config.num_workers, config.start_timeout, config.hosts, callbacks)
    except SeqrecError:
        raise
    except Exception as error:
        raise watcher.explain(error) from None
    finally:
        watcher.close()
        shutil.rmtree(folder, ignore_errors=True) if folder else Storage(job.workdir).delete(_control_path(job))


class Watcher:
    """Follows the workers in a thread: draws worker 0's progress, and ends workers that hang."""

    def __init__(self, job: TrainingJob):
        self._job = job
        self._control = Storage(job.control)
        self._board = StatusBoard(job.training.num_workers)
        self._bar = ProgressBar()
        self._num_lines = 0
        self._hung = False
        self._stop_asked = threading.Event()
        self.end_now = threading.Event()  # Makes the launcher end all workers that are left.
        self._written: str | None = None  # The word that the workers were last sent.
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Has the workers save and end; may be called by a signal's handler."""
        self._stop_asked.set()

    def note_failure(self) -> None:
        """Gives the other workers a little time to notice and end by themselves; called by the launcher's threads."""
        self._board.note_failure()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._look()
        self._bar.close()

    def explain(self, error: BaseException) -> SeqrecError:
        """The error to show for a job whose launcher ended with `error`."""
        self._settle()
        board = self._board
        failed = board.in_state(FAILED)
        if failed and failed[0].error_class in ("ConfigError", "DataError", "StorageError", "TrainingError"):
            return user_error(failed[0].error_class, failed[0].error)
        ended = board.in_state(STOPPED, DONE)
        if ended and not failed and len(ended) == len(board.statuses):
            why = " on request" if self._stop_asked.is_set() else _signalled_workers(ended)
            return stop_error(ended[0].epoch, ended[0].step, why)
        if self._hung:
            what = f"has made no progress for {self._job.training.hang_timeout} s, so the workers were ended."
        else:
            what = "was killed, or its machine was lost, or it was stopped."
        if not failed and (full := self._full_disk()) is not None:
            return full
        if board.missing():
            return TrainingError(start_failure(board.missing(), str(error)))
        return TrainingError(board.explain(what))

    def _full_disk(self) -> StorageError | None:
        """Why workers may have ended without a status: nothing can be written where the statuses go."""
        try:
            self._control.write_bytes("probe", bytes(_PROBE_BYTES))
            self._control.delete("probe")
        except StorageError as error:
            return error
        return None

    def _watch(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            self._look()
            if not self._hung and self._board.is_hung(self._job.training.hang_timeout):
                self._hung = True
            word = ABORT if self._hung else STOP if self._stop_asked.is_set() else None
            if word != self._written:
                self._write(word)
            if self._hung or self._board.seconds_since_failure() > _FOLLOW_SECONDS:
                self.end_now.set()

    def _write(self, word: str | None) -> None:
        """Sends the workers a word; if that fails, as on a full disk, the next look tries again."""
        if word == STOP:
            self._bar.close()
            self._bar.write("asked to stop: the workers save and end; ask again to end them at once")
        try:
            write_word(self._control, word or "")
            self._written = word
        except StorageError:
            return

    def _look(self) -> None:
        """Reads all statuses and shows worker 0's."""
        self._board.see(read_statuses(self._control, self._job.training.num_workers))
        first = self._board.statuses[0]
        if first is None:
            return
        for line in first.lines[self._num_lines :]:
            self._bar.close()
            self._bar.write(line)
        self._num_lines = len(first.lines)
        if first.phase == "training" and first.steps:
            self._bar.show(first.epoch, first.step, first.steps, first.progress)

    def _settle(self) -> None:
        """Waits a little for the last statuses, but not once a worker has reported that it failed."""
        end = time.monotonic() + _SETTLE_SECONDS
        while time.monotonic() < end:
            time.sleep(0.5)
            self._look()
            if self._board.in_state(FAILED):
                return


def start_failure(missing: Sequence[int], error: str) -> str:
    """The message for workers that ended before they could write a status, taken from the launcher's own error."""
    first = re.search(r"Process name: (\d+)\s+Exit code: (-?\d+)", error)
    if first is not None:
        return f"Worker {first[1]} ended with exit code {first[2]} while it was starting; the others only followed."
    ranks = ", ".join(map(str, missing))
    return f"Worker {ranks} did not start: {first_line(error.strip() or 'no reason given')}"


def _signalled_workers(ended: Sequence[WorkerStatus]) -> str:
    """Why workers have stopped although the driver was not asked to; "" if none of them received a signal."""
    names = [f"{one.rank} on {one.host} (process {one.pid})" for one in ended if one.was_signalled]
    return f": worker {', '.join(names)} received SIGTERM, as when its executor is lost" if names else ""


def _with_control(job: TrainingJob, is_local: bool) -> tuple[TrainingJob, str | None]:
    """The job with the place of its statuses: a local folder if all workers are on this machine, else beside the run.

    Returns: the job, and the local folder to delete at the end, if there is one.
    """
    if is_local:
        folder = tempfile.mkdtemp(prefix="seqrec-control-")
        return replace(job, control=folder), folder
    storage = Storage(job.workdir)
    storage.delete(_control_path(job))
    return replace(job, control=storage.uri(_control_path(job))), None


def _control_path(job: TrainingJob) -> str:
    return f"{job.attempt_path}/workers"
