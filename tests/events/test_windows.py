from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqrec.events.ragged import Ragged
from seqrec.events.windows import Segments, build_events, cut_examples

DAY = 86_400


def segments_of(
    items: Sequence[int],
    timestamps: Sequence[int],
    lengths: Sequence[int],
    first_timestamps: Sequence[int],
    num_context: Sequence[int],
) -> Segments:
    lists = Ragged.from_lengths(np.array(items, np.int32), np.array(lengths))
    return Segments(lists, np.array(timestamps, np.int64), np.array(first_timestamps, np.int64), np.array(num_context))


def test_cut_examples_of_a_small_segment() -> None:
    times = np.array([10, 11, 11, 14], np.int64) * DAY
    events = build_events(segments_of([7, 8, 9, 5], times, [4], [3 * DAY], [1]), 3)

    history, targets = cut_examples(events, np.array([1, 3]), 3)

    assert targets.tolist() == [8, 5]
    assert history.items.tolist() == [[7, 0, 0], [7, 8, 9]]
    assert history.length.tolist() == [1, 3]
    assert (history.seconds_to_target / DAY).tolist() == [[1, 0, 0], [4, 3, 3]]
    assert (history.seconds_from_first / DAY).tolist() == [[7, 0, 0], [7, 8, 8]]
    assert [array.dtype.name for array in history] == ["int32", "int32", "float32", "float32"]


def test_build_events_takes_what_follows_the_context_as_targets() -> None:
    segments = segments_of(range(8), range(8), [3, 1, 4], [0, 0, 0], num_context=[1, 1, 2])

    events = build_events(segments, 2)

    assert events.targets.tolist() == [1, 2, 6, 7]


def test_cut_examples_subtracts_before_the_cast() -> None:
    start = 1_400_000_000  # float32 knows such times only to 128 s.
    times = np.array([start, start + 1, start + 3], np.int64)
    events = build_events(segments_of([1, 2, 3], times, [3], [start], [1]), 5)

    history, _ = cut_examples(events, np.array([2]), 5)

    assert history.seconds_to_target.tolist() == [[3, 2, 0, 0, 0]]
    assert history.seconds_from_first.tolist() == [[0, 1, 0, 0, 0]]


@pytest.mark.parametrize("scale", [1, 40_000_000], ids=["days", "beyond 34 years"])
@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 6), st.integers(0, 99))
def test_cut_examples_equals_a_loop(scale: int, lengths: list[int], max_history_length: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    segments = [
        (rng.integers(1, 99, n), np.sort(rng.integers(0, 99, n)) * scale, int(rng.integers(0, n + 1))) for n in lengths
    ]
    flat = segments_of(
        np.concatenate([s[0] for s in segments]),
        np.concatenate([s[1] for s in segments]),
        lengths,
        [-5] * len(segments),
        [s[2] for s in segments],
    )
    events = build_events(flat, max_history_length)

    history, targets = cut_examples(events, events.targets, max_history_length)

    row = 0
    for items, times, context in segments:
        for k in range(context, len(items)):
            first = max(0, k - max_history_length)
            n = k - first
            assert targets[row] == items[k]
            assert history.length[row] == n
            assert history.items[row].tolist() == [*items[first:k], *[0] * (max_history_length - n)]
            to_target = (times[k] - times[first:k]).astype(np.float32)
            assert history.seconds_to_target[row].tolist() == [*to_target, *[0.0] * (max_history_length - n)]
            from_first = (times[first:k] + 5).astype(np.float32)
            assert history.seconds_from_first[row].tolist() == [*from_first, *[0.0] * (max_history_length - n)]
            row += 1
    assert row == len(targets)
