"""Adam in the reference's form, for plain variables; it updates every row of a table, or only the rows of the batch.

lr_t = lr * sqrt(1 - b2^t) / (1 - b1^t);  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
w -= lr_t * m / (sqrt(v) + epsilon) + lr * weight_decay * w

Weight decay stands beside the moments, not in them (Loshchilov and Hutter, ICLR 2019, arXiv:1711.05101).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import tensorflow as tf

from seqrec.core.errors import ConfigError
from seqrec.models.layers.embedding import Gradient
from seqrec.models.layers.fixed_shapes import fixed_shapes
from seqrec.training.optimizer_config import OptimizerConfig


class MergedSlices(tf.IndexedSlices):
    """Slices that hold every row once, as `merge_rows` makes them, so that they need not be merged again.

    With fixed shapes there may be further slices, all zeros, whose row is the first one beyond the table.
    """


class Slots(NamedTuple):
    """What Adam keeps for one variable, in variables of the same shape."""

    first: tf.Variable  # Moving average of the gradient.
    second: tf.Variable  # Moving average of the squared gradient.


class Powers(NamedTuple):
    """Shares that the moments' first values still have at a step, float32 [] each."""

    first: tf.Tensor  # beta_1 to the power of the step.
    second: tf.Tensor  # beta_2 to the power of the step.


class Adam(tf.Module):
    """Adam whose moments decay and whose weights move in every row at every step (TensorFlow 1's AdamOptimizer).

    Slots and the step counter are plain variables: `named_slots` is everything that has to be saved and loaded.
    """

    def __init__(self, variables: Sequence[tf.Variable], config: OptimizerConfig) -> None:
        super().__init__("adam")
        self._config = config
        self._names = [variable.name.removesuffix(":0") for variable in variables]
        self.num_steps = tf.Variable(0, dtype=tf.int64, trainable=False, name="num_steps")
        self._decays = [config.weight_decay > 0.0 and is_decayed(variable) for variable in variables]
        self._slots = [
            Slots(_slot(variable, "first_moment"), _slot(variable, "second_moment")) for variable in variables
        ]

    def named_slots(self) -> dict[str, tf.Variable]:
        """All state by name, in a fixed order."""
        named = {"num_steps": self.num_steps}
        for name, slots in zip(self._names, self._slots, strict=True):
            named[f"{name}/first_moment"] = slots.first
            named[f"{name}/second_moment"] = slots.second
        return named

    def apply(
        self, gradients: Sequence[Gradient | None], variables: Sequence[tf.Variable], learning_rate: float | tf.Tensor
    ) -> None:
        """Does one step. `variables` are those the optimizer was made with; one without a gradient stays as it is."""
        step = tf.cast(self.num_steps.assign_add(1), tf.float32)
        powers = Powers(tf.pow(self._config.beta_1, step), tf.pow(self._config.beta_2, step))
        for variable, gradient, slots, decays in zip(variables, gradients, self._slots, self._decays, strict=True):
            if gradient is None:
                continue
            if decays:
                self._shrink(variable, gradient, learning_rate * self._config.weight_decay)
            self._update(variable, gradient, slots, powers, learning_rate)

    def _shrink(self, variable: tf.Variable, gradient: Gradient, share: float | tf.Tensor) -> None:
        """Takes a share of a variable away, in the rows that an update changes."""
        variable.assign_sub(share * variable)

    def _update(
        self, variable: tf.Variable, gradient: Gradient, slots: Slots, powers: Powers, learning_rate: float | tf.Tensor
    ) -> None:
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=slots.first.handle,
            v=slots.second.handle,
            beta1_power=powers.first,
            beta2_power=powers.second,
            lr=learning_rate,
            beta1=self._config.beta_1,
            beta2=self._config.beta_2,
            epsilon=self._config.epsilon,
            grad=tf.convert_to_tensor(gradient),
        )


class RowSparseAdam(Adam):
    """Adam that changes only the rows of a table that have a gradient: a step's cost follows the batch, not the table.

    While a row has no gradient its moments do not decay and it does not move. With a gradient for every row at every
    step the result equals that of `Adam`. Gradients that are not tf.IndexedSlices are handled as by `Adam`.
    """

    def _shrink(self, variable: tf.Variable, gradient: Gradient, share: float | tf.Tensor) -> None:
        if not isinstance(gradient, tf.IndexedSlices):
            super()._shrink(variable, gradient, share)
            return
        rows = gradient.indices if isinstance(gradient, MergedSlices) else tf.unique(gradient.indices).y
        variable.scatter_sub(tf.IndexedSlices(share * tf.gather(variable, rows), rows))

    def _update(
        self, variable: tf.Variable, gradient: Gradient, slots: Slots, powers: Powers, learning_rate: float | tf.Tensor
    ) -> None:
        if not isinstance(gradient, tf.IndexedSlices):
            super()._update(variable, gradient, slots, powers, learning_rate)
            return
        beta_1, beta_2, epsilon = self._config.beta_1, self._config.beta_2, self._config.epsilon
        rate = learning_rate * tf.sqrt(1.0 - powers.second) / (1.0 - powers.first)
        merged = gradient if isinstance(gradient, MergedSlices) else merge_rows(gradient)
        rows, slope = merged.indices, merged.values
        mean = beta_1 * tf.gather(slots.first, rows) + (1.0 - beta_1) * slope
        square = beta_2 * tf.gather(slots.second, rows) + (1.0 - beta_2) * tf.square(slope)
        slots.first.scatter_update(tf.IndexedSlices(mean, rows))
        slots.second.scatter_update(tf.IndexedSlices(square, rows))
        variable.scatter_sub(tf.IndexedSlices(rate * mean / (tf.sqrt(square) + epsilon), rows))


