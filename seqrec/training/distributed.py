"""What goes between workers: the only place that knows Horovod.

`Workers` is one worker alone, for which every exchange is the identity; `HorovodWorkers` is one of several. The rest
of training cannot tell them apart. Every method that exchanges something must be called by all workers alike.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from seqrec.core.errors import ConfigError, TrainingError
from seqrec.training.exchanged_values import checksum, pack_slices, unpack_slices
from seqrec.training.optimizers import MergedSlices, merge_rows

Gradient: TypeAlias = tf.Tensor | tf.IndexedSlices

_FORWARDED = ("HOROVOD_", "TF_", "AWS_", "AZURE_", "GOOGLE_", "DATABRICKS_", "MLFLOW_", "SEQREC_", "OMP_", "CUDA_")


class Workers:
    """One worker alone."""

    rank = 0
    size = 1
    local_rank = 0
    local_size = 1

    def __init__(self) -> None:
        self.host = socket.gethostname()
        self.tick: Callable[[], None] = lambda: None  # Called where progress is made; see `worker_status`.

    def exchange(
        self, gradients: Sequence[Gradient | None], statistics: tf.Tensor
    ) -> tuple[list[Gradient | None], tf.Tensor, tf.Tensor]:
        """Means over the workers of gradients and of a vector of statistics; inside the traced step.

        Args:
            gradients: tensors, or slices with every row once.
            statistics: float32 [M], never compressed.
        Returns: the means, slices again with every row once, and the bytes this worker has sent, int64 [].
        """
        return list(gradients), statistics, tf.zeros([], tf.int64)

    def gather_rows(self, rows: np.ndarray) -> np.ndarray:
        """The rows of all workers, in the order of their ranks."""
        return rows

    def largest(self, value: float) -> float:
        return value

    def broadcast(self, value: Any) -> Any:
        """Worker 0's value, on every worker; anything that JSON holds."""
        return value

    def broadcast_variables(self, variables: Sequence[tf.Variable]) -> None:
        """Sets variables to what they are on worker 0."""

    def check_equal(self, variables: Mapping[str, tf.Variable]) -> None:
        """Raises TrainingError where a variable differs, in a single bit, from worker 0's."""


class HorovodWorkers(Workers):
    """One of several workers, started by one of the launchers.

    Args:
        compress: send dense gradients as float16.
    """

    def __init__(self, compress: bool = False) -> None:
        super().__init__()
        import horovod.tensorflow as hvd

        _unset_broken_settings()
        hvd.init()
        self._hvd = hvd
        self._compress = compress
        self.rank, self.size = hvd.rank(), hvd.size()
        self.local_rank, self.local_size = hvd.local_rank(), hvd.local_size()

    def exchange(
        self, gradients: Sequence[Gradient | None], statistics: tf.Tensor
    ) -> tuple[list[Gradient | None], tf.Tensor, tf.Tensor]:
        means = list(gradients)
        dense = [i for i, g in enumerate(gradients) if g is not None and not isinstance(g, tf.IndexedSlices)]
        sparse = [i for i, g in enumerate(gradients) if isinstance(g, tf.IndexedSlices)]
        # Plain averages of plain tensors, so Keras plays no part; grouped, so that they travel together.
        if self._compress:  # A group is of one type.
            halves = [tf.cast(gradients[i], tf.float16) for i in dense]
            averaged = self._hvd.grouped_allreduce(halves, op=self._hvd.Average, name="dense")
            statistics = self._hvd.allreduce(statistics, op=self._hvd.Average, name="statistics")
        else:
            together = [*(gradients[i] for i in dense), statistics]
            *averaged, statistics = self._hvd.grouped_allreduce(together, op=self._hvd.Average, name="dense")
        for i, mean in zip(dense, averaged, strict=True):
            means[i] = tf.cast(mean, tf.float32)
        num_values = sum(int(np.prod(mean.shape)) for mean in averaged)
        bytes_sent = tf.constant(num_values * (2 if self._compress else 4), tf.int64)
        bytes_sent += tf.size(statistics, tf.int64) * 4
        if sparse:
            packed = pack_slices([gradients[i] for i in sparse])
            bytes_sent += tf.size(packed, tf.int64) * 4
            gathered = self._hvd.allgather(packed, name="sparse")
            for i, slices in zip(sparse, unpack_slices(gathered, [gradients[i] for i in sparse]), strict=True):
                merged = merge_rows(slices)
                means[i] = MergedSlices(merged.values / self.size, merged.indices, merged.dense_shape)
        return means, statistics, bytes_sent

    def gather_rows(self, rows: np.ndarray) -> np.ndarray:
        return self._hvd.allgather(tf.constant(rows), name="gather_rows").numpy()

    def largest(self, value: float) -> float:
        return float(self._hvd.allreduce(tf.constant(value, tf.float64), op=self._hvd.Max, name="largest").numpy())

    def broadcast(self, value: Any) -> Any:
        text = np.frombuffer(json.dumps(value).encode(), np.uint8) if self.rank == 0 else np.zeros(0, np.uint8)
        return json.loads(bytes(self.gather_rows(text)))

    def broadcast_variables(self, variables: Sequence[tf.Variable]) -> None:
        for number, variable in enumerate(variables):
            variable.assign(self._hvd.broadcast(variable.read_value(), root_rank=0, name=f"variable.{number}"))
            self.tick()

    def check_equal(self, variables: Mapping[str, tf.Variable]) -> None:
        sums = np.array([[checksum(variable) for variable in variables.values()]], np.int64)
        all_sums = self.gather_rows(sums)
        for rank in range(1, self.size):
            differing = np.flatnonzero(all_sums[rank] != all_sums[0])
            if len(differing):
                name = list(variables)[differing[0]]
                raise TrainingError(
                    f"Workers have drifted apart: {len(differing)} variables of worker {rank}, '{name}' among them, "
                    "differ from worker 0's, as when gradients are not averaged. Go on from an earlier checkpoint."
                )


