"""A retrieval model whose states and vectors are its tables, and batches of runs for it."""

import numpy as np
import tensorflow as tf

from seqrec.core.batch import EventRuns, RunBatch
from seqrec.models.layers.packing import pack_events, take_packed

NUM_ITEMS, WIDTH = 7, 3


class LastItem:
    """The state after an event is a vector of its item."""

    def __init__(self, num_items: int = NUM_ITEMS, width: int = WIDTH) -> None:
        rng = np.random.default_rng(5)
        self.states = tf.Variable(rng.normal(size=[num_items + 1, width]).astype(np.float32))
        self.vectors = tf.Variable(rng.normal(size=[num_items + 1, width]).astype(np.float32))

    def encode_positions(self, runs, training=None):
        return tf.gather(self.states, take_packed(runs.items, pack_events(runs.length, None)))

    def item_vectors(self, items=None):
        return self.vectors[1:] if items is None else tf.gather(self.vectors, items)

    def regularization(self, runs):
        return tf.constant(0.25)


def runs_of(items, targets):
    """A batch of runs [S, B, L] given as nested lists, 0 for padding."""
    items = np.asarray(items, np.int32)
    length = (items > 0).sum(axis=2).astype(np.int32)
    runs = EventRuns(tf.constant(items), tf.constant(length), tf.zeros(items.shape))
    return RunBatch(runs, tf.constant(np.asarray(targets, np.int32)))


# Two streams of two runs; item 9 is not trained on, and after the first event of the third run nothing is predicted.
ITEMS = [[[1, 2, 3], [4, 0, 0]], [[5, 6, 0], [7, 1, 2]]]
TARGETS = [[[2, 3, 4], [9, 0, 0]], [[0, 7, 0], [1, 2, 2]]]
PAIRS = [[(1, 2), (2, 3), (3, 4)], [(6, 7), (7, 1), (1, 2), (2, 2)]]  # (event, target) of each stream.
