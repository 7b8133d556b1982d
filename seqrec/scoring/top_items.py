"""The best items of a whole catalogue for many histories, found in memory that does not grow with the catalogue."""

from typing import Any, NamedTuple

import tensorflow as tf

from seqrec.models.contract import SequenceModel


class TopItems(NamedTuple):
    """The k best items of each history, the best first; among equal scores, the first in the catalogue."""

    items: tf.Tensor  # int32 [S, B, k]; 0 where fewer than k items are allowed.
    scores: tf.Tensor  # float32 [S, B, k]; the lowest float where there is no item.


def top_items(
    model: SequenceModel,
    state: Any,
    catalogue: tf.Tensor,
    k: int,
    block_size: int = 1024,
    excluded_items: tf.Tensor | None = None,
) -> TopItems:
    """The k best items of `catalogue` for each encoded history, scored block by block with a running top-k.

    Args:
        state: the encoded histories, of S streams of B.
        catalogue: int32 [N], item indices, all above 0.
        block_size: items scored at a time; memory is S * B * block_size * (the model's width).
        excluded_items: int32 [S, B, E], items to leave out of each history's list, such as its own, padded with 0.
    """
    catalogue = tf.convert_to_tensor(catalogue, tf.int32)
    num_blocks = (tf.size(catalogue) + block_size - 1) // block_size
    padded = tf.pad(catalogue, [[0, num_blocks * block_size - tf.size(catalogue)]])
    best = _no_items(model, state, k)

    def step(block: tf.Tensor, best: TopItems) -> tuple[tf.Tensor, TopItems]:
        candidates = padded[block * block_size : (block + 1) * block_size]
        candidates = tf.ensure_shape(candidates, [block_size])
        scores = model.score(state, candidates)  # [S, B, block_size]
        allowed = candidates > 0
        if excluded_items is not None:
            # Comparing all pairs would take [S, B, E, block]; each excluded item is looked up in the block instead.
            allowed &= ~_contains(candidates, excluded_items)
        scores = tf.where(allowed, scores, scores.dtype.min)
        return block + 1, _merge(best, candidates, scores, k)

    _, best = tf.while_loop(lambda block, _: block < num_blocks, step, (0, best), parallel_iterations=1)
    return best


def _no_items(model: SequenceModel, state: Any, k: int) -> TopItems:
    shape = tf.shape(model.score(state, tf.ones([1], tf.int32)))
    shape = tf.concat([shape[:2], [k]], axis=0)
    return TopItems(tf.zeros(shape, tf.int32), tf.fill(shape, tf.float32.min))


def _merge(best: TopItems, candidates: tf.Tensor, scores: tf.Tensor, k: int) -> TopItems:
    block = tf.math.top_k(scores, tf.minimum(k, tf.shape(scores)[2]))
    all_scores = tf.concat([best.scores, block.values], axis=2)
    all_items = tf.concat([best.items, tf.gather(candidates, block.indices)], axis=2)
    top = tf.math.top_k(all_scores, k)
    items = tf.gather(all_items, top.indices, batch_dims=2)
    items = tf.where(top.values > tf.float32.min, items, 0)
    shape = [scores.shape[0], None, k]
    return TopItems(_with_shape(items, shape), _with_shape(top.values, shape))


def _with_shape(values: tf.Tensor, shape: list[int | None]) -> tf.Tensor:
    return tf.ensure_shape(values, shape)


def _contains(candidates: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
    """bool [S, B, M]: which of the M candidates are among a history's `items`, int32 [S, B, E]."""
    order = tf.argsort(candidates)
    ordered = tf.gather(candidates, order)
    size = tf.size(candidates)
    flat = tf.reshape(items, [-1])
    place = tf.minimum(tf.searchsorted(ordered, flat), size - 1)
    found = (tf.gather(ordered, place) == flat) & (flat > 0)
    num_rows, num_items = tf.size(items[:, :, 0]), tf.shape(items)[2]
    row = tf.repeat(tf.range(num_rows), num_items)
    at = tf.boolean_mask(tf.stack([row, tf.gather(order, place)], axis=1), found)
    hits = tf.scatter_nd(at, tf.ones([tf.shape(at)[0]], tf.int32), [num_rows, size])
    return tf.reshape(hits > 0, tf.concat([tf.shape(items)[:2], [size]], axis=0))
