"""Binary cross-entropy of each target and of k drawn negatives, with the calibration of gBCE. T targets of a stream.

Petrov, Macdonald: gSASRec, RecSys 2023, arXiv:2308.07192. Drawn negatives are far fewer than all other items, so a
model trained with plain binary cross-entropy is too sure of its targets. gBCE raises the target's probability to a
power below 1, which lowers that: see `target_weight`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from seqrec.core.batch import RunBatch
from seqrec.models.contract import RetrievalModel
from seqrec.models.layers.training_context import TrainingContext
from seqrec.training.objectives.config import LossConfig
from seqrec.training.objectives.item_draws import ItemDraws, Shares
from seqrec.training.objectives.objective import Loss, Objective
from seqrec.training.objectives.run_targets import run_targets


@dataclass(frozen=True, kw_only=True)
class BceOptions:
    """Settings under `training.loss.options.bce`."""

    calibration: float = 0.0  # t of gBCE, from 0, plain binary cross-entropy, to 1, fully calibrated.

    def __post_init__(self) -> None:
        if not 0.0 <= self.calibration <= 1.0:
            raise ValueError(f"calibration is {self.calibration}: give a number from 0 to 1.")


class Bce(Objective):
    """Sum over the targets of the mean over a target and its k negatives of -log p(right answer)."""

    reads = "runs"
    options_class = BceOptions
    shared_settings = frozenset({"num_negatives", "negatives", "popularity_exponent"})

    def __init__(self, config: LossConfig, options: BceOptions, train_count: np.ndarray) -> None:
        super().__init__(config, options, train_count)
        self._num_negatives = config.num_negatives
        self._target_weight = target_weight(options.calibration, config.num_negatives, self.num_items)
        shares = Shares(*(float(config.negatives == source) for source in Shares._fields))
        self.draws = ItemDraws(shares, train_count, config.popularity_exponent)

    @staticmethod
    def can_fix_shapes(options: Any) -> bool:
        return False  # It draws for each target, and how many there are is data.

    def loss(self, model: RetrievalModel, batch: RunBatch, training: TrainingContext) -> Loss:
        targets = run_targets(model, batch, self.num_items, training)
        keys = training.keys("negatives")
        negatives = [
            self.draws.draw([tf.size(items), self._num_negatives], items, keys[stream])
            for stream, (_, items, _) in enumerate(targets.by_stream())
        ]
        drawn = tf.concat(negatives, axis=0)  # [all targets, k]
        target_logits = tf.reduce_sum(targets.states * model.item_vectors(targets.items), axis=1)
        logits = tf.linalg.matvec(model.item_vectors(drawn), targets.states)
        data = bce_loss(target_logits, logits, drawn != targets.items[:, None], self._target_weight)
        return Loss(data, model.regularization(batch.runs))


def bce_loss(
    target_logits: tf.Tensor, negative_logits: tf.Tensor, is_valid: tf.Tensor, target_weight: float
) -> tf.Tensor:
    """Sum over the targets, float32 [].

    Args:
        target_logits: float32 [T].
        negative_logits: float32 [T, k].
        is_valid: bool [T, k], False for a negative that is the target itself.
    """
    others = tf.where(is_valid, tf.math.softplus(negative_logits), 0.0)  # -log(1 - p)
    total = target_weight * tf.reduce_sum(tf.math.softplus(-target_logits)) + tf.reduce_sum(others)
    return total / (1 + negative_logits.shape[1])


def target_weight(calibration: float, num_negatives: int, num_items: int) -> float:
    """gBCE's beta, the factor of the target's log probability: a * (t * (1 - 1 / a) + 1 / a) with a = k / (I - 1)."""
    rate = num_negatives / max(1, num_items - 1)
    return rate * (calibration * (1.0 - 1.0 / rate) + 1.0 / rate)
