"""The recurrence of a GRU over a shrinking batch, with a gradient written by hand.

As in `lstm_recurrence.py`, a step stores only its state, and the gradients of all weights are products after the loop.
"""

import tensorflow as tf

from seqrec.models.layers.recurrent.time_order import Steps, take_or_zeros


def gru_recurrence(inputs: tf.Tensor, gate_kernel: tf.Tensor, state_kernel: tf.Tensor, starts: tf.Tensor) -> tf.Tensor:
    """Returns the hidden states of a GRU.

        [z | r | n] = inputs_t;   z = sigmoid(z + h' Kz), r = sigmoid(r + h' Kr), n = tanh(n + (r * h') Kn)
        h = z * h' + (1 - z) * n

    Args:
        inputs: float32 [P, 3 H] in time order, everything that does not depend on h'.
        gate_kernel: float32 [H, 2 H], Kz beside Kr.
        state_kernel: float32 [H, H], Kn.
        starts: int32 [L + 1], place in P where each step begins (`TimeOrder.starts`). A step never has more events than
            the one before.
    Returns: float32 [P, H].
    """

    @tf.custom_gradient
    def recurrence(inputs: tf.Tensor, gate_kernel: tf.Tensor, state_kernel: tf.Tensor) -> tuple:
        hidden = _forward(inputs, gate_kernel, state_kernel, starts)

        def gradient(upstream: tf.Tensor) -> tuple:
            return _backward(upstream, hidden, inputs, gate_kernel, state_kernel, starts)

        return hidden, gradient

    return recurrence(inputs, gate_kernel, state_kernel)


def _forward(inputs: tf.Tensor, gate_kernel: tf.Tensor, state_kernel: tf.Tensor, starts: tf.Tensor) -> tf.Tensor:
    width = state_kernel.shape[0]
    steps = Steps(starts)

    def step(t: tf.Tensor, state: tf.Tensor, states: tf.TensorArray) -> tuple:
        state = steps.shrink(state, t)
        gates, new = tf.split(steps.take(inputs, t), [2 * width, width], axis=1)
        update, reset = tf.split(tf.sigmoid(gates + tf.matmul(state, gate_kernel)), 2, axis=1)
        new = tf.tanh(new + tf.matmul(reset * state, state_kernel))
        state = update * state + (1.0 - update) * new
        return t + 1, state, states.write(t, state)

    *_, states = tf.while_loop(
        lambda t, *_: t < steps.count,
        step,
        (0, steps.first_state(width), steps.array(width)),
        shape_invariants=(tf.TensorShape([]), steps.state_shape(width), tf.TensorShape(None)),
        parallel_iterations=1,
    )
    return steps.joined(states, width)


def _backward(
    upstream: tf.Tensor,
    hidden: tf.Tensor,
    inputs: tf.Tensor,
    gate_kernel: tf.Tensor,
    state_kernel: tf.Tensor,
    starts: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns the gradients of inputs, gate_kernel and state_kernel.

    Factors that do not depend on later steps are computed for all events at once, before the loop.
    """
    width = state_kernel.shape[0]
    before = take_or_zeros(hidden, Steps(starts).place_before(tf.shape(inputs)[0]))
    gates, new = tf.split(inputs, [2 * width, width], axis=1)
    update, reset = tf.split(tf.sigmoid(gates + tf.matmul(before, gate_kernel)), 2, axis=1)
    new = tf.tanh(new + tf.matmul(reset * before, state_kernel))
    factors = tf.concat(
        [
            upstream,
            (1.0 - update) * (1.0 - new * new),  # d hidden / d raw_n
            (before - new) * update * (1.0 - update),  # d hidden / d raw_z
            before * reset * (1.0 - reset),  # d (r * h') / d raw_r
            update,  # d hidden / d h', apart from the kernels
            reset,  # d (r * h') / d h'
        ],
        axis=1,
    )
    slope = _backward_loop(factors, gate_kernel, state_kernel, starts)  # [P, 3 H]: gradients of raw_z, raw_r, raw_n.
    of_gates, of_new = tf.split(slope, [2 * width, width], axis=1)
    of_gate_kernel = tf.matmul(before, of_gates, transpose_a=True)
    return slope, of_gate_kernel, tf.matmul(reset * before, of_new, transpose_a=True)


def _backward_loop(factors: tf.Tensor, gate_kernel: tf.Tensor, state_kernel: tf.Tensor, starts: tf.Tensor) -> tf.Tensor:
    width = state_kernel.shape[0]
    steps = Steps(starts)
    gate_transposed, state_transposed = tf.transpose(gate_kernel), tf.transpose(state_kernel)

    def step(t: tf.Tensor, carried: tf.Tensor, slopes: tf.TensorArray) -> tuple:
        above, new_factor, update_factor, reset_factor, update, reset = tf.split(steps.take(factors, t), 6, axis=1)
        of_hidden = above + steps.grow(carried, t)
        of_new = of_hidden * new_factor
        of_product = tf.matmul(of_new, state_transposed)  # Gradient of r * h'.
        of_gates = tf.concat([of_hidden * update_factor, of_product * reset_factor], axis=1)
        carried = of_hidden * update + of_product * reset + tf.matmul(of_gates, gate_transposed)
        return t - 1, carried, slopes.write(t, tf.concat([of_gates, of_new], axis=1))

    *_, slopes = tf.while_loop(
        lambda t, *_: t >= 0,
        step,
        (steps.count - 1, steps.after_last(width), steps.array(3 * width)),
        shape_invariants=(tf.TensorShape([]), steps.state_shape(width), tf.TensorShape(None)),
        parallel_iterations=1,
    )
    return steps.joined(slopes, 3 * width)
