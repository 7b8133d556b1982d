"""SLi-Rec: long-term taste and short-term intention, fused by a gate that depends on time.

Yu, Lian, Mahmoody, Liu, Xie: Adaptive User Modeling with Long and Short-Term Preferences for Personalized
Recommendation, IJCAI 2019, doi 10.24963/ijcai.2019/585. The equations are those of SLi-Rec in recommenders, which
differs from the paper's own code. The legend of the shapes is in `contract.py`.
"""

from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from seqrec.core.batch import History
from seqrec.core.errors import ConfigError
from seqrec.events.vocabulary import Vocabulary
from seqrec.models.config import ModelConfig
from seqrec.models.contract import RankingModel
from seqrec.models.layers.attention.attention_pooling import AttentionPooling
from seqrec.models.layers.attention.target_attention import TargetAttention
from seqrec.models.layers.batch_norm import BatchNorm
from seqrec.models.layers.embedding import EventEmbedding
from seqrec.models.layers.initializers import Initializer
from seqrec.models.layers.packing import PackedEvents, pack_events, take_packed
from seqrec.models.layers.recurrent.log_times import log_days_from_first, log_days_of_last_event, log_days_to_target
from seqrec.models.layers.recurrent.time_lstm import TimeLstm
from seqrec.models.layers.recurrent.time_order import in_packed_order, order_by_time, packed_place
from seqrec.models.layers.stream_rows import EvenRows
from seqrec.models.layers.tower import Tower
from seqrec.models.layers.training_context import TrainingContext


@dataclass(frozen=True, kw_only=True)
class SliRecOptions:
    """Settings under `model.options.sli_rec`."""

    hidden_size: int = 40  # Width of the recurrent state; it must equal item_dim + category_dim.
    attention_size: int = 40  # Width of the space in which the long-term attention scores events.
    attention_layer_sizes: tuple[int, ...] = (80, 40)  # Hidden layers of the target attention and of the fusion gate.

    def __post_init__(self) -> None:
        for name in ("hidden_size", "attention_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least 1.")
        if not self.attention_layer_sizes or min(self.attention_layer_sizes) < 1:
            raise ValueError(f"attention_layer_sizes is {self.attention_layer_sizes}: give sizes of at least 1.")


class SliRecState(NamedTuple):
    long_term: tf.Tensor  # float32 [S, B, D]
    hidden: tf.Tensor  # float32 [P, H], short-term state after each packed event.
    events: PackedEvents
    last_time: tf.Tensor  # float32 [S, B], logarithm of the days from the last event to the target.


