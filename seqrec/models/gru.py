"""GRU: the last hidden state of a gated recurrent unit over the history, then a tower over [user ; item].

It has the encoder of GRU4Rec (Hidasi et al., ICLR 2016, arXiv:1511.06939) and the tower of the other ranking models. It
is the smallest ranking model that depends on the order of events; it does not use times. The legend of the shapes is in
`contract.py`.
"""

from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from seqrec.core.batch import History
from seqrec.events.vocabulary import Vocabulary
from seqrec.models.config import ModelConfig
from seqrec.models.contract import RankingModel
from seqrec.models.layers.batch_norm import BatchNorm
from seqrec.models.layers.embedding import EventEmbedding
from seqrec.models.layers.fixed_shapes import fixed_shapes
from seqrec.models.layers.initializers import Initializer
from seqrec.models.layers.recurrent.gru_recurrence import gru_recurrence
from seqrec.models.layers.recurrent.time_order import TimeOrder, order_by_time
from seqrec.models.layers.stream_rows import EvenRows
from seqrec.models.layers.tower import Tower
from seqrec.models.layers.training_context import TrainingContext


@dataclass(frozen=True, kw_only=True)
class GruOptions:
    """Settings under `model.options.gru`."""

    hidden_size: int = 40  # Width of the recurrent state.

    def __post_init__(self) -> None:
        if self.hidden_size < 1:
            raise ValueError(f"hidden_size is {self.hidden_size}: give at least 1.")


class GruState(NamedTuple):
    user: tf.Tensor  # float32 [S, B, H]


class Gru(RankingModel):
    """The user's vector is the recurrent state after the last event; zeros for an empty history."""

    options_class = GruOptions

    def __init__(self, config: ModelConfig, options: GruOptions, vocabulary: Vocabulary, seed: int | None) -> None:
        super().__init__("gru")
        self.config = config
        self._hidden_size = options.hidden_size
        self._input_dim = config.event_dim if config.corrects("category_in_recurrence") else config.item_dim
        initializer = Initializer(seed, config.initial_std)
        self.embedding = EventEmbedding(config, vocabulary, initializer)
        self.input_kernel = initializer.glorot("gru/input_kernel", (self._input_dim, 3 * self._hidden_size))
        self.gate_kernel = initializer.glorot("gru/gate_kernel", (self._hidden_size, 2 * self._hidden_size))
        self.state_kernel = initializer.glorot("gru/state_kernel", (self._hidden_size, self._hidden_size))
        self.bias = initializer.constant("gru/bias", (3 * self._hidden_size,), 0.0)
        self.tower = Tower("tower", self._hidden_size + config.event_dim, config.layer_sizes, config, initializer)

    @property
    def batch_norms(self) -> tuple[BatchNorm, ...]:
        return tuple(self.tower.norms)

    def encode(self, history: History, training: TrainingContext | None = None) -> GruState:
        padded_length = tf.shape(history.items)[2]
        order = order_by_time(tf.reshape(history.length, [-1]), padded_length)
        items = tf.gather(tf.reshape(history.items, [-1]), order.row * padded_length + order.position)
        x = self.embedding(items)[:, : self._input_dim]  # [P, I]
        inputs = tf.matmul(x, self.input_kernel) + self.bias
        if fixed_shapes() is None:
            user = tf.gather(self._last_state(inputs, order), order.rank)  # [R, H]
        else:
            user = self._last_of_all_states(inputs, order, tf.reshape(history.length, [-1]))
        return GruState(tf.reshape(user, tf.concat([tf.shape(history.length), [self._hidden_size]], axis=0)))

    def score(self, state: GruState, candidates: tf.Tensor, training: TrainingContext | None = None) -> tf.Tensor:
        item = self.embedding(candidates)  # [S, B, N, D] or [N, D]
        (user_kernel, item_kernel), shift = self.tower.first_layer([self._hidden_size, self.config.event_dim], training)
        user_product = (self.tower.multiply(state.user, user_kernel) + shift)[:, :, None, :]
        return self.tower(user_product + self.tower.multiply(item, item_kernel), EvenRows(), training)

    def _last_of_all_states(self, inputs: tf.Tensor, order: TimeOrder, length: tf.Tensor) -> tf.Tensor:
        """Does the same with fixed shapes, for histories of lengths int32 [R] in their own order."""
        gate_kernel, state_kernel = tf.convert_to_tensor(self.gate_kernel), tf.convert_to_tensor(self.state_kernel)
        states = gru_recurrence(inputs, gate_kernel, state_kernel, order.starts)
        last = tf.gather(states, tf.gather(order.place, tf.maximum(length - 1, 0), batch_dims=1))
        return tf.where((length > 0)[:, None], last, 0.0)

    def _last_state(self, inputs: tf.Tensor, order: TimeOrder) -> tf.Tensor:
        """Returns the state after the last event of each history, float32 [R, H], the longest history first."""
        starts = order.starts
        num_steps = tf.shape(starts)[0] - 1
        gate_kernel, state_kernel = tf.convert_to_tensor(self.gate_kernel), tf.convert_to_tensor(self.state_kernel)

        def step(t: tf.Tensor, state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            now = inputs[starts[t] : starts[t + 1]]
            num_left = starts[t + 1] - starts[t]
            ended, live = state[num_left:], state[:num_left]
            gates, new = tf.split(now, [2 * self._hidden_size, self._hidden_size], axis=1)
            update, reset = tf.split(tf.sigmoid(gates + tf.matmul(live, gate_kernel)), 2, axis=1)
            new = tf.tanh(new + tf.matmul(reset * live, state_kernel))
            return t + 1, tf.concat([update * live + (1.0 - update) * new, ended], axis=0)

        first = tf.zeros([tf.size(order.rank), self._hidden_size])
        shapes = (tf.TensorShape([]), tf.TensorShape([None, self._hidden_size]))
        return tf.while_loop(
            lambda t, _: t < num_steps, step, (0, first), shape_invariants=shapes, parallel_iterations=1
        )[1]