class WeightAverage(tf.Module):
    """The moving average of the weights over the steps: what is validated and published in place of the last weights.

    average += (1 - d) * (weight - average) for each variable, with d = min(share, (1 + step) / (10 + step)): Polyak and
    Juditsky, SIAM J. Control Optim. 30(4), 1992; as an exponential average whose memory grows at first, like TensorFlow
    1's ExponentialMovingAverage. Steps jump about a minimum, and their mean lies nearer to it than any of them.

    Args:
        variables: every variable of a model, by name.
        share: the share of the average that a step keeps.
    """

    def __init__(self, variables: Mapping[str, tf.Variable], share: float) -> None:
        super().__init__("weight_average")
        self._variables = list(variables.values())
        self._share = share
        self._averages = [
            tf.Variable(variable, trainable=False, name=f"average/{name}") for name, variable in variables.items()
        ]
        self._names = list(variables)

    def named_variables(self) -> dict[str, tf.Variable]:
        """All state by name, in a fixed order."""
        return {f"average/{name}": average for name, average in zip(self._names, self._averages, strict=True)}

    def begin(self) -> None:
        """Sets the averages to the weights as they are."""
        for variable, average in zip(self._variables, self._averages, strict=True):
            average.assign(variable)

    def update(self, num_steps: tf.Tensor) -> None:
        """Takes the weights of one more step in; `num_steps` counts it, int64 []."""
        step = tf.cast(num_steps, tf.float32)
        new = 1.0 - tf.minimum(self._share, (1.0 + step) / (10.0 + step))
        for variable, average in zip(self._variables, self._averages, strict=True):
            average.assign_add(new * (variable - average))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Context in which the model's variables hold their averages; afterwards they are as before, bit for bit."""
        kept = [variable.numpy() for variable in self._variables]
        for variable, average in zip(self._variables, self._averages, strict=True):
            variable.assign(average)
        try:
            yield
        finally:
            for variable, value in zip(self._variables, kept, strict=True):
                variable.assign(value)


def is_decayed(variable: tf.Variable) -> bool:
    """Returns whether weight decay applies to a variable: to tables and kernels, not to biases and norms."""
    return variable.shape.rank > 1 and not variable.name.removesuffix(":0").endswith("bias")


def merge_rows(gradient: tf.IndexedSlices) -> MergedSlices:
    """Returns the same gradient with every row once: the slices of a repeated row are added.

    Use it before an exchange between workers too, so that no row is sent twice.
    """
    if fixed_shapes() is not None:
        return _merge_sorted(gradient)
    unique, place = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, place, tf.size(unique))
    return MergedSlices(values, unique, gradient.dense_shape)


def _merge_sorted(gradient: tf.IndexedSlices) -> MergedSlices:
    """Does the same as `merge_rows`, with as many slices as before: those left over lie beyond the table."""
    order = tf.argsort(gradient.indices, stable=True)
    rows = tf.gather(gradient.indices, order)
    is_first = tf.concat([[True], rows[1:] != rows[:-1]], axis=0)
    place = tf.cumsum(tf.cast(is_first, tf.int32)) - 1
    num_slices = tf.size(rows)
    values = tf.math.unsorted_segment_sum(tf.gather(gradient.values, order), place, num_slices)
    height = tf.cast(gradient.dense_shape[0], rows.dtype)
    unique = tf.tensor_scatter_nd_min(tf.fill([num_slices], height), place[:, None], rows)
    return MergedSlices(values, unique, gradient.dense_shape)


def without_empty(gradient: MergedSlices) -> MergedSlices:
    """Returns the slices whose row lies within the table."""
    kept = tf.where(gradient.indices < tf.cast(gradient.dense_shape[0], gradient.indices.dtype))[:, 0]
    return MergedSlices(tf.gather(gradient.values, kept), tf.gather(gradient.indices, kept), gradient.dense_shape)


def build_optimizer(config: OptimizerConfig, variables: Sequence[tf.Variable]) -> Adam:
    """Builds the optimizer that `config` names, with slots for `variables`.

    Raises:
        ConfigError: there is no optimizer of this name.
    """
    optimizers = {"dense_adam": Adam, "row_sparse_adam": RowSparseAdam}
    if config.name not in optimizers:
        raise ConfigError(f"optimizer.name: there is no '{config.name}'. Known: {', '.join(sorted(optimizers))}.")
    return optimizers[config.name](variables, config)


def _slot(variable: tf.Variable, name: str) -> tf.Variable:
    full_name = f"{variable.name.removesuffix(':0')}/{name}"
    return tf.Variable(tf.zeros(variable.shape, variable.dtype), trainable=False, name=full_name)
