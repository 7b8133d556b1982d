"""Short-term part, second half: hidden states weighted by how they meet each candidate."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import tensorflow as tf

from seqrec.models.config import ModelConfig
from seqrec.models.initializers import Initializer
from seqrec.models.packing import PackedEvents, padded_place, softmax_by_row
from seqrec.models.stream_rows import PackedRows
from seqrec.models.tower import Tower

if TYPE_CHECKING:
    from seqrec.models.contract import TrainingContext


class TargetAttention(tf.Module):
    """score_t = tower([k ; q ; k - q ; k * q]), k = R_t M, q the candidate; the result sum_t softmax(score)_t R_t.

    The tower's first layer is cut by its input's parts: k (Wk + Wd) once per event, q (Wq - Wd) once per candidate,
    and only (k * q) Wp for every pair. Scores of padding have no weight; but with padding among the packed events
    (the reference), where R is zero, it takes part in the tower's batch-norm moments.
    """

    def __init__(
        self,
        name: str,
        hidden_size: int,
        event_dim: int,
        layer_sizes: Sequence[int],
        config: ModelConfig,
        initializer: Initializer,
    ) -> None:
        super().__init__(None)
        self._event_dim = event_dim
        self.matrix = initializer.normal(f"{name}/matrix", (hidden_size, event_dim))
        self.tower = Tower(f"{name}/tower", 4 * event_dim, layer_sizes, config, initializer)

    def __call__(
        self,
        hidden: tf.Tensor,
        events: PackedEvents,
        candidates: tf.Tensor,
        training: "TrainingContext | None",
    ) -> tf.Tensor:
        """float32 [R, N, H] of packed hidden states [P, H].

        Args:
            candidates: float32 [R, N, D], embedded, or [1, N, D] if shared by all histories.
        """
        keys = tf.matmul(hidden, self.matrix)  # [P, D]
        of_key, of_candidate, of_difference, of_product = self.tower.first_kernel([self._event_dim] * 4, training)
        met = keys[:, None, :] * _for_each_event(candidates, events.row)  # [P, N, D]
        product = self.tower.multiply(met, of_product)  # [P, N, C]
        product += _for_each_event(self.tower.multiply(candidates, of_candidate - of_difference), events.row)
        product += self.tower.multiply(keys, of_key + of_difference)[:, None, :]
        rows = PackedRows(events.stream, events.weight, events.num_per_stream)
        scores = self.tower(product, rows, training)  # [P, N]
        shares = softmax_by_row(scores, events.is_real, events.row, tf.size(events.row_start))
        return _weighted_sums(shares, hidden, events)


def _for_each_event(values: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
    """[P, N, C]: each event's own history's values of [R, N, C]; [1, N, C] are shared."""
    if values.shape[0] == 1:
        return values
    return tf.gather(values, row)


def _weighted_sums(shares: tf.Tensor, hidden: tf.Tensor, events: PackedEvents) -> tf.Tensor:
    """sum_t shares_t hidden_t of each history, float32 [R, N, H]: one small matrix product each, padded again."""
    place = padded_place(events, tf.maximum(tf.reduce_max(events.position), 0) + 1)  # [R, L]
    padded_shares = tf.gather(tf.pad(shares, [[0, 1], [0, 0]]), place)
    padded_hidden = tf.gather(tf.pad(hidden, [[0, 1], [0, 0]]), place)
    return tf.matmul(padded_shares, padded_hidden, transpose_a=True)
