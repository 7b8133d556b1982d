"""Exchanges between workers. Only this module and `launchers.py`, which starts them, know Horovod.

`Workers` is a single worker, for which every exchange is the identity; `HorovodWorkers` is one of several, and so is
`TensorFlowWorkers` (`collectives.py`). The rest of training cannot tell them apart. All workers must call every method
that exchanges something, in the same order.
"""

import json
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from seqrec.core.errors import TrainingError
from seqrec.models.weights import assign_rows, read_rows, row_blocks
from seqrec.training.optimizers import Gradient, MergedSlices, merge_rows
from seqrec.training.workers.packed_gradients import checksum, pack_slices, unpack_slices

# The smallest float16 is 6e-8, and gradients of the attention start at about 1e-9: unscaled, they would all become 0.
HALF_SCALE = 2.0**12


class Workers:
    """A single worker."""

    rank = 0
    size = 1
    local_rank = 0
    local_size = 1

    def __init__(self) -> None:
        self.host = socket.gethostname()
        self.tick: Callable[[], None] = lambda: None  # Called where progress is made; see `WorkerStatus.num_ticks`.

    def connect(self) -> None:
        """Finds the other workers; called once, after the threads and devices of TensorFlow are set."""

    def exchange(
        self, gradients: Sequence[Gradient | None], statistics: tf.Tensor
    ) -> tuple[list[Gradient | None], tf.Tensor, tf.Tensor]:
        """Means over the workers of gradients and of a vector of statistics; called inside the traced step.

        Args:
            gradients: tensors, or slices with every row once; None for a variable without a gradient.
            statistics: float32 [M], never compressed.
        Returns: the means, slices again with every row once, and the bytes this worker has sent, int64 [].
        """
        return list(gradients), statistics, tf.zeros([], tf.int64)

    def mean(self, value: tf.Tensor) -> tf.Tensor:
        """Mean over the workers of one number, float32 []; called inside the traced step."""
        return value

    def gather_rows(self, rows: np.ndarray) -> np.ndarray:
        """The rows of all workers, in the order of their ranks."""
        return rows

    def largest(self, value: float) -> float:
        """The largest value of any worker."""
        return value

    def broadcast(self, value: Any) -> Any:
        """Worker 0's value, on every worker; anything that JSON can hold."""
        return value

    def broadcast_variables(self, variables: Sequence[tf.Variable]) -> None:
        """Sets variables to their values on worker 0."""

    def check_equal(self, variables: Mapping[str, tf.Variable]) -> None:
        """Checks that variables are the same on every worker, bit for bit.

        Raises:
            TrainingError: a worker has another value than worker 0.
        """


class SeveralWorkers(Workers):
    """One of several workers, whatever carries their exchanges."""

    def broadcast(self, value: Any) -> Any:
        text = np.frombuffer(json.dumps(value).encode(), np.uint8) if self.rank == 0 else np.zeros(0, np.uint8)
        return json.loads(bytes(self.gather_rows(text)))

    def check_equal(self, variables: Mapping[str, tf.Variable]) -> None:
        sums = np.array([[checksum(variable) for variable in variables.values()]], np.int64)
        all_sums = self.gather_rows(sums)
        for rank in range(1, self.size):
            differing = np.flatnonzero(all_sums[rank] != all_sums[0])
            if len(differing):
                name = list(variables)[differing[0]]
                raise TrainingError(
                    f"Workers have drifted apart: {len(differing)} variables of worker {rank}, '{name}' among them, "
                    "differ from worker 0's, as when gradients are not averaged. Start from an earlier checkpoint."
                )


class HorovodWorkers(SeveralWorkers):
    """One of several workers, started by one of the launchers.

    Args:
        compress: whether dense gradients are sent as float16.
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
        # Plain averages of plain tensors, so Keras is not involved; grouped, so that they travel together.
        if self._compress:  # A group is of one type.
            # Each worker sends its share of the mean: a sum of whole gradients could overflow where the mean does not.
            halves = [to_half(gradients[i], self.size) for i in dense]
            sums = self._hvd.grouped_allreduce(halves, op=self._hvd.Sum, name="dense")
            averaged = [tf.cast(total, tf.float32) / HALF_SCALE for total in sums]
            statistics = self._hvd.allreduce(statistics, op=self._hvd.Average, name="statistics")
        else:
            together = [*(gradients[i] for i in dense), statistics]
            *averaged, statistics = self._hvd.grouped_allreduce(together, op=self._hvd.Average, name="dense")
        for i, mean in zip(dense, averaged, strict=True):
            means[i] = mean
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

    def mean(self, value: tf.Tensor) -> tf.Tensor:
        return self._hvd.allreduce(value, op=self._hvd.Average, name="mean")

    def gather_rows(self, rows: np.ndarray) -> np.ndarray:
        return self._hvd.allgather(tf.constant(rows), name="gather_rows").numpy()

    def largest(self, value: float) -> float:
        return float(self._hvd.allreduce(tf.constant(value, tf.float64), op=self._hvd.Max, name="largest").numpy())

    def broadcast_variables(self, variables: Sequence[tf.Variable]) -> None:
        for number, variable in enumerate(variables):
            # In blocks: what arrives is a copy, so a whole table would take its size once more.
            for start, stop in row_blocks(variable):
                values = read_rows(variable, start, stop)
                values = self._hvd.broadcast(values, root_rank=0, name=f"variable.{number}.{start}")
                if self.rank > 0:
                    assign_rows(variable, start, stop, values)
                self.tick()


def to_half(gradient: tf.Tensor, num_workers: int) -> tf.Tensor:
    """A worker's share of the mean gradient in float16, times `HALF_SCALE`; clipped to ±8 so that no sum overflows."""
    largest = 8.0 * HALF_SCALE / num_workers  # The sum of all stays at half of what float16 holds.
    return tf.cast(tf.clip_by_value(gradient * (HALF_SCALE / num_workers), -largest, largest), tf.float16)


def _unset_broken_settings() -> None:
    """Unsets the variables that `horovod.runner.run` sets to the text "(None,)": its defaults end in commas (0.28.1).

    Horovod reads that as 0. Its thread then never sleeps between two looks for work, on a core that training needs, and
    it remembers no exchange. That took a fifth of the processor time of a SLi-Rec step.
    """
    for name in ("HOROVOD_CYCLE_TIME", "HOROVOD_CACHE_CAPACITY"):
        if os.environ.get(name) == "(None,)":
            del os.environ[name]
