"""Candidates of training targets, beside what counting by hand gives."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from seqrec.core import columns as C
from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.neighbours.config import CANDIDATES, CandidatesConfig
from seqrec.recommendation.candidates.stage import run_candidates
from tests.recommendation.world import events_of, users, write_world

SETTINGS = CandidatesConfig(histories="train", sources=("co_visitation", "popularity"), max_candidates=20)


@pytest.fixture(scope="module")
def lists(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Storage, Manifest]:
    storage = Storage(str(tmp_path_factory.mktemp("training-lists")))
    write_world(storage)
    return storage, run_candidates(spark, storage, "small", SETTINGS)


def rows_of(storage: Storage, manifest: Manifest) -> Iterator[tuple[int, list[dict]]]:
    """Number of each file and its rows."""
    for number, file in enumerate(sorted(manifest.table(CANDIDATES).files, key=lambda file: file.path)):
        path = storage.local(file.path)
        assert path is not None
        yield number, pq.read_table(path).to_pylist()


def test_every_training_target_has_a_row_in_the_order_of_its_file(lists: tuple[Storage, Manifest]) -> None:
    storage, manifest = lists
    for number, rows in rows_of(storage, manifest):
        expected = [
            (user, item)
            for place, user in enumerate(users())
            if place % 3 == number
            for item in events_of(place)[0][1:-2]
        ]
        assert [(row[C.USER], row[C.TARGET_ITEM]) for row in rows] == expected


def test_no_list_holds_an_item_of_the_users_training_events(lists: tuple[Storage, Manifest]) -> None:
    storage, manifest = lists
    own = {user: set(events_of(place)[0][:-2]) for place, user in enumerate(users())}
    rows = [row for _, part in rows_of(storage, manifest) for row in part]

    assert all(not own[row[C.USER]] & set(row[C.CANDIDATE_ITEMS]) for row in rows)
    assert np.mean([len(row[C.CANDIDATE_ITEMS]) for row in rows]) > 5


def test_a_list_is_what_the_other_users_alone_give(spark: SparkSession, tmp_path: Path) -> None:
    """The pairs are counted with the user's own events; counted by hand without them, they give the same list."""
    storage, person = Storage(str(tmp_path)), 7
    write_world(storage)
    settings = CandidatesConfig(histories="train", sources=("co_visitation",), num_neighbours=60)
    manifest = run_candidates(spark, storage, "small", settings)
    found = [row for _, rows in rows_of(storage, manifest) for row in rows if row[C.USER] == users()[person]]
    pairs, own = _pairs_without(person), events_of(person)[0][:-2]

    assert len(found) == len(own) - 1 > 2
    for place, row in enumerate(found, start=1):
        allowed = set().union(*(pairs.get(item, set()) for item in own[:place]))
        assert set(row[C.CANDIDATE_ITEMS]) == allowed - set(own)


def _pairs_without(person: int) -> dict[int, set[int]]:
    """Item -> the items that other users took at most ten places from it in training."""
    pairs: dict[int, set[int]] = {}
    for place in range(len(users())):
        items = events_of(place)[0][:-2]
        for i, first in enumerate(items):
            for j, second in enumerate(items):
                if place != person and 0 < abs(i - j) <= 10 and first != second:
                    pairs.setdefault(first, set()).add(second)
    return pairs


def test_a_share_of_the_targets_gets_lists_and_the_others_none(
    spark: SparkSession, lists: tuple[Storage, Manifest], tmp_path: Path
) -> None:
    storage = Storage(str(tmp_path))
    write_world(storage)
    half = run_candidates(
        spark,
        storage,
        "small",
        CandidatesConfig(histories="train", sources=SETTINGS.sources, max_candidates=20, train_share=0.5),
    )
    drawn = [row for _, rows in rows_of(storage, half) for row in rows]
    whole = [row for _, rows in rows_of(*lists) for row in rows]

    assert len(drawn) == len(whole)
    for some, all_of_them in zip(drawn, whole, strict=True):
        assert some[C.CANDIDATE_ITEMS] in ([], all_of_them[C.CANDIDATE_ITEMS])
    share = np.mean([bool(row[C.CANDIDATE_ITEMS]) for row in drawn])
    assert 0.4 < share < 0.6
