"""The smallest objective that reads runs: it pulls the vectors of the targets towards zero."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from seqrec.core.batch import RunBatch
from seqrec.models.layers.training_context import TrainingContext
from seqrec.training.objectives.config import LossConfig
from seqrec.training.objectives.objective import Loss, Objective


@dataclass(frozen=True, kw_only=True)
class PullOptions:
    strength: float = 1.0


class Pull(Objective):
    reads = "runs"
    options_class = PullOptions
    shared_settings = frozenset({"num_negatives"})

    def __init__(self, config: LossConfig, options: PullOptions, train_count: np.ndarray) -> None:
        super().__init__(config, options, train_count)
        self.strength = options.strength

    def loss(self, model: Any, batch: RunBatch, training: TrainingContext) -> Loss:
        targets = tf.reshape(batch.target_items, [-1])
        rows = tf.gather(model.embedding.items, tf.boolean_mask(targets, targets > 0))
        return Loss(self.strength * tf.reduce_sum(tf.square(rows)), tf.zeros([]))
