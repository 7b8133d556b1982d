"""Targets, histories and draws for the tests of objectives."""

import numpy as np
import tensorflow as tf

from seqrec.core.batch import History
from seqrec.models.layers.training_context import TrainingContext
from seqrec.training.objectives.negatives import NegativeSampler


def context(streams, step=1, seed=7):
    return TrainingContext(seed=seed, step=tf.constant(step), stream_ids=tf.constant(streams))


def history_of(items):
    items = tf.constant(items, tf.int32)
    zeros = tf.zeros(items.shape)
    return History(items, tf.fill(items.shape[:2], items.shape[2]), zeros, zeros)


def no_history(num_streams, batch):
    return history_of(np.zeros([num_streams, batch, 1], np.int32))


def draw(config, train_count, targets, training=None, history=None, listed=None):
    targets = tf.constant(targets, tf.int32)
    training = training or context(list(range(targets.shape[0])))
    history = history or no_history(*targets.shape)
    return NegativeSampler(config, np.asarray(train_count)).draw(
        targets, history, training, None if listed is None else tf.constant(listed, tf.int32)
    )


def shares(items, num_items):
    return np.bincount(np.ravel(items), minlength=num_items + 1) / np.size(items)
