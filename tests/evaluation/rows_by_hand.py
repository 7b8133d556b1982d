"""Rows written by hand, and the order of their candidates."""

from collections.abc import Iterable

import numpy as np

from seqrec.evaluation.rows import EvaluationRows
from seqrec.events.ragged import Ragged

DAY = 86_400


def build_rows(*rows: tuple[list[int], int, list[int]], days: list[list[int]] | None = None) -> EvaluationRows:
    """Rows of (history, target, negatives); with `days`, the days of each history and of its target."""
    lengths = [len(history) for history, _, _ in rows]
    days = days or [list(range(length + 1)) for length in lengths]
    events = [day * DAY for each in days for day in each[:-1]]
    items = np.array([item for history, _, _ in rows for item in history], np.int32)
    return EvaluationRows(
        user_key=np.arange(len(rows), dtype=np.int64),
        position=np.array(lengths, np.int32),
        items=Ragged.from_lengths(items, np.array(lengths)),
        timestamps=np.array(events, np.int64),
        first_timestamps=np.array([each[0] * DAY for each in days], np.int64),
        as_of=np.array([each[-1] * DAY for each in days], np.int64),
        target_items=np.array([target for _, target, _ in rows], np.int32),
        negative_items=np.array([negatives for _, _, negatives in rows], np.int32),
    )


def places(values: Iterable) -> list[int]:
    """Place of each value among all different ones."""
    each = list(values)
    order = {value: place for place, value in enumerate(sorted(set(each)))}
    return [order[value] for value in each]
