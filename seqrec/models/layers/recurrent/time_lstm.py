"""First half of the short-term part: an LSTM whose gates depend on the age of events (Time4LSTM of SLi-Rec)."""

import tensorflow as tf

from seqrec.models.layers.initializers import Initializer
from seqrec.models.layers.recurrent.lstm_recurrence import gated_recurrence

_FORGET_BIAS = 1.0


class TimeLstm(tf.Module):
    """Reads packed events in time order.

    Here x is the event, and n and u are the logarithms of the days to the target and from the first event:
        a = tanh(n w1 + b1);   b = tanh(u w2 + b2)
        input gate  *= sigmoid(x K1 + a T1 + c1);   forget gate *= sigmoid(x K2 + b T2 + c2)
        output gate's input += a O1 + b O2
    The rest is a plain LSTM with a forget bias of 1, without peepholes, that begins with states of zero. All products
    above are computed for all events at once; only h' kernel is left to the loop.
    """

    def __init__(self, name: str, input_dim: int, hidden_size: int, initializer: Initializer) -> None:
        super().__init__(None)
        self._hidden_size, self._input_dim = hidden_size, input_dim

        def glorot(weight: str, *shape: int) -> tf.Variable:
            return initializer.glorot(f"{name}/{weight}", shape)

        self.to_target_scale = glorot("to_target_scale", hidden_size)
        self.to_target_bias = glorot("to_target_bias", hidden_size)
        self.from_first_scale = glorot("from_first_scale", hidden_size)
        self.from_first_bias = glorot("from_first_bias", hidden_size)
        self.input_gate_event = glorot("input_gate_event", input_dim, hidden_size)
        self.input_gate_time = glorot("input_gate_time", hidden_size, hidden_size)
        self.input_gate_bias = glorot("input_gate_bias", hidden_size)
        self.forget_gate_event = glorot("forget_gate_event", input_dim, hidden_size)
        self.forget_gate_time = glorot("forget_gate_time", hidden_size, hidden_size)
        self.forget_gate_bias = glorot("forget_gate_bias", hidden_size)
        self.output_to_target = glorot("output_to_target", hidden_size, hidden_size)
        self.output_from_first = glorot("output_from_first", hidden_size, hidden_size)
        self.kernel = glorot("kernel", input_dim + hidden_size, 4 * hidden_size)
        self.bias = initializer.constant(f"{name}/bias", (4 * hidden_size,), 0.0)

    def __call__(self, x: tf.Tensor, to_target: tf.Tensor, from_first: tf.Tensor, starts: tf.Tensor) -> tf.Tensor:
        """Returns hidden states, float32 [P, H].

        Args:
            x: float32 [P, I], events in time order.
            to_target, from_first: float32 [P], logarithms of days.
            starts: int32 [L + 1], from `TimeOrder.starts`.
        """
        a = tf.tanh(to_target[:, None] * self.to_target_scale + self.to_target_bias)
        b = tf.tanh(from_first[:, None] * self.from_first_scale + self.from_first_bias)
        input_kernel, hidden_kernel = tf.split(
            tf.convert_to_tensor(self.kernel), [self._input_dim, self._hidden_size], axis=0
        )
        # One product for all gates; its columns are i, j, f, o, input gate, forget gate.
        every = tf.matmul(tf.concat([x, a, b], axis=1), self._joint_kernel(input_kernel))
        shift = tf.pad(tf.fill([self._hidden_size], _FORGET_BIAS), [[2 * self._hidden_size, self._hidden_size]])
        every += tf.concat([self.bias + shift, self.input_gate_bias, self.forget_gate_bias], axis=0)
        inputs, gates = tf.split(every, [4 * self._hidden_size, 2 * self._hidden_size], axis=1)
        input_gate, forget_gate = tf.split(tf.sigmoid(gates), 2, axis=1)
        return gated_recurrence(inputs, input_gate, forget_gate, hidden_kernel, starts)

    def _joint_kernel(self, input_kernel: tf.Tensor) -> tf.Tensor:
        """Returns [I + 2 H, 6 H]: rows for x, a and b, with zeros where an input does not enter a gate."""
        nothing = tf.zeros([self._hidden_size, self._hidden_size])
        three = tf.zeros([self._hidden_size, 3 * self._hidden_size])
        of_event = tf.concat([input_kernel, self.input_gate_event, self.forget_gate_event], axis=1)
        of_to_target = tf.concat([three, self.output_to_target, self.input_gate_time, nothing], axis=1)
        of_from_first = tf.concat([three, self.output_from_first, nothing, self.forget_gate_time], axis=1)
        return tf.concat([of_event, of_to_target, of_from_first], axis=0)
