"""Where targets stand among a whole catalogue, for models of both families."""

from typing import Any

import tensorflow as tf

from seqrec.models.contract import SequenceModel

ITEMS_AT_ONCE = (
    4096  # Items scored at a time: rows * this * 4 bytes of logits, and for ranking models their tower's width.
)


def catalogue_ranks(
    model: SequenceModel,
    state: Any,
    target_items: tf.Tensor,
    own_items: tf.Tensor,
    num_items: int,
    block_size: int = ITEMS_AT_ONCE,
) -> tf.Tensor:
    """Rank of each target among the items 1 to `num_items`, int32 [1, B]; 1 is best, ties count against the target.

    Args:
        state: encoded histories of one stream, B rows.
        target_items: int32 [1, B].
        own_items: int32 [1, B, E], items of each row that do not compete, padded with 0. The target may be among them.
    """
    block_size = min(block_size, num_items)
    num_blocks = -(-num_items // block_size)
    # The target is scored in a shared list as all items are, so that items with equal vectors tie with it exactly.
    target_score = tf.linalg.diag_part(model.score(state, target_items[0]))[:, :, None]  # [1, B, 1]
    barred = tf.concat([own_items, target_items[:, :, None]], axis=2)  # Each row's target does not compete either.

    is_first = ~_seen_before(barred)  # An item that stands twice among a row's own counts once.

    def step(block: tf.Tensor, rivals: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        first = 1 + block * block_size
        items = tf.ensure_shape(first + tf.range(block_size), [block_size])
        scores = model.score(state, tf.minimum(items, num_items))  # [1, B, block]
        above = (scores >= target_score) & (items <= num_items)
        place = barred - first
        is_here = (place >= 0) & (place < block_size)
        own_above = tf.gather(above, tf.clip_by_value(place, 0, block_size - 1), batch_dims=2) & is_here & is_first
        return block + 1, rivals + _count(above) - _count(own_above)

    start = (tf.constant(0), tf.zeros_like(target_items))
    _, rivals = tf.while_loop(lambda block, _: block < num_blocks, step, start, parallel_iterations=1)
    return 1 + rivals


def _count(flags: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(flags, tf.int32), axis=2)


def _seen_before(items: tf.Tensor) -> tf.Tensor:
    """bool [1, B, E]: whether the same item stands further left in its row."""
    order = tf.argsort(items, axis=2, stable=True)
    ordered = tf.gather(items, order, batch_dims=2)
    again = tf.pad(ordered[:, :, 1:] == ordered[:, :, :-1], [[0, 0], [0, 0], [1, 0]])
    return tf.gather(again, tf.argsort(order, axis=2, stable=True), batch_dims=2)
