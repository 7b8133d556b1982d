"""The rows of a split as NumPy arrays, read from Arrow batches of `sequences/test` or `sequences/validation`.

Legend for all files of this package: B rows, E events of all their histories, N candidates of a row (the target
first), K rankers that are compared, R bootstrap replicates.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from seqrec.core.columns import FIRST_TIMESTAMP, NEGATIVE_ITEMS, POSITION, TARGET_ITEM, TARGET_TIMESTAMP
from seqrec.events.histories import events_of
from seqrec.events.ragged import column, lists
from seqrec.events.rows import TargetRows

USER_KEY = "user_key"  # 64-bit hash of the user: strings stay in the JVM.


@dataclass(frozen=True, kw_only=True)
class EvaluationRows(TargetRows):
    """Histories with their targets and negatives, and further columns that slices and the bootstrap need."""

    user_key: np.ndarray  # int64 [B]
    position: np.ndarray  # int32 [B], number of the user's events before the target, stored or not.


def rows_of_arrow(batch: pa.RecordBatch) -> EvaluationRows:
    """The rows of an Arrow batch with the columns of `sequences/test`, and `user_key` in place of the user.

    Raises:
        ValueError: rows have unequal numbers of negatives, or a history has not one timestamp for each item.
    """
    items, timestamps = events_of(batch)
    negatives = lists(batch, NEGATIVE_ITEMS)
    widths = np.unique(negatives.lengths)
    if len(widths) > 1:
        raise ValueError(f"rows have from {widths[0]} to {widths[-1]} negatives: all must have as many")
    return EvaluationRows(
        items=items,
        timestamps=timestamps,
        first_timestamps=column(batch, FIRST_TIMESTAMP),
        as_of=column(batch, TARGET_TIMESTAMP),
        target_items=column(batch, TARGET_ITEM),
        negative_items=negatives.values.reshape(batch.num_rows, int(widths.max(initial=0))),
        user_key=column(batch, USER_KEY),
        position=column(batch, POSITION),
    )
