"""Starts the workers, shows what they do, and tells which one was the cause when they end badly."""

import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from seqrec.core.errors import SeqrecError, StorageError, TrainingError, first_line
from seqrec.core.storage import Storage
from seqrec.training.reporting.progress import ProgressBar
from seqrec.training.workers.status import (
    ABORT,
    DONE,
    FAILED,
    STOP,
    STOPPED,
    Observer,
    WorkerStatus,
    read_statuses,
    say,
)
from seqrec.training.workers.worker import TrainingJob, run_worker, stop_error, user_error

_LOOK_SECONDS = 1.0
_PROBE_BYTES = 65_536  # A little more than a status.
_FOLLOW_SECONDS = 10.0  # For the others, once one has failed, to find out and end by themselves.
_SETTLE_SECONDS = 4.0  # After the end: until the last word of the workers that could still write one.


def launch(job: TrainingJob, launcher: str) -> dict[str, Any]:
    """Runs all workers of a job to their end; returns the final state.

    Args:
        launcher: "in_process", "spark" or "horovodrun".

    Raises:
        SeqrecError: a worker's own, or a TrainingError that names the worker that failed, died or hung.
    """
    # Read when TensorFlow starts, which other stages in this process may do before training sets its threads.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    if launcher == "in_process":
        with tempfile.TemporaryDirectory(prefix="seqrec-control-") as folder:
            return run_worker(replace(job, control=folder))
    if launcher == "spark":
        from seqrec.tables.sessions import spark_session

        with spark_session("train") as spark:
            return _launch_watched(job, launcher, spark)
    return _launch_watched(job, launcher, None)


def _launch_watched(job: TrainingJob, launcher: str, spark: Any) -> dict[str, Any]:
    from seqrec.training.workers.launchers import launch_by_horovodrun, launch_on_spark

    config = job.training
    is_local = config.hosts is None if spark is None else spark.sparkContext.master.startswith("local")
    job, folder = _with_control(job, is_local)
    watcher = Watcher(job)
    try:
        if spark is not None:
            return launch_on_spark(run_worker, job, config.num_workers, config.start_timeout, spark, watcher)
        return launch_by_horovodrun(run_worker, job, config.num_workers, config.start_timeout, config.hosts, watcher)
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
        self._observer = Observer(job.training.num_workers)
        self._bar = ProgressBar()
        self._num_lines = 0
        self._hung = False
        self._stop_asked = threading.Event()
        self.end_now = threading.Event()  # Has the launcher end all workers that are left.
        self._said: str | None = None  # The word that the workers were told.
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Has the workers save and end; may be called by a signal's handler."""
        self._stop_asked.set()

    def worker_ended_badly(self) -> None:
        """Gives the others a little time to find out and end by themselves; called by the launcher's threads."""
        self._observer.note_failure()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._look()
        self._bar.close()

    def explain(self, error: BaseException) -> SeqrecError:
        """The error to show for a job that ended with `error` of the launcher."""
        self._settle()
        observer = self._observer
        failed = [status for status in observer.statuses if status is not None and status.state == FAILED]
        if failed and failed[0].error_class in ("ConfigError", "DataError", "StorageError", "TrainingError"):
            return user_error(failed[0].error_class, failed[0].error)
        ended = [status for status in observer.statuses if status is not None and status.state in (STOPPED, DONE)]
        if ended and not failed and len(ended) == len(observer.statuses):
            why = ", as asked" if self._stop_asked.is_set() else _who_was_signalled(ended)
            return stop_error(ended[0].epoch, ended[0].step, why)
        if self._hung:
            what = f"has made no progress for {self._job.training.hang_timeout} s, so the workers were ended."
        else:
            what = "was killed, or its machine was lost, or it was stopped."
        if not failed and (full := self._full_disk()) is not None:
            return full
        if any(status is None for status in observer.statuses):
            return TrainingError(unstarted(observer.statuses, str(error)))
        return TrainingError(observer.explain(what))

    def _full_disk(self) -> StorageError | None:
        """Why workers may have ended without a word: where their statuses go, nothing can be written."""
        try:
            self._control.write_bytes("probe", bytes(_PROBE_BYTES))
            self._control.delete("probe")
        except StorageError as error:
            return error
        return None

    def _watch(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            self._look()
            if not self._hung and self._observer.is_hung(self._job.training.hang_timeout):
                self._hung = True
            word = ABORT if self._hung else STOP if self._stop_asked.is_set() else None
            if word != self._said:
                self._say(word)
            if self._hung or self._observer.seconds_since_failure() > _FOLLOW_SECONDS:
                self.end_now.set()

    def _say(self, word: str | None) -> None:
        if word == STOP:
            self._bar.close()
            self._bar.write("asked to stop: the workers save and end; ask again to end them at once")
        try:
            say(self._control, word or "")
            self._said = word
        except StorageError:
            return  # As on a full disk: it is tried again.

    def _look(self) -> None:
        self._observer.see(read_statuses(self._control, self._job.training.num_workers))
        first = self._observer.statuses[0]
        if first is None:
            return
        for line in first.lines[self._num_lines :]:
            self._bar.close()
            self._bar.write(line)
        self._num_lines = len(first.lines)
        if first.phase == "training" and first.steps:
            self._bar.show(first.epoch, first.step, first.steps, first.progress)

    def _settle(self) -> None:
        """Waits a little for last words, but not once a worker has said that it failed."""
        end = time.monotonic() + _SETTLE_SECONDS
        while time.monotonic() < end:
            time.sleep(0.5)
            self._look()
            if any(status is not None and status.state == FAILED for status in self._observer.statuses):
                return


def unstarted(statuses: Sequence[WorkerStatus | None], error: str) -> str:
    """What to say when workers ended before they could say anything: from the launcher's own words."""
    first = re.search(r"Process name: (\d+)\s+Exit code: (-?\d+)", error)
    if first is not None:
        return f"Worker {first[1]} ended with exit code {first[2]} while it was starting; the others only followed."
    missing = [str(rank) for rank, status in enumerate(statuses) if status is None]
    return f"Worker {', '.join(missing)} did not start: {first_line(error.strip() or 'no reason given')}"


def _who_was_signalled(ended: Sequence[WorkerStatus]) -> str:
    """Why workers have stopped that the driver did not ask to; nothing if none was told to end."""
    names = [f"{one.rank} on {one.host} (process {one.pid})" for one in ended if one.was_signalled]
    return f": worker {', '.join(names)} was told to end (SIGTERM), as when its executor is lost" if names else ""


def _with_control(job: TrainingJob, is_local: bool) -> tuple[TrainingJob, str | None]:
    """Where statuses are written: a local folder if all workers are on this machine, else beside the run."""
    if is_local:
        folder = tempfile.mkdtemp(prefix="seqrec-control-")
        return replace(job, control=folder), folder
    storage = Storage(job.workdir)
    storage.delete(_control_path(job))
    return replace(job, control=storage.uri(_control_path(job))), None


def _control_path(job: TrainingJob) -> str:
    return f"{job.attempt_path}/workers"
