"""The full protocol: each target against the whole catalogue, or against all items of its main group.

A row's history is encoded once, and the catalogue is scored in blocks. Only what the metrics need of each block is
kept: how many items score above the target and as high as it, and the best items so far. So memory grows neither with
users nor with items.
"""

import numpy as np
import pyarrow as pa

from seqrec.core.metrics import TargetCounts
from seqrec.evaluation.rankings.best_items import BestItems
from seqrec.evaluation.rankings.ranker import ComparedRankers, Ranker, SharedScores, block_of, scores_after
from seqrec.evaluation.rows import EvaluationRows
from seqrec.evaluation.statistics.prediction_batch import predictions_batch
from seqrec.evaluation.statistics.row_metrics import logit_metric_names


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
        for index, ranker in enumerate(compared.rankers):
            block = block_of(ranker)
            for start in range(0, len(of_group), block.rows):
                chosen = of_group[start : start + block.rows]
                counts, best = rank_against(rows.take(chosen), ranker, items, compared.top_k, block.items)
                top[chosen, index] = best
                num_negatives[chosen] = counts.num_negatives
                num_above[chosen, index] = counts.num_above
                num_tied[chosen, index] = counts.num_tied
    no_logits = np.full((*shape, len(logit_metric_names())), np.nan)
    no_scores = np.zeros((*shape, 0), np.float32)
    counts = TargetCounts(num_above, num_tied, num_negatives)
    predictions = predictions_batch(rows.user_key, compared.slicer.parts(rows), counts, top, no_logits, no_scores)
    return predictions.filter(pa.array(num_negatives > 0))


def rank_against(
    rows: EvaluationRows, ranker: Ranker, items: np.ndarray, k: int, block_size: int
) -> tuple[TargetCounts, np.ndarray]:
    """Where each row's target stands among `items` without its history; and the k best items, int32 [B, k].

    The target is scored in a block like all others, so that items with equal features tie with it exactly.

    Args:
        items: int32, ascending.
        block_size: items scored at once.
    """
    scores_of = scores_after(ranker, rows)
    target_score = _score_blocks(scores_of, rows.target_items, block_size).diagonal()
    num_above, num_tied, num_negatives = (np.zeros(len(rows), np.int64) for _ in range(3))
    best = BestItems.none(len(rows), k)
    for start in range(0, len(items), block_size):
        block = items[start : start + block_size]
        scores = _score_blocks(scores_of, block, block_size)  # [B, block]
        # All items of the block are counted, then those that do not compete are taken back: they are few.
        row, place, is_target = _barred(rows, block)
        barred = scores[row, place]
        num_negatives += len(block) - _count(row, len(rows))
        num_above += np.count_nonzero(scores > target_score[:, None], axis=1)
        num_above -= _count(row[barred > target_score[row]], len(rows))
        num_tied += np.count_nonzero(scores == target_score[:, None], axis=1)
        num_tied -= _count(row[barred == target_score[row]], len(rows))
        best = best.merged(block, scores, row[~is_target], place[~is_target])
    return TargetCounts(num_above, num_tied, num_negatives), best.items


def _score_blocks(scores_of: SharedScores, items: np.ndarray, block_size: int) -> np.ndarray:
    """float [B, items]: scores in blocks of one size, so that a model's graph is traced once."""
    padded = np.pad(items, (0, -len(items) % block_size), mode="edge")
    parts = [scores_of(padded[start : start + block_size]) for start in range(0, len(padded), block_size)]
    return (parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1))[:, : len(items)]


def _barred(rows: EvaluationRows, block: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs that do not compete, each once: row, place in `block`, and whether it is the row's target."""
    every = np.arange(len(rows))
    row = np.concatenate([np.repeat(every, rows.lengths), every])
    item = np.concatenate([rows.items.values, rows.target_items])
    place = np.minimum(np.searchsorted(block, item), len(block) - 1)
    is_here = block[place] == item
    pairs = np.unique(row[is_here] * len(block) + place[is_here])
    row, place = pairs // len(block), pairs % len(block)
    return row, place, block[place] == rows.target_items[row]


def _count(row: np.ndarray, num_rows: int) -> np.ndarray:
    return np.bincount(row, minlength=num_rows)
