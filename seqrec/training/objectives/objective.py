"""What an objective offers to training: the loss of a batch, and everything that only the loss needs.

An objective owns its settings, the draw of its negatives and the correction for how likely each is to be drawn. The
training step knows nothing but the methods below, and the feed is chosen by what the objective reads:

- windows (`TrainBatch`): histories with one target each. Every step has equally many, so means are taken.
- runs (`RunBatch`): runs of events with a target after each. Their number differs between steps, streams and workers,
  so an objective returns sums, and the step divides them by the number of targets of all workers.

A computation across examples stays within one stream, and every draw is keyed by (seed, step, the stream's number):
see `models/contract.py`. The result is then the same however the streams are spread over workers.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import tensorflow as tf

from seqrec.models.layers.training_context import TrainingContext
from seqrec.training.objectives.config import LossConfig


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    """The settings of an objective that has none of its own."""


class Loss(NamedTuple):
    data: tf.Tensor  # float32 []: for windows the mean over the examples, for runs the sum over the targets.
    penalty: tf.Tensor  # float32 []: what is added for the size of the model's weights, a mean over the streams.


class Objective(tf.Module):
    """The loss that training minimises. Subclasses set the class attributes and define `loss`.

    Args:
        config: the `training.loss` section.
        options: an instance of `options_class`: `training.loss.options.<name>`.
        train_count: int64 [num_trained_items + 1], training events of each item index; [0] is padding's, 0.
    """

    reads: ClassVar[Literal["windows", "runs"]]
    options_class: ClassVar[type] = NoOptions
    shared_settings: ClassVar[frozenset[str]] = frozenset()  # Fields of LossConfig that have an effect.

    def __init__(self, config: LossConfig, options: Any, train_count: np.ndarray) -> None:
        super().__init__("objective")
        self.num_items = len(train_count) - 1
        self.takes_fixed_shapes = self.can_fix_shapes(options)

    @staticmethod
    def check_settings(config: LossConfig, options: Any) -> None:
        """Raises ConfigError where the objective's own settings do not go with the shared ones."""

    @staticmethod
    def can_fix_shapes(options: Any) -> bool:
        """Whether the loss can be computed where every shape is fixed, as in a compiled step."""
        return True

    @staticmethod
    def memory(options: Any, num_items: int, width: int) -> int:
        """Bytes that the loss needs besides the model, where that may be much; else 0.

        Args:
            num_items: trained items.
            width: width of an item's vector.
        """
        return 0

    @abstractmethod
    def loss(self, model: Any, batch: Any, training: TrainingContext) -> Loss:
        """The loss of one part of this worker's share of a batch; called inside the traced step.

        Args:
            model: a RankingModel where the objective reads windows, a RetrievalModel where it reads runs.
            batch: a TrainBatch or a RunBatch of tensors [S, B, ...].
        """

    def num_targets(self, batch: Any) -> tf.Tensor:
        """float32 []: number of targets that the sum in `loss` runs over; for objectives that read runs.

        Items that are not trained on are no targets.
        """
        is_target = (batch.target_items > 0) & (batch.target_items <= self.num_items)
        return tf.cast(tf.math.count_nonzero(is_target), tf.float32)
