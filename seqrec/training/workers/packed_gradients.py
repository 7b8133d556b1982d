"""Compact forms for the exchange between workers: slices as one tensor, a variable as one number to compare."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from seqrec.models.weights import read_rows, row_blocks

_WEIGHT = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: neighbouring places get very different weights.
_BLOCK_BYTES = 4 * 2**20


def pack_slices(slices: Sequence[tf.IndexedSlices]) -> tf.Tensor:
    """Several slices as one float32 [rows, 2 + widest], so that they travel in one exchange instead of two each.

    The first two columns hold, as bits, the number of the slices and the row's index. Narrow rows are padded.
    """
    widest = max(int(part.values.shape[1]) for part in slices)
    rows = []
    for number, part in enumerate(slices):
        indices = tf.cast(part.indices, tf.int32)
        keys = tf.bitcast(tf.stack([tf.fill(tf.shape(indices), number), indices], axis=1), tf.float32)
        values = tf.pad(part.values, [[0, 0], [0, widest - int(part.values.shape[1])]])
        rows.append(tf.concat([keys, values], axis=1))
    return tf.concat(rows, axis=0)


def unpack_slices(packed: tf.Tensor, like: Sequence[tf.IndexedSlices]) -> list[tf.IndexedSlices]:
    """The slices that `pack_slices` packed, by one worker, or by several whose tensors follow one another.

    Args:
        like: the slices of this worker, for types and shapes.
    """
    keys = tf.bitcast(packed[:, :2], tf.int32)
    parts = []
    for number, part in enumerate(like):
        own = tf.squeeze(tf.where(keys[:, 0] == number), axis=1)
        values = tf.gather(packed, own)[:, 2 : 2 + int(part.values.shape[1])]
        parts.append(
            tf.IndexedSlices(values, tf.cast(tf.gather(keys[:, 1], own), part.indices.dtype), part.dense_shape)
        )
    return parts


def checksum(variable: tf.Variable) -> int:
    """Sum of a variable's bits, each word weighted by its place; it wraps around, so it stays one 64-bit number.

    It is added up in blocks: the words and places of a whole table would take several times its size.
    """
    word = {4: np.uint32, 8: np.uint64}[variable.dtype.size]
    total, place = 0, 1
    for start, stop in row_blocks(variable, _BLOCK_BYTES):
        words = read_rows(variable, start, stop).numpy().reshape(-1).view(word).astype(np.uint64)
        words *= np.arange(place, place + len(words), dtype=np.uint64) * _WEIGHT
        total, place = total + int(words.sum(dtype=np.uint64)), place + len(words)
    return int(np.uint64(total % 2**64).view(np.int64))
