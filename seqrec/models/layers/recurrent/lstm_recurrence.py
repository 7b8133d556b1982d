"""The recurrence of an LSTM over a shrinking batch, with a gradient written by hand.

Automatic differentiation of a loop stores every intermediate value of every step. Here a step stores only its state,
and the gradients of all weights are one product after the loop.
"""

import tensorflow as tf

from seqrec.models.layers.recurrent.time_order import Steps, take_or_zeros


def gated_recurrence(
    inputs: tf.Tensor, input_gate: tf.Tensor, forget_gate: tf.Tensor, kernel: tf.Tensor, starts: tf.Tensor
) -> tf.Tensor:
    """Returns the hidden states of an LSTM whose input and forget gates have a second factor each.

        [i | j | f | o] = inputs_t + h' kernel
        c = sigmoid(f) * forget_gate_t * c' + sigmoid(i) * input_gate_t * tanh(j);   h = sigmoid(o) * tanh(c)

    Args:
        inputs: float32 [P, 4 H] in time order, everything that does not depend on h'.
        input_gate, forget_gate: float32 [P, H], the second factors.
        kernel: float32 [H, 4 H].
        starts: int32 [L + 1], place in P where each step begins (`TimeOrder.starts`). A step never has more events than
            the one before.
    Returns: float32 [P, H].
    """

    @tf.custom_gradient
    def recurrence(inputs: tf.Tensor, input_gate: tf.Tensor, forget_gate: tf.Tensor, kernel: tf.Tensor) -> tuple:
        hidden, cells = _forward(inputs, input_gate, forget_gate, kernel, starts)

        def gradient(upstream: tf.Tensor) -> tuple:
            return _backward(upstream, hidden, cells, inputs, input_gate, forget_gate, kernel, starts)

        return hidden, gradient

    return recurrence(inputs, input_gate, forget_gate, kernel)


def _forward(
    inputs: tf.Tensor, input_gate: tf.Tensor, forget_gate: tf.Tensor, kernel: tf.Tensor, starts: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns hidden states and cells, each [P, H]."""
    width = kernel.shape[0]
    given = tf.concat([inputs, input_gate, forget_gate], axis=1)  # One slice per step instead of three.
    steps = Steps(starts)

    def step(t: tf.Tensor, state: tf.Tensor, states: tf.TensorArray) -> tuple:
        now = steps.take(given, t)
        hidden, cell = tf.split(steps.shrink(state, t), 2, axis=1)
        product, gate_in, gate_forget = tf.split(now, [4 * width, width, width], axis=1)
        raw = product + tf.matmul(hidden, kernel)
        i, _, f, o = tf.split(tf.sigmoid(raw), 4, axis=1)
        j = tf.tanh(raw[:, width : 2 * width])
        cell = f * gate_forget * cell + i * gate_in * j
        state = tf.concat([o * tf.tanh(cell), cell], axis=1)
        return t + 1, state, states.write(t, state)

    _, _, states = tf.while_loop(
        lambda t, *_: t < steps.count,
        step,
        (0, steps.first_state(2 * width), steps.array(2 * width)),
        shape_invariants=(tf.TensorShape([]), steps.state_shape(2 * width), tf.TensorShape(None)),
        parallel_iterations=1,
    )
    hidden, cells = tf.split(steps.joined(states, 2 * width), 2, axis=1)
    return hidden, cells


def _backward(
    upstream: tf.Tensor,
    hidden: tf.Tensor,
    cells: tf.Tensor,
    inputs: tf.Tensor,
    input_gate: tf.Tensor,
    forget_gate: tf.Tensor,
    kernel: tf.Tensor,
    starts: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns the gradients of inputs, input_gate, forget_gate and kernel.

    Factors that do not depend on later steps are computed for all events at once, before the loop.
    """
    width = kernel.shape[0]
    before = Steps(starts).place_before(tf.shape(inputs)[0])
    hidden_before, cell_before = take_or_zeros(hidden, before), take_or_zeros(cells, before)
    raw = inputs + tf.matmul(hidden_before, kernel)
    raw_i, raw_j, raw_f, raw_o = tf.split(raw, 4, axis=1)
    i, j, f, o = tf.sigmoid(raw_i), tf.tanh(raw_j), tf.sigmoid(raw_f), tf.sigmoid(raw_o)
    squashed = tf.tanh(cells)
    factors = tf.concat(
        [
            upstream,
            o * (1.0 - squashed * squashed),  # d hidden / d cell
            squashed * o * (1.0 - o),  # d hidden / d raw_o
            input_gate * j * i * (1.0 - i),  # d cell / d raw_i
            input_gate * i * (1.0 - j * j),  # d cell / d raw_j
            forget_gate * cell_before * f * (1.0 - f),  # d cell / d raw_f
            f * forget_gate,  # d cell / d cell_before
        ],
        axis=1,
    )
    slope = _backward_loop(factors, kernel, starts)  # [P, 5 H]: gradients of raw (4 H) and of the cell (H)
    of_raw, of_cell = slope[:, : 4 * width], slope[:, 4 * width :]
    of_kernel = tf.matmul(hidden_before, of_raw, transpose_a=True)
    return of_raw, of_cell * i * j, of_cell * f * cell_before, of_kernel


def _backward_loop(factors: tf.Tensor, kernel: tf.Tensor, starts: tf.Tensor) -> tf.Tensor:
    width = kernel.shape[0]
    steps = Steps(starts)
    transposed = tf.transpose(kernel)

    def step(t: tf.Tensor, carried: tf.Tensor, slopes: tf.TensorArray) -> tuple:
        above, cell_factor, output_factor, *gate_factors, keep = tf.split(steps.take(factors, t), 7, axis=1)
        of_hidden, of_cell = tf.split(steps.grow(carried, t), 2, axis=1)
        of_hidden += above
        of_cell += of_hidden * cell_factor
        of_raw = tf.concat([*(of_cell * factor for factor in gate_factors), of_hidden * output_factor], axis=1)
        carried = tf.concat([tf.matmul(of_raw, transposed), of_cell * keep], axis=1)
        return t - 1, carried, slopes.write(t, tf.concat([of_raw, of_cell], axis=1))

    *_, slopes = tf.while_loop(
        lambda t, *_: t >= 0,
        step,
        (steps.count - 1, steps.after_last(2 * width), steps.array(5 * width)),
        shape_invariants=(tf.TensorShape([]), steps.state_shape(2 * width), tf.TensorShape(None)),
        parallel_iterations=1,
    )
    return steps.joined(slopes, 5 * width)
