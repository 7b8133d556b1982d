import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqrec.events.ragged import Ragged
from seqrec.events.runs import build_runs, cut_runs, num_runs_of
from seqrec.events.windows import Segments

DAY = 86_400


def segments_of(lengths: list[int], num_context: list[int], seed: int = 0) -> Segments:
    """Segments whose items are all different: item n is the event number n - 1 of the batch."""
    rng = np.random.default_rng(seed)
    times = [np.sort(rng.integers(0, 400, length)) * DAY for length in lengths]
    items = np.arange(1, sum(lengths) + 1, dtype=np.int32)
    timestamps = np.concatenate([*times, np.zeros(0, np.int64)]).astype(np.int64)
    first = np.array([time[0] if len(time) else 0 for time in times], np.int64)
    return Segments(Ragged.from_lengths(items, np.array(lengths)), timestamps, first, np.array(num_context, np.int32))


def test_a_segment_that_fits_is_one_run() -> None:
    segments = segments_of([4], [1])

    runs, targets = cut_runs(build_runs(segments, 5), np.array([0]), 5)

    assert runs.items.tolist() == [[1, 2, 3, 0, 0]]
    assert runs.length.tolist() == [3]
    assert targets.tolist() == [[2, 3, 4, 0, 0]]
    gaps = np.diff(segments.timestamps)
    assert runs.seconds_from_previous.tolist() == [[0, gaps[0], gaps[1], 0, 0]]
    assert [array.dtype.name for array in (*runs, targets)] == ["int32", "int32", "float32", "int32"]


def test_a_longer_segment_is_cut_from_its_end_into_runs_that_share_one_event() -> None:
    runs, targets = cut_runs(build_runs(segments_of([9], [1]), 3), np.arange(3), 3)

    assert runs.items.tolist() == [[1, 2, 0], [3, 4, 5], [6, 7, 8]]
    assert targets.tolist() == [[2, 3, 0], [4, 5, 6], [7, 8, 9]]


def test_the_first_run_reads_as_much_context_as_fits_and_predicts_none_of_it() -> None:
    runs, targets = cut_runs(build_runs(segments_of([9], [4]), 4), np.arange(2), 4)

    assert runs.items.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert targets.tolist() == [[0, 0, 0, 5], [6, 7, 8, 9]]


def test_seconds_are_subtracted_before_the_cast() -> None:
    start = 1_400_000_000  # float32 is exact to 128 s only there.
    times = np.array([start, start + 1, start + 3], np.int64)
    segments = segments_of([3], [1])._replace(timestamps=times, first_timestamps=np.array([0]))

    runs, _ = cut_runs(build_runs(segments, 2), np.array([0]), 2)

    assert runs.seconds_from_previous.tolist() == [[0, 1]]


@pytest.mark.parametrize(("length", "context", "num_runs"), [(0, 0, 0), (1, 0, 0), (1, 1, 0), (2, 0, 1), (5, 5, 0)])
def test_an_event_needs_another_before_it_to_be_a_target(length: int, context: int, num_runs: int) -> None:
    segments = segments_of([length], [context])

    assert num_runs_of(np.array([length]), np.array([context]), 3).tolist() == [num_runs]
    assert len(build_runs(segments, 3).starts) == num_runs


@given(
    st.lists(st.tuples(st.integers(0, 14), st.integers(0, 15)), min_size=1, max_size=5),
    st.integers(1, 6),
    st.integers(0, 9),
)
def test_every_target_is_predicted_once_and_from_the_events_right_before_it(
    sizes: list[tuple[int, int]], max_history_length: int, seed: int
) -> None:
    lengths = [length for length, _ in sizes]
    context = [min(context, length) for length, context in sizes]
    segments = segments_of(lengths, context, seed)
    events = build_runs(segments, max_history_length)
    runs, targets = cut_runs(events, np.arange(len(events.starts)), max_history_length)

    predicted = []
    for row in range(len(targets)):
        length = runs.length[row]
        assert 1 <= length <= max_history_length
        assert not runs.items[row, length:].any()
        assert not targets[row, length:].any()
        assert targets[row, length - 1] > 0
        first = runs.items[row, 0]
        for place in range(length):
            # Items count the events, so consecutive items are consecutive events of the batch.
            assert runs.items[row, place] == first + place
            assert targets[row, place] in (0, first + place + 1)
            gap = segments.timestamps[first + place - 1] - segments.timestamps[first + place - 2] if place else 0
            assert runs.seconds_from_previous[row, place] == gap
        owner = np.searchsorted(segments.items.offsets, [first - 1, first + length - 1], side="right")
        assert owner[0] == owner[1], "a run must not reach into another segment"
        predicted += targets[row][targets[row] > 0].tolist()
    offsets = segments.items.offsets
    expected = [
        event + 1
        for segment, length in enumerate(lengths)
        for event in range(offsets[segment] + max(context[segment], 1), offsets[segment] + length)
    ]
    assert sorted(predicted) == expected
    assert (targets > 0).sum(axis=1).tolist() == events.num_targets.tolist()
