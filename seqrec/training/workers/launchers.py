"""Starts workers with Horovod's launchers, and adds what they lack: a soft stop, and an end of all after one fails."""

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from seqrec.core.errors import ConfigError
from seqrec.scoring.library_log import opened_log
from seqrec.scoring.tensorflow_process import QUIET

_REASON_SECONDS = 2.0  # Time for Horovod's thread to end, once Horovod has reported that Spark's job failed.
_FORWARDED = ("HOROVOD_", "TF_", "AWS_", "AZURE_", "GOOGLE_", "DATABRICKS_", "MLFLOW_", "SEQREC_", "OMP_", "CUDA_")


class Callbacks(NamedTuple):
    """What a launcher calls while workers run, and the event through which its caller ends them."""

    ask_to_stop: Callable[[], None]  # The driver has received a signal; called from the signal's handler.
    note_failure: Callable[[], None]  # A worker's process has ended with an exit code other than 0; from any thread.
    end_now: threading.Event  # Set by either side: the launcher then ends all workers.


def launch_on_spark(
    worker: Callable[[Any], Any],
    job: Any,
    num_workers: int,
    start_timeout: int,
    spark: Any,
    callbacks: Callbacks | None = None,
) -> Any:
    """Runs `worker(job)` in `num_workers` tasks of a Spark job; returns worker 0's result.

    All tasks must run at the same time. Must be called in the main thread.

    Raises:
        ConfigError: Spark runs locally with fewer slots than workers, so they could never all start.
    """
    import horovod.spark

    context = spark.sparkContext
    is_local = context.master.startswith("local")
    if is_local and context.defaultParallelism < num_workers:
        raise ConfigError(
            f"training.num_workers={num_workers} but Spark runs with {context.defaultParallelism} slots: submit with "
            f"--master local[{num_workers}], or use fewer workers."
        )
    if not is_local and context.getConf().get("spark.task.maxFailures", "4") != "1":
        warnings.warn(
            "spark.task.maxFailures is not 1: after a worker's failure Spark may start it again alone and wait "
            "forever. Submit with --conf spark.task.maxFailures=1.",
            stacklevel=2,
        )
    with (
        opened_log() as log,
        _signals_ask_to_stop(callbacks),
        _report_failed_spark_workers(callbacks),
        _spark_reason_instead_of_trace(),
    ):
        results = horovod.spark.run(
            worker,
            args=(job,),
            num_proc=num_workers,
            start_timeout=start_timeout,
            use_gloo=True,
            executable=_shipped_python(context),
            env=_worker_environment(),
            stdout=sys.stdout,
            stderr=log or sys.stderr,
            verbose=0,
            nics={"lo"} if is_local else None,
        )
    return results[0]


def _shipped_python(context: Any) -> str | None:
    """Python in an archive that was unpacked beside each executor; None if the driver's path holds everywhere."""
    python = context.pythonExec
    return python if os.sep in python and not os.path.isabs(python) else None


def launch_by_horovodrun(
    worker: Callable[[Any], Any],
    job: Any,
    num_workers: int,
    start_timeout: int,
    hosts: str | None,
    callbacks: Callbacks | None = None,
) -> Any:
    """Runs `worker(job)` in processes of this machine, or of `hosts` ("a:2,b:2", by ssh); returns worker 0's result."""
    from horovod.runner import run

    with _signals_ask_to_stop(callbacks), _environment(_worker_environment()):
        results = run(
            worker,
            args=(job,),
            num_proc=num_workers,
            hosts=hosts or f"localhost:{num_workers}",
            start_timeout=start_timeout,
            use_gloo=True,
        )
    return results[0]


def _worker_environment() -> dict[str, str]:
    """Environment variables to forward to the workers, with a PYTHONPATH on which they find this package."""
    root = str(Path(__file__).parents[3])
    kept = {name: value for name, value in os.environ.items() if name.startswith(_FORWARDED)}
    path = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**QUIET, **kept, "PYTHONPATH": os.pathsep.join(dict.fromkeys(path))}


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Context in which environment variables are set: horovodrun hands its own environment to the workers."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _signals_ask_to_stop(callbacks: Callbacks | None) -> Iterator[None]:
    """Context in which SIGINT or SIGTERM to the driver asks for a stop; a second signal ends the workers at once.

    Horovod's launchers set handlers of their own and leave them behind. Those end the workers within five seconds,
    whatever they are saving. Without callbacks they stay in place.
    """
    from horovod.runner import gloo_run

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    theirs = gloo_run.register_shutdown_event
    if callbacks is not None:
        gloo_run.register_shutdown_event = lambda: signals_of_a_driver(callbacks)
    try:
        yield
    finally:
        gloo_run.register_shutdown_event = theirs
        for number, handler in before.items():
            signal.signal(number, handler)


def signals_of_a_driver(callbacks: Callbacks) -> threading.Event:
    """The event that makes Horovod end its workers; a second signal to the driver sets it."""
    numbers: list[int] = []

    def handle(number: int, _: Any) -> None:
        if numbers:
            callbacks.end_now.set()
        numbers.append(number)
        callbacks.ask_to_stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    return callbacks.end_now


@contextlib.contextmanager
def _spark_reason_instead_of_trace() -> Iterator[None]:
    """Context in which a failed Spark job gives an error of one line, not sixty on the screen and "see above".

    Horovod collects the job's tasks in a thread of its own, which ends with Spark's exception.
    """
    reasons: list[str] = []
    before = threading.excepthook

    def keep_reason(arguments: Any) -> None:
        if arguments.thread is not None and arguments.thread.name.endswith("(run_spark)"):
            reasons.append(_first_reason(str(arguments.exc_value)))
            return
        with opened_log() as log:  # Those of Horovod that still write to streams which it has closed.
            if log is None:
                before(arguments)
            else:
                traceback.print_exception(arguments.exc_type, arguments.exc_value, arguments.exc_traceback, file=log)

    threading.excepthook = keep_reason
    try:
        yield
    except Exception as error:
        # The hook stays in place: that thread may end a little later than this one, and the process soon after both.
        if "see the error above" not in str(error):
            raise
        end = time.monotonic() + _REASON_SECONDS
        while not reasons and time.monotonic() < end:
            time.sleep(0.05)
        raise RuntimeError(reasons[0] if reasons else str(error)) from error
    threading.excepthook = before


def _first_reason(java_error: str) -> str:
    """Extracts the Java exception's message from a py4j error.

    Its text is "An error occurred while calling ...", then a line with a colon and the exception, then Java's trace.
    """
    lines = java_error.splitlines()
    reason = next((line for line in lines if line.startswith(": ")), lines[0] if lines else "")
    return reason.removeprefix(": ").removeprefix("org.apache.spark.SparkException: ").strip()


@contextlib.contextmanager
def _report_failed_spark_workers(callbacks: Callbacks | None) -> Iterator[None]:
    """Context in which a worker on Spark that ends badly is reported at once.

    Horovod's launcher for Spark reports no failure until every worker has ended: it waits forever if one is stopped,
    and 30 seconds if one still waits for a dead one to connect.
    """
    from horovod.spark import gloo_run

    if callbacks is None:
        yield
        return
    theirs = gloo_run.rsh

    def rsh(*arguments: Any, **named: Any) -> int:
        exit_code = theirs(*arguments, **named)
        if exit_code != 0:
            callbacks.note_failure()
        return exit_code

    gloo_run.rsh = rsh
    try:
        yield
    finally:
        gloo_run.rsh = theirs
