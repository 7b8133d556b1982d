"""Exchanges by TensorFlow's own collective operations, over gRPC between processes that `TF_CONFIG` names.

For stacks without Horovod. Every operation runs on the CPU and in a ring, so all workers get the same bits. A key makes
an operation known to the others, and all uses of a key must have one type and one shape. So what may have any size
travels as 32-bit words, padded to a power of two, whose exponent is part of the key.
"""

import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from seqrec.models.weights import assign_rows, read_rows, row_blocks
from seqrec.training.optimizers import Gradient, MergedSlices, merge_rows
from seqrec.training.workers.exchange import HALF_SCALE, SeveralWorkers, to_half
from seqrec.training.workers.packed_gradients import pack_slices, unpack_slices

_GROUP = 7001
# Keys of operations; the last two are the first of 32, one for each power of two.
_STATISTICS, _DENSE, _HALVES, _SIZES, _MEAN, _LARGEST, _GATHERED, _BROADCAST = 1, 2, 3, 4, 5, 6, 100, 200


class TensorFlowWorkers(SeveralWorkers):
    """One of several workers, whose addresses are in `TF_CONFIG`.

    Args:
        compress: whether dense gradients are sent as float16.
    """

    def __init__(self, compress: bool = False) -> None:
        super().__init__()
        given = json.loads(os.environ["TF_CONFIG"])
        addresses = given["cluster"]["worker"]
        hosts = [address.rpartition(":")[0] for address in addresses]
        self._compress = compress
        self.rank, self.size = int(given["task"]["index"]), len(addresses)
        self.local_rank = hosts[: self.rank].count(hosts[self.rank])
        self.local_size = hosts.count(hosts[self.rank])
        self._strategy: Any = None

    def connect(self) -> None:
        ring = tf.distribute.experimental.CollectiveCommunication.RING
        options = tf.distribute.experimental.CommunicationOptions(implementation=ring)
        # It starts the server of this process, waits for the others, and notices when one is gone.
        self._strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)

    def exchange(
        self, gradients: Sequence[Gradient | None], statistics: tf.Tensor
    ) -> tuple[list[Gradient | None], tf.Tensor, tf.Tensor]:
        means = list(gradients)
        dense = [i for i, g in enumerate(gradients) if g is not None and not isinstance(g, tf.IndexedSlices)]
        sparse = [i for i, g in enumerate(gradients) if isinstance(g, tf.IndexedSlices)]
        shapes = [tf.convert_to_tensor(gradients[i]).shape for i in dense]
        if self._compress:
            halves = _joined([to_half(gradients[i], self.size) for i in dense])
            joined = tf.cast(self._reduce(halves, _HALVES), tf.float32) / HALF_SCALE
            statistics = self._reduce(statistics, _STATISTICS) / self.size
        else:
            joined = self._reduce(_joined([*(gradients[i] for i in dense), statistics]), _DENSE) / self.size
            joined, statistics = tf.split(joined, [-1, tf.size(statistics)])
        counts = [int(np.prod(shape)) for shape in shapes]
        for i, part, shape in zip(dense, tf.split(joined, counts), shapes, strict=True):
            means[i] = tf.reshape(part, shape)
        bytes_sent = tf.constant(sum(counts) * (2 if self._compress else 4), tf.int64)
        bytes_sent += tf.size(statistics, tf.int64) * 4
        if sparse:
            packed = pack_slices([gradients[i] for i in sparse])
            bytes_sent += tf.size(packed, tf.int64) * 4
            with tf.control_dependencies([joined]):  # One exchange after the other, in the same order on all workers.
                words = self._gather_words(tf.reshape(tf.bitcast(packed, tf.int32), [-1]))
            gathered = tf.reshape(tf.bitcast(words, tf.float32), [-1, int(packed.shape[1])])
            for i, slices in zip(sparse, unpack_slices(gathered, [gradients[i] for i in sparse]), strict=True):
                merged = merge_rows(slices)
                means[i] = MergedSlices(merged.values / self.size, merged.indices, merged.dense_shape)
        return means, statistics, bytes_sent

    def mean(self, value: tf.Tensor) -> tf.Tensor:
        return self._reduce(value, _MEAN) / self.size

    def gather_rows(self, rows: np.ndarray) -> np.ndarray:
        data = np.ascontiguousarray(rows).tobytes()
        # The first word is the number of bytes, as the last word may be filled up.
        words = np.frombuffer(np.int32(len(data)).tobytes() + data + bytes(-len(data) % 4), np.int32)
        gathered, found = self._gather_words(tf.constant(words)).numpy(), b""
        place = 0
        while place < len(gathered):
            size = int(gathered[place])
            num_words = -(-size // 4)
            found += gathered[place + 1 : place + 1 + num_words].tobytes()[:size]
            place += 1 + num_words
        return np.frombuffer(found, rows.dtype).reshape(-1, *rows.shape[1:])

    def largest(self, value: float) -> float:
        return float(self._reduce(tf.constant(value, tf.float64), _LARGEST, "Max"))

    def broadcast_variables(self, variables: Sequence[tf.Variable]) -> None:
        for variable in variables:
            for start, stop in row_blocks(variable):
                values = read_rows(variable, start, stop)
                words = tf.reshape(tf.bitcast(values, tf.int32), [-1])
                # A sum with zeros, of words, so that not even the sign of a zero changes.
                words = words if self.rank == 0 else tf.zeros_like(words)
                words = self._reduce(_padded(words, _exponent(tf.size(words))), _BROADCAST + _exponent(tf.size(words)))
                if self.rank > 0:
                    shape = [*values.shape, *([2] if values.dtype.size == 8 else [])]
                    own = tf.reshape(words[: int(np.prod(shape))], shape)
                    assign_rows(variable, start, stop, tf.bitcast(own, values.dtype))
                self.tick()

    def _gather_words(self, words: tf.Tensor) -> tf.Tensor:
        """The words of all workers, int32, in the order of their ranks; any number from each."""
        sizes = self._reduce(tf.one_hot(self.rank, self.size, tf.size(words), 0, dtype=tf.int32), _SIZES)
        exponent = _exponent(tf.reduce_max(sizes))
        with tf.device("/CPU:0"):
            gathered = tf.raw_ops.CollectiveGatherV2(
                input=_padded(words, exponent),
                group_size=self.size,
                group_key=_GROUP,
                instance_key=_GATHERED + exponent,
                ordering_token=[],
                communication_hint="ring",
            )
        rows = tf.reshape(gathered, [self.size, -1])
        return tf.concat([rows[rank, : sizes[rank]] for rank in range(self.size)], axis=0)

    def _reduce(self, values: tf.Tensor, key: int | tf.Tensor, operation: str = "Add") -> tf.Tensor:
        """The sum, or the largest, over the workers of a tensor that has one shape on all."""
        with tf.device("/CPU:0"):
            return tf.raw_ops.CollectiveReduceV2(
                input=values,
                group_size=self.size,
                group_key=_GROUP,
                instance_key=key,
                ordering_token=[],
                merge_op=operation,
                final_op="Id",
                communication_hint="ring",
            )


def _joined(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """One vector of all values."""
    return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)


def _exponent(size: tf.Tensor) -> tf.Tensor:
    """The smallest power of two, as its exponent, int32 [], that holds `size` words."""
    powers = tf.constant([1 << exponent for exponent in range(31)], tf.int32)
    return tf.searchsorted(powers, [size])[0]


def _padded(words: tf.Tensor, exponent: tf.Tensor) -> tf.Tensor:
    return tf.pad(words, [[0, tf.bitwise.left_shift(1, exponent) - tf.size(words)]])