def _unset_broken_settings() -> None:
    """Takes out what `horovod.runner.run` sets to the text "(None,)": its defaults end in commas (0.28.1).

    Horovod reads it as 0: its thread then never sleeps between two looks for work, on a core that training needs, and
    remembers no exchange: a fifth of a SLi-Rec step's processor time was lost to it.
    """
    for name in ("HOROVOD_CYCLE_TIME", "HOROVOD_CACHE_CAPACITY"):
        if os.environ.get(name) == "(None,)":
            del os.environ[name]


def launch_on_spark(
    worker: Callable[[Any], Any],
    job: Any,
    num_workers: int,
    start_timeout: int,
    spark: Any,
    ask_to_stop: Callable[[], None] | None = None,
    end_now: threading.Event | None = None,
) -> Any:
    """Runs `worker(job)` in `num_workers` tasks of a Spark job; returns worker 0's result.

    All tasks must run at the same time. Must be called in the main thread.

    Args:
        ask_to_stop, end_now: see `_signals_ask_to_stop`.

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
            "spark.task.maxFailures is not 1: after a worker's failure Spark may start it again alone and wait for "
            "ever. Submit with --conf spark.task.maxFailures=1.",
            stacklevel=2,
        )
    with _signals_ask_to_stop(ask_to_stop, end_now):
        results = horovod.spark.run(
            worker,
            args=(job,),
            num_proc=num_workers,
            start_timeout=start_timeout,
            use_gloo=True,
            executable=_shipped_python(context),
            env=_worker_environment(),
            stdout=sys.stdout,
            stderr=sys.stderr,
            verbose=0,
            nics={"lo"} if is_local else None,
        )
    return results[0]


def _shipped_python(context: Any) -> str | None:
    """Python in an archive that was unpacked beside each executor; None: the driver's path holds everywhere."""
    python = context.pythonExec
    return python if os.sep in python and not os.path.isabs(python) else None


def launch_by_horovodrun(
    worker: Callable[[Any], Any],
    job: Any,
    num_workers: int,
    start_timeout: int,
    hosts: str | None,
    ask_to_stop: Callable[[], None] | None = None,
    end_now: threading.Event | None = None,
) -> Any:
    """Runs `worker(job)` in processes of this machine, or of `hosts` ("a:2,b:2", by ssh); returns worker 0's result.

    Args:
        ask_to_stop, end_now: see `_signals_ask_to_stop`.
    """
    from horovod.runner import run

    with _signals_ask_to_stop(ask_to_stop, end_now), _environment(_worker_environment()):
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
    """What workers need of the driver's environment, which is not theirs; and where this package is found."""
    root = str(Path(__file__).parents[2])
    kept = {name: value for name, value in os.environ.items() if name.startswith(_FORWARDED)}
    path = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {"TF_CPP_MIN_LOG_LEVEL": "2", **kept, "PYTHONPATH": os.pathsep.join(dict.fromkeys(path))}


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables while inside: horovodrun hands its own environment to the workers."""
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
def _signals_ask_to_stop(ask_to_stop: Callable[[], None] | None, end_now: Any = None) -> Iterator[None]:
    """While inside, SIGINT or SIGTERM to the driver calls `ask_to_stop`; a second one ends the workers at once.

    Setting `end_now` does the latter too. On Spark it is needed for a worker that is stopped: Horovod's launcher there
    waits for every worker, even when one has failed. Horovod's launchers set handlers of their own, and leave them
    behind; theirs end the workers within five seconds, whatever they are saving. With None those stay.
    """
    from horovod.runner import gloo_run

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    theirs = gloo_run.register_shutdown_event
    if ask_to_stop is not None:
        gloo_run.register_shutdown_event = lambda: _event_of_second_signal(ask_to_stop, end_now or threading.Event())
    try:
        yield
    finally:
        gloo_run.register_shutdown_event = theirs
        for number, handler in before.items():
            signal.signal(number, handler)


def _event_of_second_signal(at_first: Callable[[], None], event: threading.Event) -> threading.Event:
    numbers: list[int] = []

    def handle(number: int, _: Any) -> None:
        if numbers:
            event.set()
        numbers.append(number)
        at_first()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    return event
