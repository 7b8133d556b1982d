"""A2SVD: attention over the whole history, then a tower over [user ; item]. It does not use times.

It is the forerunner of the long-term part of SLi-Rec (Yu et al., IJCAI 2019, doi 10.24963/ijcai.2019/585), with the
equations of A2SVD in recommenders. The legend of the shapes is in `contract.py`.
"""

from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from seqrec.core.batch import History
from seqrec.events.vocabulary import Vocabulary
from seqrec.models.config import ModelConfig
from seqrec.models.contract import RankingModel
from seqrec.models.layers.attention.attention_pooling import AttentionPooling
from seqrec.models.layers.batch_norm import BatchNorm
from seqrec.models.layers.embedding import EventEmbedding
from seqrec.models.layers.initializers import Initializer
from seqrec.models.layers.packing import pack_events, take_packed
from seqrec.models.layers.stream_rows import EvenRows
from seqrec.models.layers.tower import Tower
from seqrec.models.layers.training_context import TrainingContext


@dataclass(frozen=True, kw_only=True)
class A2svdOptions:
    """Settings under `model.options.a2svd`."""

    attention_size: int = 40  # Width of the space in which the attention scores events.

    def __post_init__(self) -> None:
        if self.attention_size < 1:
            raise ValueError(f"attention_size is {self.attention_size}: give at least 1.")


class A2svdState(NamedTuple):
    user: tf.Tensor  # float32 [S, B, D]


class A2svd(RankingModel):
    """The user's vector is the attention-weighted mean of the events' vectors."""

    options_class = A2svdOptions

    def __init__(self, config: ModelConfig, options: A2svdOptions, vocabulary: Vocabulary, seed: int | None) -> None:
        super().__init__("a2svd")
        self.config = config
        initializer = Initializer(seed, config.initial_std)
        self.embedding = EventEmbedding(config, vocabulary, initializer)
        masked = config.corrects("mask_long_term_attention")
        self.pooling = AttentionPooling("pooling", config.event_dim, options.attention_size, masked, initializer)
        self.tower = Tower("tower", 2 * config.event_dim, config.layer_sizes, config, initializer)
        self._padded_length = None if masked else config.max_history_length

    @property
    def batch_norms(self) -> tuple[BatchNorm, ...]:
        return tuple(self.tower.norms)

    def encode(self, history: History, training: TrainingContext | None = None) -> A2svdState:
        events = pack_events(history.length, self._padded_length)
        num_rows = tf.size(history.length)
        x = self.embedding(take_packed(history.items, events))  # [P, D]
        user = self.pooling(x, events, num_rows)  # [R, D]
        return A2svdState(tf.reshape(user, [*split_shape(history.length), self.config.event_dim]))

    def score(self, state: A2svdState, candidates: tf.Tensor, training: TrainingContext | None = None) -> tf.Tensor:
        item = self.embedding(candidates)  # [S, B, N, D] or [N, D]
        (user_kernel, item_kernel), shift = self.tower.first_layer([self.config.event_dim] * 2, training)
        user_product = (self.tower.multiply(state.user, user_kernel) + shift)[:, :, None, :]
        return self.tower(user_product + self.tower.multiply(item, item_kernel), EvenRows(), training)


def split_shape(length: tf.Tensor) -> tuple[int, tf.Tensor]:
    """Returns (S, B) of lengths [S, B]; S is known when tracing."""
    return length.shape[0], tf.shape(length)[1]
