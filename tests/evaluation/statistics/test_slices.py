from dataclasses import replace

import numpy as np

from seqrec.evaluation.statistics.slices import build_slicer
from tests.evaluation.rows_by_hand import build_rows

COUNTS = np.array([0, 60, 50, 20, 15, 5, 0])
SLICER = build_slicer(COUNTS, np.array([0, 1, 2, 1, 2, 1, 0], np.int32), {1: "books", 2: "games"})


def labels(slicing: str, *rows: tuple, days: list[list[int]] | None = None) -> list[str]:
    parts = SLICER.parts(build_rows(*rows, days=days))
    index = [each.name for each in SLICER.slicings].index(slicing)
    return [SLICER.slicings[index].labels[part] for part in parts[:, index]]


def test_slicer_knows_items_not_seen_in_training_and_thirds_of_the_events() -> None:
    found = labels("popularity of the target", *[([1], target, [2]) for target in (6, 5, 3, 2, 1)])

    assert [label.split(":")[0] for label in found] == [
        "not seen in training",
        "tail third",
        "tail third",
        "middle third",
        "head third",
    ]


def test_slicer_counts_all_events_before_the_target() -> None:
    found = labels("history length", ([1], 2, [3]), ([1, 1, 1, 1, 1], 2, [3]), ([1] * 60, 2, [3]))

    assert found == ["1 to 2 events", "5 to 9 events", "50 events or more"]


def test_slicer_counts_events_that_are_not_stored_as_well() -> None:
    rows = build_rows(([1, 2, 3], 2, [4]))

    parts = SLICER.parts(replace(rows, position=np.array([60], np.int32)))

    assert SLICER.slicings[0].labels[parts[0, 0]] == "50 events or more"


def test_slicer_tells_days_by_the_calendar() -> None:
    rows = build_rows(([1], 2, [3]), days=[[3, 4]])

    # From an hour before midnight to an hour after it.
    parts = SLICER.parts(replace(rows, timestamps=rows.timestamps + 82_800, as_of=rows.as_of + 3600))

    assert SLICER.slicings[2].labels[parts[0, 2]] == "1 to 7 days"


def test_slicer_counts_whole_days_since_the_last_event() -> None:
    days = [[3, 3], [3, 4], [3, 10], [3, 11], [3, 93], [3, 94]]

    found = labels("time since the last event", *[([1], 2, [3])] * 6, days=days)

    assert found == ["same day", "1 to 7 days", "1 to 7 days", "8 to 90 days", "8 to 90 days", "more than 90 days"]


def test_slicer_finds_repeated_targets_and_categories() -> None:
    rows = (([1, 2], 2, [3]), ([1], 2, [3]), ([], 6, [3]))

    assert labels("target in the history", *rows, days=[[1, 1, 2], [1, 2], [2]]) == [
        "repeated",
        "new to the user",
        "new to the user",
    ]
    assert labels("category of the target", *rows, days=[[1, 1, 2], [1, 2], [2]]) == ["games", "games", "none"]


def test_build_slicer_works_without_training_events() -> None:
    slicer = build_slicer(np.zeros(4, np.int64), np.zeros(4, np.int32), {})

    parts = slicer.parts(build_rows(([1], 2, [3])))

    assert [slicing.labels[part] for slicing, part in zip(slicer.slicings, parts[0], strict=True)][1] == (
        "not seen in training"
    )
