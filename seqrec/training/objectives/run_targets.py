"""The targets of runs of events, packed beside the states that predict them."""

from typing import NamedTuple

import tensorflow as tf

from seqrec.core.batch import RunBatch
from seqrec.models.contract import RetrievalModel
from seqrec.models.layers.fixed_shapes import fixed_shapes
from seqrec.models.layers.packing import pack_events, take_packed
from seqrec.models.layers.training_context import TrainingContext


class RunTargets(NamedTuple):
    """T targets of S streams, those of a stream side by side."""

    states: tf.Tensor  # float32 [T, V], the model's state before each target.
    items: tf.Tensor  # int32 [T], the targets, each a trained item: 1 to num_items.
    weights: tf.Tensor | None  # float32 [T], 0 where there is no target after all (fixed shapes); None: all are 1.
    num_per_stream: tf.Tensor  # int32 [S]

    def by_stream(self) -> list[tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]]:
        """States, targets and weights of each stream."""
        num_streams = self.num_per_stream.shape[0]
        weights = [None] * num_streams if self.weights is None else tf.split(self.weights, num_streams)
        if self.weights is None:
            states = tf.split(self.states, self.num_per_stream, num=num_streams)
            items = tf.split(self.items, self.num_per_stream, num=num_streams)
        else:  # Every stream has as many slots.
            states, items = tf.split(self.states, num_streams), tf.split(self.items, num_streams)
        return list(zip(states, items, weights, strict=True))


def is_target(target_items: tf.Tensor, num_items: int) -> tf.Tensor:
    """Where there is something to predict, bool like `target_items`: a trained item."""
    return (target_items > 0) & (target_items <= num_items)


def run_targets(model: RetrievalModel, batch: RunBatch, num_items: int, training: TrainingContext) -> RunTargets:
    """Encodes the runs of a batch and keeps the states after which there is something to predict."""
    states = model.encode_positions(batch.runs, training)  # [P, V]
    items = take_packed(batch.target_items, pack_events(batch.runs.length, None))  # [P]
    if fixed_shapes() is not None:
        is_kept = is_target(items, num_items)
        num_slots = tf.fill([training.num_streams], items.shape[0] // training.num_streams)
        return RunTargets(states, tf.where(is_kept, items, 1), tf.cast(is_kept, tf.float32), num_slots)
    kept = tf.where(is_target(items, num_items))[:, 0]
    num_per_stream = tf.math.count_nonzero(is_target(batch.target_items, num_items), axis=[1, 2], dtype=tf.int32)
    num_per_stream = tf.ensure_shape(num_per_stream, [training.num_streams])
    return RunTargets(tf.gather(states, kept), tf.gather(items, kept), None, num_per_stream)
