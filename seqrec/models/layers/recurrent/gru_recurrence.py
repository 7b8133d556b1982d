"""The recurrence of a GRU over a shrinking batch, with a gradient written by hand.

As in `lstm_recurrence.py`, a step stores only its state, and the gradients of all weights are products after the loop.
"""

import tensorflow as tf

from seqrec.models.layers.recurrent.time_order import num_steps_of, place_before, take_or_zeros


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
    num_steps = num_steps_of(starts)

    def step(t: tf.Tensor, state: tf.Tensor, states: tf.TensorArray) -> tuple:
        now = inputs[starts[t] : starts[t + 1]]
        state = state[: starts[t + 1] - starts[t]]
        gates, new = tf.split(now, [2 * width, width], axis=1)
        update, reset = tf.split(tf.sigmoid(gates + tf.matmul(state, gate_kernel)), 2, axis=1)
        new = tf.tanh(new + tf.matmul(reset * state, state_kernel))
        state = update * state + (1.0 - update) * new
        return t + 1, state, states.write(t, state)

    states = tf.TensorArray(tf.float32, num_steps, infer_shape=False, element_shape=[None, width])
    *_, states = tf.while_loop(
        lambda t, *_: t < num_steps,
        step,
        (0, tf.zeros([starts[1], width]), states),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, width]), tf.TensorShape(None)),
        parallel_iterations=1,
    )
    return states.concat()


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
    before = take_or_zeros(hidden, place_before(starts, tf.shape(inputs)[0]))
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
    num_steps = num_steps_of(starts)
    gate_transposed, state_transposed = tf.transpose(gate_kernel), tf.transpose(state_kernel)

    def step(t: tf.Tensor, carried: tf.Tensor, slopes: tf.TensorArray) -> tuple:
        begin, end = starts[t], starts[t + 1]
        above, new_factor, update_factor, reset_factor, update, reset = tf.split(factors[begin:end], 6, axis=1)
        of_hidden = above + tf.pad(carried, [[0, end - begin - tf.shape(carried)[0]], [0, 0]])
        of_new = of_hidden * new_factor
        of_product = tf.matmul(of_new, state_transposed)  # Gradient of r * h'.
        of_gates = tf.concat([of_hidden * update_factor, of_product * reset_factor], axis=1)
        carried = of_hidden * update + of_product * reset + tf.matmul(of_gates, gate_transposed)
        return t - 1, carried, slopes.write(t, tf.concat([of_gates, of_new], axis=1))

    slopes = tf.TensorArray(tf.float32, num_steps, infer_shape=False, element_shape=[None, 3 * width])
    *_, slopes = tf.while_loop(
        lambda t, *_: t >= 0,
        step,
        (num_steps - 1, tf.zeros([0, width]), slopes),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, width]), tf.TensorShape(None)),
        parallel_iterations=1,
    )
    return slopes.concat()
