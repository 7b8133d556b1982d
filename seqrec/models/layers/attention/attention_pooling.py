"""Long-term taste: the mean of the events of a history, weighted by a learned score (A2SVD)."""

import tensorflow as tf

from seqrec.models.layers.initializers import Initializer
from seqrec.models.layers.packing import PackedEvents, softmax_by_row, sum_by_row


class AttentionPooling(tf.Module):
    """Returns sum_t w_t x_t, where w is the softmax over a history of score_t = (x_t M) . query.

    With `masked` only real events count, and an empty history gives zeros. Without it (the reference) padding counts
    like any event, so the result for a short history is mostly the padding's row.
    """

    def __init__(self, name: str, event_dim: int, attention_dim: int, masked: bool, initializer: Initializer) -> None:
        super().__init__(None)
        self._masked = masked
        self.matrix = initializer.normal(f"{name}/matrix", (event_dim, attention_dim))
        self.query = initializer.normal(f"{name}/query", (attention_dim,))

    def __call__(self, x: tf.Tensor, events: PackedEvents, num_rows: tf.Tensor) -> tf.Tensor:
        """Returns float32 [R, D] for packed embedded events x [P, D]."""
        direction = tf.linalg.matvec(tf.convert_to_tensor(self.matrix), self.query)  # (x M) q = x (M q)
        scores = tf.linalg.matvec(x, direction)  # [P]
        weight = events.is_real if self._masked else events.weight
        shares = softmax_by_row(scores, weight, events.row, num_rows)
        return sum_by_row(shares[:, None] * x, events.row, num_rows)
