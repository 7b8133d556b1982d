"""A run as one TensorFlow module: raw item ids and times in, scores or the best items out.

The look-up tables are inside too, so plain TensorFlow loads what is saved. No input is refused: unknown ids and
events after `as_of` are left out of a history, an empty history is encoded like any other, and the model reads the last
events of a long one. Legend: B histories, T events given, L events read, N candidates.
"""

from pathlib import Path

import tensorflow as tf

from seqrec.core.batch import History
from seqrec.models.contract import RetrievalModel, SequenceModel
from seqrec.scoring.top_items import top_items

_NEVER = tf.int64.max


class ServedModel(tf.Module):
    """Scores and top k of one model.

    Args:
        item_ids: text file with the id of item index i on line i.
        max_k: length of the longest list.
    """

    def __init__(
        self, model: SequenceModel, item_ids: Path, num_items: int, max_k: int, block_size: int, exclude_own_items: bool
    ) -> None:
        super().__init__("seqrec")
        self.model = model
        self.item_ids = tf.saved_model.Asset(str(item_ids))
        self._line_of_id = _table(self.item_ids, tf.lookup.TextFileIndex.WHOLE_LINE, tf.string, -1)
        self._id_of_line = _table(self.item_ids, tf.lookup.TextFileIndex.LINE_NUMBER, tf.int64, "")
        self._num_items = num_items
        self._max_k = min(max_k, num_items)
        self._block_size = block_size
        self._exclude_own_items = exclude_own_items

    def score(
        self, item_ids: tf.Tensor, timestamps: tf.Tensor, as_of: tf.Tensor, candidate_ids: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Logits float32 [B, N] of candidate ids string [B, N], and which are known.

        Args:
            item_ids: string [B, T], in any order, filled up with "".
            timestamps: int64 [B, T], seconds since 1970.
            as_of: int64 [B], the time at which the items are scored.
        """
        return self.score_indices(self._indices(item_ids), timestamps, as_of, self._indices(candidate_ids))

    def score_indices(
        self, item_indices: tf.Tensor, timestamps: tf.Tensor, as_of: tf.Tensor, candidate_indices: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """As `score`, for item indices, int32. Those outside 1..num_items are unknown and get the lowest float."""
        candidates = self._valid(candidate_indices)
        history = self._history(self._valid(item_indices), timestamps, as_of)
        known = candidates > 0
        # An unknown candidate is scored as item 1, and its score is then replaced.
        logits = self.model.score(self.model.encode(history), tf.maximum(candidates, 1)[None])[0]
        return {"scores": tf.where(known, logits, logits.dtype.min), "known": known}

    def top_k(self, item_ids: tf.Tensor, timestamps: tf.Tensor, as_of: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """The k best items of all: ids string [B, k], "" where there are fewer, and their logits float32 [B, k]."""
        best = self.top_k_indices(self._indices(item_ids), timestamps, as_of, k)
        return {
            "item_ids": self._id_of_line.lookup(tf.cast(best["item_indices"], tf.int64) - 1),
            "scores": best["scores"],
        }

    def top_k_indices(
        self, item_indices: tf.Tensor, timestamps: tf.Tensor, as_of: tf.Tensor, k: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """As `top_k`, in item indices, int32 [B, k], 0 where there are fewer; k is an int32 [] from 0 to `max_k`."""
        items = self._valid(item_indices)
        state = self.model.encode(self._history(items, timestamps, as_of))
        # Own items are left out even if their events are after `as_of`. The column of 0 stands for an empty history.
        own = tf.pad(items, [[0, 0], [0, 1]])[None] if self._exclude_own_items else None
        catalogue, k = tf.range(1, self._num_items + 1), tf.maximum(k, 0)
        best = top_items(self.model, state, catalogue, self._max_k, self._block_size, own)
        return {"item_indices": best.items[0, :, :k], "scores": best.scores[0, :, :k]}

    def encode(self, item_ids: tf.Tensor, timestamps: tf.Tensor, as_of: tf.Tensor) -> dict[str, tf.Tensor]:
        """States float32 [B, V] of a retrieval model, whose products with item vectors are logits."""
        return self.encode_indices(self._indices(item_ids), timestamps, as_of)

    def encode_indices(self, item_indices: tf.Tensor, timestamps: tf.Tensor, as_of: tf.Tensor) -> dict[str, tf.Tensor]:
        """As `encode`, for item indices, int32 [B, T]."""
        return {"states": self.model.encode(self._history(self._valid(item_indices), timestamps, as_of))[0]}

    def item_vectors(self, item_indices: tf.Tensor) -> dict[str, tf.Tensor]:
        """Vectors float32 [N, V] of item indices int32 [N], and which items have one: the others get zeros."""
        items = self._valid(item_indices)
        known = self.model.embedding.has_vector(items)
        vectors = self.model.item_vectors(tf.where(known, items, 1))
        return {"vectors": tf.where(known[:, None], vectors, 0.0), "known": known}

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The signatures that a server offers, by name."""

        def of(dtype: tf.DType, name: str, shape: list[int | None] | None = None) -> tf.TensorSpec:
            return tf.TensorSpec([None, None] if shape is None else shape, dtype, name)

        times, now, k = of(tf.int64, "timestamps"), of(tf.int64, "as_of", [None]), of(tf.int32, "k", [])
        ids, indices = of(tf.string, "item_ids"), of(tf.int32, "item_indices")
        specs = {
            "serving_default": (self.score, ids, of(tf.string, "candidate_ids")),
            "top_k": (self.top_k, ids, k),
            "score_indices": (self.score_indices, indices, of(tf.int32, "candidate_indices")),
            "top_k_indices": (self.top_k_indices, indices, k),
        }
        traced = {
            name: tf.function(function, autograph=False).get_concrete_function(events, times, now, wanted)
            for name, (function, events, wanted) in specs.items()
        }
        if isinstance(self.model, RetrievalModel):
            for name, function, events in (
                ("encode", self.encode, ids),
                ("encode_indices", self.encode_indices, indices),
            ):
                traced[name] = tf.function(function, autograph=False).get_concrete_function(events, times, now)
            items = of(tf.int32, "item_indices", [None])
            traced["item_vectors"] = tf.function(self.item_vectors, autograph=False).get_concrete_function(items)
        return traced

    def _indices(self, ids: tf.Tensor) -> tf.Tensor:
        """int32, 0 for an unknown id."""
        return tf.cast(self._line_of_id.lookup(ids), tf.int32) + 1

    def _valid(self, indices: tf.Tensor) -> tf.Tensor:
        return tf.where((indices >= 1) & (indices <= self._num_items), indices, 0)

    def _history(self, items: tf.Tensor, timestamps: tf.Tensor, as_of: tf.Tensor) -> History:
        """The last L known events up to `as_of` in order of time, as one stream: arrays [1, B, L]."""
        length = self.model.config.max_history_length
        counts = (items > 0) & (timestamps <= as_of[:, None])  # [B, T]
        order = tf.argsort(tf.where(counts, timestamps, _NEVER), axis=1, stable=True)
        items = tf.pad(tf.gather(items, order, batch_dims=1), [[0, 0], [0, length]])
        times = tf.pad(tf.gather(timestamps, order, batch_dims=1), [[0, 0], [0, length]])
        num_events = tf.reduce_sum(tf.cast(counts, tf.int32), axis=1)  # [B]
        place = tf.maximum(num_events - length, 0)[:, None] + tf.range(length)  # [B, L]
        is_real = place < num_events[:, None]
        read_times = tf.gather(times, place, batch_dims=1)
        history = History(
            items=tf.where(is_real, tf.gather(items, place, batch_dims=1), 0),
            length=tf.minimum(num_events, length),
            # Differences are taken in whole seconds and cast afterwards: float32 cannot hold today's times exactly.
            seconds_to_target=tf.cast(tf.where(is_real, as_of[:, None] - read_times, 0), tf.float32),
            seconds_from_first=tf.cast(tf.where(is_real, read_times - times[:, :1], 0), tf.float32),
        )
        return History(*(part[None] for part in history))


def _table(lines: tf.saved_model.Asset, key: int, key_dtype: tf.DType, default: int | str) -> tf.lookup.StaticHashTable:
    by_id = key == tf.lookup.TextFileIndex.WHOLE_LINE
    value = tf.lookup.TextFileIndex.LINE_NUMBER if by_id else tf.lookup.TextFileIndex.WHOLE_LINE
    value_dtype = tf.int64 if by_id else tf.string
    return tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(lines.asset_path, key_dtype, key, value_dtype, value), default
    )
