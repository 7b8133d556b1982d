from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqrec.core.batch import History
from seqrec.events.ragged import Ragged
from seqrec.events.rows import HistoryRows, TargetRows, UserHistories

DAY = 86_400


def rows_of(lengths: list[int], kind: str = "users") -> HistoryRows:
    """Rows in which every number tells the row and the event that it belongs to."""
    num_rows, number = len(lengths), np.arange(len(lengths))
    values = np.concatenate([100 * row + np.arange(length) for row, length in enumerate(lengths)]).astype(np.int32)
    events = {"items": Ragged.from_lengths(values, np.array(lengths)), "timestamps": 1000 + values.astype(np.int64)}
    each = {"first_timestamps": number * 10, "as_of": 5000 + number}
    if kind == "targets":
        return TargetRows(**events, **each, target_items=number, negative_items=np.arange(2 * num_rows).reshape(-1, 2))
    return UserHistories(**events, **each, users=pa.array([f"u{row}" for row in number]))


def as_lists(rows: HistoryRows) -> list[tuple]:
    own = [rows.items.values[a:b].tolist() for a, b in zip(rows.items.offsets, rows.items.offsets[1:], strict=False)]
    times = [rows.timestamps[a:b].tolist() for a, b in zip(rows.items.offsets, rows.items.offsets[1:], strict=False)]
    others = (
        [rows.target_items.tolist(), rows.negative_items.tolist()]
        if isinstance(rows, TargetRows)
        else [rows.users.to_pylist()]
    )
    return list(zip(own, times, rows.first_timestamps.tolist(), rows.as_of.tolist(), *others, strict=True))


@pytest.mark.parametrize("kind", ["users", "targets"])
@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.data())
def test_take_slice_and_concatenate_keep_each_row_whole(kind: str, lengths: list[int], data: st.DataObject) -> None:
    rows = rows_of(lengths, kind)
    whole = as_lists(rows)
    chosen = data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=8))
    start = data.draw(st.integers(0, len(lengths)))
    stop = data.draw(st.integers(start, len(lengths)))

    assert as_lists(rows.take(np.array(chosen, np.int64))) == [whole[row] for row in chosen]
    assert as_lists(rows.slice(start, stop)) == whole[start:stop]
    parts = [rows.slice(0, start), rows.slice(start, stop), rows.slice(stop, len(lengths))]
    assert as_lists(type(rows).concatenate(parts)) == whole
    assert as_lists(type(rows).concatenate([rows.slice(start, stop)])) == whole[start:stop]


def test_before_as_of_drops_what_came_later_and_keeps_the_row() -> None:
    rows = rows_of([3, 2])

    seen = replace(rows, as_of=np.array([1001, 1099])).before_as_of()

    assert [row[:2] for row in as_lists(seen)] == [([0, 1], [1000, 1001]), ([], [])]


def test_last_items_start_with_the_newest() -> None:
    assert rows_of([3, 0, 1]).last_items(2).tolist() == [[2, 1], [0, 0], [200, 0]]


def test_candidates_start_with_the_target() -> None:
    rows = rows_of([1, 1], "targets")

    assert isinstance(rows, TargetRows)
    assert rows.candidates.tolist() == [[0, 0, 1], [1, 2, 3]]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.integers(1, 6), st.integers(0, 99))
def test_windows_equal_a_loop(lengths: list[int], max_history_length: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    items = [rng.integers(1, 99, n).astype(np.int32) for n in lengths]
    days = [np.sort(rng.integers(0, 99, n)) for n in lengths]
    first, target = rng.integers(-5, 1, len(lengths)), rng.integers(99, 200, len(lengths))

    rows = HistoryRows(
        items=Ragged.from_lengths(np.concatenate(items), np.array(lengths)),
        timestamps=np.concatenate(days) * DAY,
        first_timestamps=first * DAY,
        as_of=target * DAY,
    )
    windows = rows.windows(max_history_length)

    assert windows.items.shape == (1, len(lengths), max_history_length)
    history = History(*(array[0] for array in windows))
    for row in range(len(lengths)):
        own = days[row][-max_history_length:].tolist()
        padding = [0] * (max_history_length - len(own))
        assert history.length[row] == len(own)
        assert history.items[row].tolist() == items[row][-max_history_length:].tolist() + padding
        assert (history.seconds_to_target[row] / DAY).tolist() == [target[row] - day for day in own] + padding
        assert (history.seconds_from_first[row] / DAY).tolist() == [day - first[row] for day in own] + padding
