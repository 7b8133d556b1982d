"""Runs of events for the tests of retrieval models, and what such tests need of a model."""

import numpy as np
import tensorflow as tf

from seqrec.core.batch import EventRuns
from seqrec.models.layers.training_context import TrainingContext
from tests.models.random_batches import NUM_TRAINED, random_history


def random_runs(rng, num_streams, batch, padded_length, lengths=None):
    history = random_history(rng, num_streams, batch, padded_length, lengths)
    times = history.seconds_from_first
    gaps = np.diff(times, axis=2, prepend=times[:, :, :1])
    return EventRuns(history.items, history.length, np.where(history.items > 0, gaps, 0.0).astype(np.float32))


def states_of(model, runs, training=None):
    """States [S, B, L, V] of runs of NumPy arrays, with zeros at padding."""
    packed = model.encode_positions(EventRuns(*(tf.constant(part) for part in runs)), training).numpy()
    states = np.zeros([*runs.items.shape, packed.shape[1]], np.float32)
    states[np.arange(runs.items.shape[2]) < np.asarray(runs.length)[..., None]] = packed
    return states


def context(stream_ids, step=4):
    return TrainingContext(seed=9, step=tf.convert_to_tensor(step), stream_ids=tf.constant(list(stream_ids)))


def assert_sees_no_future(model, max_length=7, seed=0):
    """Changes the items and times of all events after a place: no state up to the place may change."""
    runs = random_runs(np.random.default_rng(seed), 1, 1, max_length, lengths=max_length)
    before = states_of(model, runs)
    for place in range(max_length - 1):
        later = np.arange(max_length) > place
        items = np.where(later, runs.items % NUM_TRAINED + 1, runs.items)
        gaps = np.where(later, runs.seconds_from_previous + 1e6, runs.seconds_from_previous).astype(np.float32)

        after = states_of(model, EventRuns(items, runs.length, gaps))

        np.testing.assert_array_equal(after[:, :, : place + 1], before[:, :, : place + 1])
        assert (after[:, :, -1] != before[:, :, -1]).any(), "a state must depend on what it may see"
