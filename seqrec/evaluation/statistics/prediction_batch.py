"""Predictions as Arrow batches: what every ranker made of each row, written by the rankers and read by the sums."""

import numpy as np
import pyarrow as pa

from seqrec.core.metrics import TargetCounts
from seqrec.evaluation.rows import USER_KEY

# Lists hold the rankers one after the other.
PREDICTIONS = (USER_KEY, "parts", "num_negatives", "num_above", "num_tied", "of_logits", "top_items", "scores")


def predictions_batch(
    user_key: np.ndarray,
    parts: np.ndarray,
    counts: TargetCounts,
    top_items: np.ndarray,
    of_logits: np.ndarray,
    scores: np.ndarray,
) -> pa.RecordBatch:
    """One row of `PREDICTIONS` for each of B rows.

    Args:
        user_key: int64 [B]
        parts: int32 [B, slicings], the label of each row in every slicing.
        counts: int [B, K]; `num_negatives` is [B], or one number for all rows.
        top_items: int32 [B, K, k], the best items of each ranker; 0 where there are fewer.
        of_logits: float64 [B, K, metrics], those of `logit_metrics`; NaN where a ranker has no logits.
        scores: float32 [B, K, N], all scores, for the pooled AUC; N is 0 in the full protocol.
    """
    columns = [
        pa.array(user_key),
        _list_column(parts),
        pa.array(np.broadcast_to(counts.num_negatives, user_key.shape).astype(np.int32)),
        _list_column(counts.num_above.astype(np.int32)),
        _list_column(counts.num_tied.astype(np.int32)),
        _list_column(of_logits),
        _list_column(top_items),
        _list_column(scores),
    ]
    return pa.RecordBatch.from_arrays(columns, names=PREDICTIONS)


def matrix(batch: pa.RecordBatch, name: str) -> np.ndarray:
    """[B, width] of a list column whose lists have one length."""
    column = batch.column(batch.schema.get_field_index(name))
    values = column.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(column), len(values) // max(1, len(column)))


def counts_of(batch: pa.RecordBatch) -> TargetCounts:
    """int [B, K]: where every ranker puts the target of each row; `num_negatives` is [B, 1]."""
    num_negatives = batch.column(batch.schema.get_field_index("num_negatives")).to_numpy()
    return TargetCounts(matrix(batch, "num_above"), matrix(batch, "num_tied"), num_negatives[:, None])


def _list_column(values: np.ndarray) -> pa.ListArray:
    """A list column of an array [B, ...]: each row's values, flat."""
    width = int(np.prod(values.shape[1:]))
    offsets = np.arange(len(values) + 1, dtype=np.int32) * width
    return pa.ListArray.from_arrays(offsets, np.ascontiguousarray(values).reshape(-1))
