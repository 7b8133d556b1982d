import numpy as np
import pytest
import tensorflow as tf

from seqrec.core.batch import EventRuns
from seqrec.models.layers.attention.causal_attention import pack_runs
from seqrec.models.layers.attention.causal_filters import EarlierEvents, FrequencyFilter
from seqrec.models.layers.initializers import Initializer

MAX_LENGTH = 20


def packed(length):
    zeros = np.zeros([*np.shape(length), MAX_LENGTH])
    runs = EventRuns(tf.constant(zeros, tf.int32), tf.constant(length, tf.int32), tf.constant(zeros, tf.float32))
    return pack_runs(runs, MAX_LENGTH)


@pytest.mark.parametrize("num_frequencies", [1, 3])
def test_frequency_filter_gives_an_event_the_slow_part_of_what_ends_at_it(num_frequencies):
    rng = np.random.default_rng(1)
    length = [[3, 0, 20], [1, 7, 4]]
    runs, total = packed(length), int(np.sum(length))
    x = rng.normal(size=[total, 2]).astype(np.float32)
    layer = FrequencyFilter("filter", 2, num_frequencies, MAX_LENGTH, Initializer(1, 0.1))
    layer.fast.assign([0.5, 2.0])

    filtered = layer(tf.constant(x), runs).numpy()

    ends = np.cumsum(np.ravel(length))
    for start, end in zip(ends - np.ravel(length), ends, strict=True):
        for place in range(start, end):
            padded = np.zeros([MAX_LENGTH, 2])
            padded[MAX_LENGTH - (place + 1 - start) :] = x[start : place + 1]
            spectrum = np.fft.rfft(padded, axis=0)
            spectrum[num_frequencies:] = 0.0
            slow = np.fft.irfft(spectrum, n=MAX_LENGTH, axis=0)[-1]
            np.testing.assert_allclose(filtered[place], slow + [0.25, 4.0] * (x[place] - slow), atol=1e-5)


def test_earlier_events_adds_those_of_the_same_run():
    x = np.array([[1.0], [2.0], [4.0], [8.0], [16.0]], np.float32)
    layer = EarlierEvents("earlier", 1, 2, Initializer(1, 0.1))
    layer.factors.assign([[0.5], [0.25]])

    summed = layer(tf.constant(x), packed([[2, 3]]).events)

    np.testing.assert_allclose(summed, [[1.0], [2.5], [4.0], [10.0], [21.0]])
