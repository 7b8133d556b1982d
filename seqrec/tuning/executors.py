"""Runs trials as processes of this machine, or as processes of Spark tasks."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from seqrec.core.errors import TrainingError
from seqrec.tuning.trial_process import TrialTask, run_process

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class Executor(Protocol):
    """Starts trials."""

    def start(self, task: TrialTask) -> "Running":
        """Starts a trial and returns at once."""
        ...


class Running:
    """A trial that was started."""

    def __init__(self, run: Callable[["Running"], int], make_thread: Callable[..., threading.Thread]):
        self.is_cancelled = threading.Event()
        self.status: int | None = None  # Exit status of the trial's process; None while it runs.
        self.error: BaseException | None = None  # The error that kept the process from running at all.
        self._thread = make_thread(target=self._run, args=(run,))
        self._thread.daemon = True
        self._thread.start()

    def cancel(self) -> None:
        """Ends the trial's process, and waits until it has ended."""
        self.is_cancelled.set()
        self._thread.join(timeout=30)

    def _run(self, run: Callable[["Running"], int]) -> None:
        try:
            self.status = run(self)
        except BaseException as error:
            self.error, self.status = error, 1


class LocalProcesses:
    """Runs every trial as a process of this machine."""

    def start(self, task: TrialTask) -> Running:
        return Running(lambda running: run_process(task, running.is_cancelled.is_set), threading.Thread)


class SparkTasks:
    """Runs every trial as a Spark job of one task, which starts one process on its node.

    Spark tries a task again that is lost with its executor, and the trial resumes from its checkpoint. But if
    `spark.task.maxFailures` is 1, as for a comparison with several training workers, such a trial fails.
    """

    def __init__(self, spark: "SparkSession"):
        self._context: Any = spark.sparkContext

    def start(self, task: TrialTask) -> Running:
        from pyspark import InheritableThread

        group = f"trial {task.folder}"

        def run(running: Running) -> int:
            self._context.setJobGroup(group, f"tuning: {group}", interruptOnCancel=True)
            statuses = self._context.parallelize([task], 1).map(_run_in_task).collect()
            if len(statuses) != 1:
                raise TrainingError(f"Spark returned {len(statuses)} results for {group}, expected one.")
            return statuses[0]

        return _SparkRunning(run, InheritableThread, self._context, group)


class _SparkRunning(Running):
    def __init__(self, run: Callable[[Running], int], make_thread: Any, context: Any, group: str):
        self._context, self._group = context, group
        super().__init__(run, make_thread)

    def cancel(self) -> None:
        self._context.cancelJobGroup(self._group)
        super().cancel()


def _run_in_task(task: TrialTask) -> int:
    return run_process(task)