class SliRec(RankingModel):
    """user = alpha * long_term + (1 - alpha) * short_term(candidate); logit = tower([user ; candidate])."""

    options_class = SliRecOptions

    def __init__(self, config: ModelConfig, options: SliRecOptions, vocabulary: Vocabulary, seed: int | None) -> None:
        super().__init__("sli_rec")
        self.config = config
        self._width = config.event_dim
        initializer = Initializer(seed, config.initial_std)
        self.embedding = EventEmbedding(config, vocabulary, initializer)
        masked = config.corrects("mask_long_term_attention")
        self.pooling = AttentionPooling("pooling", self._width, options.attention_size, masked, initializer)
        self._input_dim = self._width if config.corrects("category_in_recurrence") else config.item_dim
        self.recurrence = TimeLstm("recurrence", self._input_dim, options.hidden_size, initializer)
        sizes = options.attention_layer_sizes
        self.attention = TargetAttention("attention", options.hidden_size, self._width, sizes, config, initializer)
        self.fusion = Tower("fusion", 3 * self._width + 1, sizes, config, initializer)
        self.tower = Tower("tower", 2 * self._width, config.layer_sizes, config, initializer)
        padding_counts = not masked or not config.corrects("batch_norm_on_real_events")
        self._padded_length = config.max_history_length if padding_counts else None
        last_real = config.corrects("fusion_time_of_last_event")
        self._fusion_column = None if last_real else config.max_history_length
        self._norm_padding = not config.corrects("batch_norm_on_real_events")

    @staticmethod
    def check_settings(config: ModelConfig, options: SliRecOptions) -> None:
        if options.hidden_size != config.event_dim:
            raise ConfigError(
                f"model.options.sli_rec.hidden_size is {options.hidden_size}, but item_dim + category_dim is "
                f"{config.event_dim}: the fusion adds the two, so they must be equal. Set "
                f"model.options.sli_rec.hidden_size={config.event_dim}."
            )

    @property
    def batch_norms(self) -> tuple[BatchNorm, ...]:
        return (*self.attention.tower.norms, *self.fusion.norms, *self.tower.norms)

    def encode(self, history: History, training: TrainingContext | None = None) -> SliRecState:
        events = pack_events(history.length, self._padded_length)
        num_rows = tf.size(history.length)
        x = self.embedding(take_packed(history.items, events))  # [P, D]
        long_term = self.pooling(x, events, num_rows)  # [R, D]
        hidden = self._short_term(history, x, events)  # [P, H]
        if not self._norm_padding:
            events = events._replace(weight=events.is_real)
        return SliRecState(
            long_term=tf.reshape(long_term, tf.concat([tf.shape(history.length), [self._width]], axis=0)),
            hidden=hidden,
            events=events,
            last_time=log_days_of_last_event(history, self._fusion_column),
        )

    def score(self, state: SliRecState, candidates: tf.Tensor, training: TrainingContext | None = None) -> tf.Tensor:
        item = self.embedding(candidates)  # [S, B, N, D] or [N, D]
        short_term = self._attend(state, item, training)  # [S, B, N, H]
        long_term = state.long_term[:, :, None, :]
        alpha = self._fusion_gate(state, item, short_term, training)[..., None]  # [S, B, N, 1]
        user = alpha * long_term + (1.0 - alpha) * short_term
        (user_kernel, item_kernel), shift = self.tower.first_layer([self._width] * 2, training)
        product = self.tower.multiply(user, user_kernel) + (self.tower.multiply(item, item_kernel) + shift)
        return self.tower(product, EvenRows(), training)

    def _short_term(self, history: History, x: tf.Tensor, events: PackedEvents) -> tf.Tensor:
        """Returns the hidden state after each packed event, float32 [P, H]; zeros for padding."""
        order = order_by_time(tf.reshape(history.length, [-1]), tf.shape(history.items)[2])
        slots = order.row * tf.shape(history.items)[2] + order.position
        place = packed_place(order, events)
        to_target = tf.gather(tf.reshape(log_days_to_target(history), [-1]), slots)
        from_first = tf.gather(tf.reshape(log_days_from_first(history), [-1]), slots)
        hidden = self.recurrence(tf.gather(x[:, : self._input_dim], place), to_target, from_first, order.starts)
        return in_packed_order(hidden, order, events)

    def _attend(self, state: SliRecState, item: tf.Tensor, training: TrainingContext | None) -> tf.Tensor:
        num_candidates = tf.shape(item)[-2]
        shared = len(item.shape) == 2
        each = item[None] if shared else tf.reshape(item, [-1, num_candidates, self._width])
        short_term = self.attention(state.hidden, state.events, each, training)  # [R, N, H]
        shape = [state.long_term.shape[0], tf.shape(state.last_time)[1], num_candidates, self._width]
        return tf.reshape(short_term, shape)

    def _fusion_gate(
        self, state: SliRecState, item: tf.Tensor, short_term: tf.Tensor, training: TrainingContext | None
    ) -> tf.Tensor:
        """Returns alpha, float32 [S, B, N]: the share of the long-term taste."""
        widths = (self._width, self._width, self._width, 1)
        (of_item, of_long, of_short, of_time), shift = self.fusion.first_layer(widths, training)
        once = self.fusion.multiply(state.long_term, of_long) + state.last_time[..., None] * of_time[0] + shift
        product = self.fusion.multiply(short_term, of_short) + self.fusion.multiply(item, of_item)
        return tf.sigmoid(self.fusion(product + once[:, :, None, :], EvenRows(), training))
