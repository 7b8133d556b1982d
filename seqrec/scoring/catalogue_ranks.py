"""Where targets stand among a whole catalogue, for models of both families.

The catalogue is scored in blocks of one size, and so are the targets: the same product in another shape may be rounded
otherwise, and items with equal vectors would not tie. Legend: B rows of a batch, E own items, V width of a vector.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from seqrec.core.batch import CatalogueBatch, History
from seqrec.models.contract import RetrievalModel, SequenceModel

SharedScores = Callable[[tf.Tensor], tf.Tensor]  # Items int32 [n], shared by all rows -> logits float32 [1, B, n].

# Items of a block. 512 rows of logits then stay in cache, and 64 rows of SLi-Rec's tower within some 100 MB.
_BLOCKS = {True: 1024, False: 512}  # By whether it is a retrieval model.
_ROWS = {True: 512, False: 64}
_PAIRS = {True: 2**31, False: 2**21}  # Pairs of a batch at most, so that one is done within seconds on one core.


class CatalogueRanker:
    """Ranks the targets of batches among the items 1 to `num_items`.

    Call `item_vectors` after the weights have changed, and give its value to `ranks`.
    """

    def __init__(self, model: SequenceModel, num_items: int):
        self._model = model
        is_retrieval = isinstance(model, RetrievalModel)
        self._block_size = _BLOCKS[is_retrieval]
        self._num_items = num_items
        self.batch_size = max(1, min(_ROWS[is_retrieval], _PAIRS[is_retrieval] // num_items))  # Rows to rank at once.
        self._vectors = tf.function(model.catalogue_vectors, autograph=False) if is_retrieval else None
        self._ranks = tf.function(self._ranks_of, autograph=False, reduce_retracing=True)  # E varies.

    def item_vectors(self) -> tf.Tensor | None:
        """Vectors of all comparable items, float32 [items, V]; None for a ranking model, which has none."""
        return None if self._vectors is None else self._vectors()

    def ranks(self, batch: CatalogueBatch, vectors: tf.Tensor | None) -> tf.Tensor:
        """Rank of each target without its row's own items, int32 [1, B]; see `catalogue_ranks`."""
        return self._ranks(batch, vectors)

    def _ranks_of(self, batch: CatalogueBatch, vectors: tf.Tensor | None) -> tf.Tensor:
        scores = shared_scores(self._model, self._model.encode(History(*batch.history)), vectors)
        return catalogue_ranks(scores, batch.target_items, batch.own_items, self._num_items, self._block_size)


def shared_scores(model: SequenceModel, state: Any, vectors: tf.Tensor | None = None) -> SharedScores:
    """A function that scores items after the histories of `state`.

    Args:
        vectors: float32 [items, V], a retrieval model's `catalogue_vectors`; None computes those needed.
    """
    if vectors is None:
        return lambda items: model.score(state, items)
    assert isinstance(model, RetrievalModel)
    last = tf.shape(vectors)[0] - 1
    return lambda items: model.score_vectors(state, items, tf.gather(vectors, tf.clip_by_value(items - 1, 0, last)))


def catalogue_ranks(
    scores_of: SharedScores, target_items: tf.Tensor, own_items: tf.Tensor, num_items: int, block_size: int
) -> tf.Tensor:
    """Rank of each target among the items 1 to `num_items`, int32 [1, B]; 1 is best, ties count against the target.

    It is 0 for a target that no item competes with, which is first whatever the scores.

    Args:
        target_items: int32 [1, B]; 0 in rows that only fill up a batch, whose rank means nothing.
        own_items: int32 [1, B, E], items of each row that do not compete, padded with 0. The target may be among them.
    """
    num_blocks = -(-num_items // block_size)
    target_score = _target_scores(scores_of, target_items[0], block_size)
    barred_row, barred_item = _barred_pairs(target_items[0], own_items[0], num_items)
    num_rows = tf.shape(target_items)[1]

    def step(block: tf.Tensor, rivals: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        first = 1 + block * block_size
        items = tf.ensure_shape(first + tf.range(block_size), [block_size])
        scores = scores_of(tf.minimum(items, num_items))[0]  # [B, block]
        above = (scores >= target_score) & (items <= num_items)
        place = barred_item - first
        is_here = (place >= 0) & (place < block_size)
        at = tf.stack([barred_row, tf.clip_by_value(place, 0, block_size - 1)], axis=1)
        barred_above = tf.cast(tf.gather_nd(above, at) & is_here, tf.int32)
        rivals += tf.reduce_sum(tf.cast(above, tf.int32), axis=1)
        return block + 1, rivals - tf.math.unsorted_segment_sum(barred_above, barred_row, num_rows)

    start = (tf.constant(0), tf.zeros_like(target_items[0]))
    _, rivals = tf.while_loop(lambda block, _: block < num_blocks, step, start, parallel_iterations=1)
    num_barred = tf.math.unsorted_segment_sum(tf.ones_like(barred_row), barred_row, num_rows)
    return tf.where(num_barred < num_items, 1 + rivals, 0)[None]


def _target_scores(scores_of: SharedScores, targets: tf.Tensor, block_size: int) -> tf.Tensor:
    """float32 [B, 1]: each row's score of its own target."""
    num_lists = -(-targets.shape[0] // block_size)
    padded = tf.pad(targets, [[0, num_lists * block_size - targets.shape[0]]])
    parts: list[tf.Tensor] = []
    for items in tf.split(padded, num_lists):
        scores = scores_of(items)[0, len(parts) * block_size :]  # [rows from the list's first on, block]
        parts.append(tf.linalg.diag_part(scores))
    return tf.concat(parts, axis=0)[:, None]


def _barred_pairs(targets: tf.Tensor, own_items: tf.Tensor, num_items: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Row and item, int32 [pairs] each, of what does not compete: own items and the targets themselves, each once."""
    items = tf.concat([own_items, targets[:, None]], axis=1)
    rows = tf.broadcast_to(tf.range(tf.shape(items)[0])[:, None], tf.shape(items))
    keys = tf.cast(rows, tf.int64) * (num_items + 1) + tf.cast(items, tf.int64)
    keys, _ = tf.unique(tf.boolean_mask(keys, items > 0))
    return tf.cast(keys // (num_items + 1), tf.int32), tf.cast(keys % (num_items + 1), tf.int32)
