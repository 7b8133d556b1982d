"""Adam in the reference's form, for plain variables: every row of a table at each step, or the batch's rows only.

lr_t = lr * sqrt(1 - b2^t) / (1 - b1^t);  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
w -= lr_t * m / (sqrt(v) + epsilon)
"""

from collections.abc import Sequence
from typing import TypeAlias

import tensorflow as tf

from seqrec.core.errors import ConfigError
from seqrec.training.optimizer_config import OptimizerConfig

Gradient: TypeAlias = tf.Tensor | tf.IndexedSlices


class MergedSlices(tf.IndexedSlices):
    """Slices with every row once, as `merge_rows` makes them: whoever needs that need not merge them again."""


class Adam(tf.Module):
    """Adam whose moments decay and whose weights move in every row at every step (TensorFlow 1's AdamOptimizer).

    Slots and the step counter are plain variables: `named_slots` is all there is to save and load.
    """

    def __init__(self, variables: Sequence[tf.Variable], config: OptimizerConfig) -> None:
        super().__init__("adam")
        self._config = config
        self._names = [variable.name.removesuffix(":0") for variable in variables]
        self.num_steps = tf.Variable(0, dtype=tf.int64, trainable=False, name="num_steps")
        self._first = [_slot(variable, "first_moment") for variable in variables]
        self._second = [_slot(variable, "second_moment") for variable in variables]

    def named_slots(self) -> dict[str, tf.Variable]:
        """All state by name, in a fixed order."""
        slots = {"num_steps": self.num_steps}
        for name, first, second in zip(self._names, self._first, self._second, strict=True):
            slots[f"{name}/first_moment"] = first
            slots[f"{name}/second_moment"] = second
        return slots

    def apply(
        self, gradients: Sequence[Gradient | None], variables: Sequence[tf.Variable], learning_rate: float | tf.Tensor
    ) -> None:
        """One step. `variables` are those the optimizer was made with; one whose gradient is None stays as it is."""
        step = tf.cast(self.num_steps.assign_add(1), tf.float32)
        powers = (tf.pow(self._config.beta_1, step), tf.pow(self._config.beta_2, step))
        for variable, gradient, first, second in zip(variables, gradients, self._first, self._second, strict=True):
            if gradient is not None:
                self._apply_one(variable, gradient, first, second, powers, learning_rate)

    def _apply_one(
        self,
        variable: tf.Variable,
        gradient: Gradient,
        first: tf.Variable,
        second: tf.Variable,
        powers: tuple[tf.Tensor, tf.Tensor],
        learning_rate: float | tf.Tensor,
    ) -> None:
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=first.handle,
            v=second.handle,
            beta1_power=powers[0],
            beta2_power=powers[1],
            lr=learning_rate,
            beta1=self._config.beta_1,
            beta2=self._config.beta_2,
            epsilon=self._config.epsilon,
            grad=tf.convert_to_tensor(gradient),
        )


class RowSparseAdam(Adam):
    """Adam that touches only the rows of a table that have a gradient: a step costs what the batch costs.

    A row's moments neither decay nor move the row while it is absent; in all else it is `Adam`, to which it is equal
    if every row has a gradient at every step. Gradients that are no tf.IndexedSlices are handled as by `Adam`.
    """

    def _apply_one(
        self,
        variable: tf.Variable,
        gradient: Gradient,
        first: tf.Variable,
        second: tf.Variable,
        powers: tuple[tf.Tensor, tf.Tensor],
        learning_rate: float | tf.Tensor,
    ) -> None:
        if not isinstance(gradient, tf.IndexedSlices):
            super()._apply_one(variable, gradient, first, second, powers, learning_rate)
            return
        beta_1, beta_2, epsilon = self._config.beta_1, self._config.beta_2, self._config.epsilon
        rate = learning_rate * tf.sqrt(1.0 - powers[1]) / (1.0 - powers[0])
        merged = gradient if isinstance(gradient, MergedSlices) else merge_rows(gradient)
        rows, slope = merged.indices, merged.values
        mean = beta_1 * tf.gather(first, rows) + (1.0 - beta_1) * slope
        square = beta_2 * tf.gather(second, rows) + (1.0 - beta_2) * tf.square(slope)
        first.scatter_update(tf.IndexedSlices(mean, rows))
        second.scatter_update(tf.IndexedSlices(square, rows))
        variable.scatter_sub(tf.IndexedSlices(rate * mean / (tf.sqrt(square) + epsilon), rows))


def merge_rows(gradient: tf.IndexedSlices) -> MergedSlices:
    """The same gradient with every row once: the slices of a repeated row are added.

    Use it before an exchange between workers too: slices travel as they are.
    """
    unique, place = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, place, tf.size(unique))
    return MergedSlices(values, unique, gradient.dense_shape)


def build_optimizer(config: OptimizerConfig, variables: Sequence[tf.Variable]) -> Adam:
    """The optimizer that `config` names, with slots for `variables`."""
    optimizers = {"dense_adam": Adam, "row_sparse_adam": RowSparseAdam}
    if config.name not in optimizers:
        raise ConfigError(f"optimizer.name: there is no '{config.name}'. Known: {', '.join(sorted(optimizers))}.")
    return optimizers[config.name](variables, config)


def _slot(variable: tf.Variable, name: str) -> tf.Variable:
    full_name = f"{variable.name.removesuffix(':0')}/{name}"
    return tf.Variable(tf.zeros(variable.shape, variable.dtype), trainable=False, name=full_name)
