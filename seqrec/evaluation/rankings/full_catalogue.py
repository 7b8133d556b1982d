"""The full protocol: each target against the whole catalogue, or against all items of its main group.

A row's history is encoded once, and the catalogue is scored in blocks. Only what the metrics need of each block is
kept: how many items score above the target and as high as it, and the best items so far. So memory grows neither with
users nor with items.
"""

import numpy as np
import pyarrow as pa

from seqrec.core.metrics import TargetCounts
from seqrec.evaluation.rankings.ranker import ComparedRankers, Ranker, SharedScores, scores_after
from seqrec.evaluation.rows import EvaluationRows
from seqrec.evaluation.statistics.prediction_batch import predictions_batch
from seqrec.evaluation.statistics.row_metrics import logit_metric_names

_ROWS = 64  # Rows for which a block of items is scored at once.
_BLOCK = 512  # Items of a block: 64 rows of SLi-Rec then stay within some 100 MB.


def rank_full_catalogue(rows: EvaluationRows, compared: ComparedRankers) -> pa.RecordBatch:
    """Has every ranker score the catalogue for each row, without the items of the row's history other than the target.

    Returns: a row of `PREDICTIONS` for each row, except those whose target has no item to compete with: such a target
        is first whatever the scores, and its row has no AUC.
    """
    assert compared.catalogue is not None
    item_group = compared.catalogue.item_group
    groups = np.zeros(len(rows), np.int32) if item_group is None else item_group[rows.target_items]
    shape = (len(rows), len(compared.rankers))
    num_negatives = np.zeros(len(rows), np.int32)
    num_above, num_tied = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    top = np.zeros((*shape, compared.top_k), np.int32)
    for group in np.unique(groups):
        items = compared.catalogue.competitors(int(group))
        of_group = np.flatnonzero(groups == group)
        of_group = of_group[np.argsort(rows.lengths[of_group], kind="stable")]
        for start in range(0, len(of_group), _ROWS):
            chosen = of_group[start : start + _ROWS]
            for index, ranker in enumerate(compared.rankers):
                one, top[chosen, index] = rank_against(rows.take(chosen), ranker, items, compared.top_k)
                num_negatives[chosen] = one.num_negatives
                num_above[chosen, index] = one.num_above
                num_tied[chosen, index] = one.num_tied
    no_logits = np.full((*shape, len(logit_metric_names())), np.nan)
    no_scores = np.zeros((*shape, 0), np.float32)
    counts = TargetCounts(num_above, num_tied, num_negatives)
    predictions = predictions_batch(rows.user_key, compared.slicer.parts(rows), counts, top, no_logits, no_scores)
    return predictions.filter(pa.array(num_negatives > 0))


def rank_against(rows: EvaluationRows, ranker: Ranker, items: np.ndarray, k: int) -> tuple[TargetCounts, np.ndarray]:
    """Where each row's target stands among `items` without its history; and the k best items, int32 [B, k].

    The target is scored in a block like all others, so that items with equal features tie with it exactly.
    """
    scores_of = scores_after(ranker, rows)
    target_score = _score_block(scores_of, rows.target_items).diagonal()[:, None]  # [B, 1]
    num_above, num_tied, num_negatives = (np.zeros(len(rows), np.int64) for _ in range(3))
    top = np.zeros((len(rows), k), np.int32)
    top_scores = np.full((len(rows), k), -np.inf)
    for start in range(0, len(items), _BLOCK):
        block = items[start : start + _BLOCK]
        scores = _score_block(scores_of, block)  # [B, block]
        barred, is_target = _own_items(rows, block)
        competes = ~(barred | is_target)
        num_negatives += competes.sum(axis=1)
        num_above += ((scores > target_score) & competes).sum(axis=1)
        num_tied += ((scores == target_score) & competes).sum(axis=1)
        scores = np.where(barred & ~is_target, -np.inf, scores)
        top, top_scores = _merge_top(top, top_scores, block, scores)
    return TargetCounts(num_above, num_tied, num_negatives), top


def _score_block(scores_of: SharedScores, items: np.ndarray) -> np.ndarray:
    """float [B, items]: scores in blocks of one size, so that a model's graph is traced once."""
    padded = np.pad(items, (0, -len(items) % _BLOCK), mode="edge")
    parts = [scores_of(padded[start : start + _BLOCK]) for start in range(0, len(padded), _BLOCK)]
    return np.concatenate(parts, axis=1)[:, : len(items)]


def _own_items(rows: EvaluationRows, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """bool [B, block] twice: which items of `block` (ascending) are in the row's history, and which is its target."""

    def marked(row: np.ndarray, item: np.ndarray) -> np.ndarray:
        place = np.minimum(np.searchsorted(block, item), len(block) - 1)
        found = block[place] == item
        flags = np.zeros((len(rows), len(block)), np.bool_)
        flags[row[found], place[found]] = True
        return flags

    every = np.arange(len(rows))
    return marked(np.repeat(every, rows.lengths), rows.items.values), marked(every, rows.target_items)


def _merge_top(
    top: np.ndarray, top_scores: np.ndarray, block: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The best items of those so far and a block; among equal scores the lower index, which came first, wins."""
    if (scores.max(axis=1) <= top_scores[:, -1]).all():
        return top, top_scores
    k = top.shape[1]
    all_scores = np.concatenate([top_scores, scores], axis=1)
    all_items = np.concatenate([top, np.broadcast_to(block, scores.shape)], axis=1)
    order = np.argsort(-all_scores, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(all_scores, order, axis=1)
    items = np.where(best > -np.inf, np.take_along_axis(all_items, order, axis=1), 0)
    return items.astype(np.int32), best
