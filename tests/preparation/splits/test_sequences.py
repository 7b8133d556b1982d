import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqrec.events.ragged import Ragged, offsets_of
from seqrec.preparation.splits.sequences import cut_histories, cut_segments
from seqrec.preparation.splits.splits import Targets

PARTS = st.lists(st.integers(0, 40), min_size=1, max_size=20)


@given(PARTS, st.integers(1, 9), st.integers(1, 9))
def test_cut_segments_makes_every_later_event_a_target_once(num_train, max_targets, max_history):
    extra = 2  # Events after the training part, which no segment may touch.
    offsets = offsets_of(np.array(num_train) + extra)

    rows = cut_segments(offsets, np.array(num_train), max_targets, max_history)

    targets = []
    for owner, start, end, context in zip(rows.owner, rows.start, rows.end, rows.position, strict=True):
        begin, first_target = offsets[owner], start + context
        assert begin <= start < first_target < end <= begin + num_train[owner]
        assert context == min(first_target - begin, max_history)
        assert end - first_target <= max_targets
        targets += [(owner, event - begin) for event in range(first_target, end)]
    assert sorted(targets) == [(owner, k) for owner, n in enumerate(num_train) for k in range(1, n)]


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=20), st.integers(1, 9))
def test_cut_histories_ends_just_before_the_target(users, max_history):
    lengths = np.array([max(pair) for pair in users])
    start = np.array([min(pair) for pair in users])
    offsets = offsets_of(lengths)

    rows = cut_histories(offsets, Targets(start, lengths), max_history)

    wanted = [(owner, p) for owner, (first, n) in enumerate(zip(start, lengths, strict=True)) for p in range(first, n)]
    assert list(zip(rows.owner, rows.position, strict=True)) == wanted
    for (owner, position), first, end in zip(wanted, rows.start, rows.end, strict=True):
        assert (first, end) == (offsets[owner] + max(0, position - max_history), offsets[owner] + position)


@given(st.lists(st.lists(st.integers(-5, 5), max_size=6), min_size=1, max_size=10), st.data())
def test_ragged_does_with_flat_arrays_what_lists_would(lists, data):
    flat = np.array([value for part in lists for value in part], np.int64)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(flat), max_size=len(flat))), bool)
    rows = np.array(data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=10)), np.int64)

    ragged = Ragged.from_lengths(flat, np.array([len(part) for part in lists]))

    assert ragged.to_arrow().to_pylist() == lists
    assert ragged.sums(flat).tolist() == [sum(part) for part in lists]
    assert ragged.take(rows).to_arrow().to_pylist() == [lists[row] for row in rows]
    flags = iter(mask)
    assert ragged.keep(mask).to_arrow().to_pylist() == [[v for v in part if next(flags)] for part in lists]


@pytest.mark.parametrize(("first", "last"), [(0, 3), (1, 3), (2, 2)])
def test_from_arrow_reads_a_slice_of_a_longer_column(first, last):
    lists = [[1, 2], [], [3]]
    column = Ragged.from_lengths(np.array([1, 2, 3]), np.array([2, 0, 1])).to_arrow()

    ragged = Ragged.from_arrow(column.slice(first, last - first))

    assert ragged.to_arrow().to_pylist() == lists[first:last]
