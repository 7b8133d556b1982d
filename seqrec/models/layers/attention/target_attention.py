"""Second half of the short-term part: attention of each candidate over the hidden states."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from seqrec.models.config import ModelConfig
from seqrec.models.layers.initializers import Initializer
from seqrec.models.layers.packing import PackedEvents, longest_history, padded_place, softmax_by_row
from seqrec.models.layers.stream_rows import PackedRows
from seqrec.models.layers.tower import Tower
from seqrec.models.layers.training_context import TrainingContext

# A block's [pairs, 80] then takes 2.6 MB, which fits the cache of a CPU and is still enough work for all cores.
_PAIRS_PER_BLOCK = 8192
# The operations of one block are too small to keep two cores busy; two blocks at once do.
_BLOCKS_AT_ONCE = 2


class TargetAttention(tf.Module):
    """Returns sum_t softmax(score)_t R_t with score_t = tower([k ; q ; k - q ; k * q]), k = R_t M, q the candidate.

    The tower's first layer is split by the parts of its input: k (Wk + Wd) is computed once per event, q (Wq - Wd) once
    per candidate, and only (k * q) Wp for every pair. Scores of padding have no weight. But with padding among the
    packed events (the reference), where R is zero, padding takes part in the batch-norm moments of the tower.
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
        training: TrainingContext | None,
    ) -> tf.Tensor:
        """Returns float32 [R, N, H] for packed hidden states [P, H].

        Args:
            candidates: float32 [R, N, D], embedded, or [1, N, D] if shared by all histories.
        """
        keys = tf.matmul(hidden, self.matrix)  # [P, D]
        parts, shift = self.tower.first_layer([self._event_dim] * 4, training)
        of_key, of_candidate, of_difference, of_product = parts
        key_product = self.tower.multiply(keys, of_key + of_difference) + shift  # [P, C]
        candidate_product = self.tower.multiply(candidates, of_candidate - of_difference)  # [R, N, C]

        def first_product(keys: tf.Tensor, key_product: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
            met = keys[:, None, :] * _for_each_event(candidates, row)  # [P, N, D]
            product = self.tower.multiply(met, of_product)  # [P, N, C]
            product += _for_each_event(candidate_product, row)
            return product + key_product[:, None, :]

        if training is None:
            layers = self.tower.later_layers()
            scores = _by_blocks(
                lambda *block: self.tower.infer(first_product(*block), layers),
                (keys, key_product, events.row),
                tf.shape(candidates)[1],
            )
        else:
            rows = PackedRows(events.stream, events.weight, events.num_per_stream)
            scores = self.tower(first_product(keys, key_product, events.row), rows, training)  # [P, N]
        shares = softmax_by_row(scores, events.is_real, events.row, tf.size(events.row_start))
        return _weighted_sums(shares, hidden, events)


def _by_blocks(score: Callable[..., tf.Tensor], inputs: tuple[tf.Tensor, ...], num_candidates: tf.Tensor) -> tf.Tensor:
    """Returns score(*inputs), float32 [P, N], computed by blocks of events whose data fits the cache."""
    num_events = tf.shape(inputs[0])[0]
    size = tf.maximum(_PAIRS_PER_BLOCK // num_candidates, 1)
    num_blocks = tf.maximum((num_events + size - 1) // size, 1)  # One empty block if there are no events.
    scores = tf.TensorArray(tf.float32, num_blocks, infer_shape=False, element_shape=[None, None])

    def step(block: tf.Tensor, scores: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        part = (each[block * size : (block + 1) * size] for each in inputs)
        return block + 1, scores.write(block, score(*part))

    _, scores = tf.while_loop(
        lambda block, _: block < num_blocks, step, (0, scores), parallel_iterations=_BLOCKS_AT_ONCE
    )
    return tf.reshape(scores.concat(), [num_events, num_candidates])


def _for_each_event(values: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
    """Returns [P, N, C]: for each event the values [R, N, C] of its history; values [1, N, C] are shared by all."""
    if values.shape[0] == 1:
        return values
    return tf.gather(values, row)


def _weighted_sums(shares: tf.Tensor, hidden: tf.Tensor, events: PackedEvents) -> tf.Tensor:
    """Returns sum_t shares_t hidden_t of each history, float32 [R, N, H]: one small padded matrix product each."""
    place = padded_place(events, longest_history(events))  # [R, L]
    padded_shares = tf.gather(tf.pad(shares, [[0, 1], [0, 0]]), place)
    padded_hidden = tf.gather(tf.pad(hidden, [[0, 1], [0, 0]]), place)
    return tf.matmul(padded_shares, padded_hidden, transpose_a=True)
