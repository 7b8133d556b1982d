"""One update, as a traced function: loss, gradients, exchange between workers, clipping, optimizer, batch norm.

S streams of this worker, M moments of the batch norms.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf

from seqrec.core.batch import ListedBatch, RunBatch, TrainBatch
from seqrec.models.contract import SequenceModel
from seqrec.models.layers.fixed_shapes import FixedShapes, num_slots, use_fixed_shapes
from seqrec.models.layers.training_context import TrainingContext
from seqrec.training.config import TrainingConfig
from seqrec.training.learning_rate import full_rate
from seqrec.training.objectives.objective import Objective
from seqrec.training.optimizers import Adam, Gradient, WeightAverage, merge_rows, without_empty
from seqrec.training.workers.devices import is_compiled
from seqrec.training.workers.exchange import Workers

Batch: TypeAlias = TrainBatch | ListedBatch | RunBatch  # Whichever the objective reads.


class StepOutcome(NamedTuple):
    loss: tf.Tensor  # float32 [], mean over the targets of the global batch.
    stop: tf.Tensor  # float32 [], above 0 if any worker was asked to stop.
    gradient_norm: tf.Tensor  # float32 [], norm of all gradients together, before clipping.
    learning_rate: tf.Tensor  # float32 [], the rate that the step took.
    bytes_sent: tf.Tensor  # int64 [], bytes that this worker has sent to the others.


class TrainStep:
    """Updates a model from a global batch, of which every worker has the share of its own streams.

    The outcome, and the variables after it, are the same on every worker.
    """

    def __init__(
        self,
        model: SequenceModel,
        optimizer: Adam,
        objective: Objective,
        workers: Workers,
        config: TrainingConfig,
        seed: int,
        stream_ids: Sequence[int],
        average: WeightAverage | None = None,
    ):
        self._model = model
        self._variables = list(model.trained_variables)
        self._optimizer = optimizer
        self._objective = objective
        self._workers = workers
        self._config = config
        self._seed = seed
        self._stream_ids = list(stream_ids)
        self._average = average
        self.is_compiled = is_compiled(config.jit) and objective.takes_fixed_shapes
        # Horovod's operations cannot be compiled: with several workers only what lies before the exchange is.
        compiles_all = self.is_compiled and workers.size == 1
        # Without AutoGraph: there is no Python control flow to convert, and it would leave files in the temporary
        # folder of every worker that does not end cleanly, as workers on Spark do not.
        self._update = tf.function(self._traced, autograph=False, jit_compile=True if compiles_all else None)
        self._compiled_gradients = tf.function(self._gradients, autograph=False, jit_compile=True)

    def __call__(self, batch: Batch, global_step: int, stop: bool, rate_share: float = 1.0) -> StepOutcome:
        """Does step `global_step` (0 is the first of the run) with a batch of arrays or tensors [S, B, ...].

        Args:
            rate_share: the share of the full learning rate that the step takes.
        """
        step, share = tf.constant(global_step, tf.int64), tf.constant(rate_share, tf.float32)
        slots = self._num_slots(batch) if self.is_compiled else None
        batch = tf.nest.map_structure(tf.convert_to_tensor, batch)
        return self._update(batch, step, tf.constant(float(stop)), share, slots)

    @property
    def num_graphs(self) -> int:
        """How often the step was traced: with fixed shapes once for each number of slots."""
        return int(self._update.experimental_get_tracing_count())

    def _num_slots(self, batch: Batch) -> int:
        """Places for the packed events of a stream: there is one compiled step for each number."""
        read = batch.runs if isinstance(batch, RunBatch) else batch.history
        return num_slots(np.asarray(read.length), self._config.gradient_accumulation)

    def _traced(
        self, batch: Batch, global_step: tf.Tensor, stop: tf.Tensor, rate_share: tf.Tensor, slots: int | None
    ) -> StepOutcome:
        scale = self._scale(batch)
        if self.is_compiled and self._workers.size > 1:
            loss, gradients, moments = self._compiled_gradients(batch, global_step, scale, slots)
            gradients = [without_empty(each) if isinstance(each, tf.IndexedSlices) else each for each in gradients]
        else:
            loss, gradients, moments = self._gradients(batch, global_step, scale, slots)
        statistics = tf.concat([moments, [loss, stop]], axis=0)
        gradients, statistics, bytes_sent = self._workers.exchange(gradients, statistics)
        norm = tf.linalg.global_norm([gradient for gradient in gradients if gradient is not None])
        if self._config.max_gradient_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self._config.max_gradient_norm, use_norm=norm)
        rate = full_rate(self._config) * rate_share
        self._optimizer.apply(gradients, self._variables, rate)
        self._model.apply_moments(statistics[:-2])
        if self._average is not None:
            self._average.update(self._optimizer.num_steps.read_value())
        return StepOutcome(statistics[-2], statistics[-1], norm, rate, bytes_sent)

    def _gradients(
        self, batch: Batch, global_step: tf.Tensor, scale: tf.Tensor | None, slots: int | None
    ) -> tuple[tf.Tensor, list[Gradient | None], tf.Tensor]:
        """This worker's loss [], gradients with every row once, and moments [M]: means over its streams and all parts.

        Their means over the workers are those of the global batch.

        Args:
            slots: places for the packed events of a stream, for a step whose shapes are fixed.
        """
        items = batch.runs.items if isinstance(batch, RunBatch) else batch.history.items
        with use_fixed_shapes(None if slots is None else FixedShapes(slots, items.shape[2])):
            return self._gradients_of_parts(batch, global_step, scale)

    def _gradients_of_parts(
        self, batch: Batch, global_step: tf.Tensor, scale: tf.Tensor | None
    ) -> tuple[tf.Tensor, list[Gradient | None], tf.Tensor]:
        num_parts = self._config.gradient_accumulation
        losses, parts, moments = [], [], []
        for number in range(num_parts):
            part = tf.nest.map_structure(lambda x, n=number: tf.split(x, num_parts, axis=1)[n], batch)
            training = TrainingContext(self._seed, global_step * num_parts + number, tf.constant(self._stream_ids))
            with tf.GradientTape() as tape, self._model.in_step(training):
                data, penalty = self._objective.loss(self._model, part, training)
                loss = (data if scale is None else data * scale) + penalty
            losses.append(loss)
            parts.append(tape.gradient(loss, self._variables))
            moments.append(tf.reduce_mean(training.moments(), axis=0))
        gradients = self._model.mask_gradients([_mean(list(of_variable)) for of_variable in zip(*parts, strict=True)])
        return tf.add_n(losses) / num_parts, gradients, tf.add_n(moments) / num_parts

    def _scale(self, batch: Batch) -> tf.Tensor | None:
        """Factor that turns a part's sum over targets into its share of the mean over all targets of the global batch.

        None for windows: every worker has equally many, so means of means are right. For runs the workers exchange
        their numbers of targets first, while the forward pass runs; every later mean over parts and workers is then
        the same as for windows.
        """
        if self._objective.reads == "windows":
            return None
        num_targets = self._workers.mean(self._objective.num_targets(batch))
        return tf.math.divide_no_nan(float(self._config.gradient_accumulation), num_targets)


def _mean(gradients: list[Any]) -> Gradient | None:
    """The mean of one variable's gradients; slices of rows stay slices, every row once."""
    if gradients[0] is None:
        return None
    if len(gradients) == 1 and not isinstance(gradients[0], tf.IndexedSlices):
        return gradients[0]
    if isinstance(gradients[0], tf.IndexedSlices):
        values = tf.concat([gradient.values for gradient in gradients], axis=0) / len(gradients)
        indices = tf.concat([gradient.indices for gradient in gradients], axis=0)
        return merge_rows(tf.IndexedSlices(values, indices, gradients[0].dense_shape))
    return tf.add_n(gradients) / len(gradients)
