import struct
import tracemalloc

import numpy as np
import pytest
import tensorflow as tf

from seqrec.training.workers import packed_gradients as exchanged_values
from seqrec.training.workers.packed_gradients import checksum, pack_slices, unpack_slices


def test_pack_slices_and_unpack_slices_keep_values_and_rows() -> None:
    slices = [
        tf.IndexedSlices(tf.random.normal([3, 5]), tf.constant([7, 0, 2**30], tf.int64), tf.constant([2**31 - 1, 5])),
        tf.IndexedSlices(tf.random.normal([2, 2]), tf.constant([1, 0]), tf.constant([3, 2])),
        tf.IndexedSlices(tf.zeros([0, 4]), tf.zeros([0], tf.int32), tf.constant([3, 4])),
    ]

    unpacked = unpack_slices(pack_slices(slices), slices)

    for part, expected in zip(unpacked, slices, strict=True):
        assert part.values.numpy().tolist() == expected.values.numpy().tolist()
        assert part.indices.numpy().tolist() == expected.indices.numpy().tolist()
        assert part.indices.dtype == expected.indices.dtype


def words_added_up(content: bytes, word: str) -> int:
    """The checksum by its formula, in numbers that do not wrap around; as a signed number of 64 bits."""
    words = struct.unpack(f"<{len(content) // struct.calcsize(word)}{word}", content)
    total = sum(value * place * 0x9E3779B97F4A7C15 for place, value in enumerate(words, start=1)) % 2**64
    return total - 2**64 if total >= 2**63 else total


@pytest.mark.parametrize("block_bytes", [30, 240, 1 << 20])
@pytest.mark.parametrize(
    ("values", "word"),
    [
        pytest.param(np.random.default_rng(1).normal(size=(20, 3)).astype(np.float32), "I", id="a table"),
        pytest.param(np.random.default_rng(2).integers(-(2**62), 2**62, 61), "Q", id="long integers"),
        pytest.param(np.int64(-5), "Q", id="one number"),
        pytest.param(np.zeros((0, 4), np.float32), "I", id="nothing"),
    ],
)
def test_checksum_is_that_of_its_formula(
    values: np.ndarray, word: str, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchanged_values, "_BLOCK_BYTES", block_bytes)

    assert checksum(tf.Variable(values)) == words_added_up(values.tobytes(), word)


def test_checksum_needs_less_memory_than_the_table() -> None:
    table = tf.Variable(tf.ones([500_000, 32]))
    checksum(tf.Variable(tf.ones([2])))

    tracemalloc.start()
    checksum(table)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 500_000 * 32 * 4
