import dataclasses
import math
from pathlib import Path

import pytest

import seqrec
from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset, Manifest, Recipe
from seqrec.core.storage import Storage
from seqrec.interface import frames
from tests.evaluation.evaluation_by_hand import evaluation
from tests.recommendation.world import events_of, item_id, users, write_world


def manifest(tmp_path: Path, **given: dict) -> Manifest:
    recipe = Recipe(stage="any", settings={}, inputs={})
    return Dataset(Storage(str(tmp_path)), "any", "small").begin(recipe).publish(tables={}, **given)


def test_line_counts_has_a_row_per_file_and_a_column_per_reason(tmp_path: Path) -> None:
    one = {"source": "file:///a/one.csv", "lines": 10, "written": 9, "converted": 2, "repeated": 0, "blank": 0}
    two = {"source": "file:///a/two.csv", "lines": 5, "written": 4, "converted": 0, "repeated": 0, "blank": 1}
    files = [{**one, "rejects": {"bad_user": 1}}, {**two, "rejects": {}}]

    frame = frames.line_counts(manifest(tmp_path, counts={}, details={"files": files}))

    assert frame["file"].tolist() == ["one.csv", "two.csv"]
    assert frame["rejected"].tolist() == [1, 0]
    assert frame["rejected: bad_user"].tolist() == [1, 0]
    assert (frame["written"] + frame["repeated"] + frame["blank"] + frame["rejected"]).equals(frame["lines"])


def test_metrics_have_their_intervals_and_leave_out_what_cannot_vary() -> None:
    measured = evaluation()
    among_ten = dataclasses.replace(measured, setup=measured.setup | {"num_candidates": 10})

    frame = frames.metrics(among_ten).set_index(["ranking", "metric"])

    assert ("books-a2svd", "hit_rate@10") not in frame.index
    assert ("books-a2svd", "hit_rate@10") in frames.metrics(measured).set_index(["ranking", "metric"]).index
    assert frame.loc[("popularity", "auc"), ["kind", "value"]].tolist() == ["baseline", 0.6]
    assert frame.loc[("books-a2svd", "auc"), ["low", "high"]].tolist() == pytest.approx([0.79, 0.81])
    assert math.isnan(frame.loc[("books-a2svd", "coverage@10"), "low"])


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> seqrec.Config:
    folder = tmp_path_factory.mktemp("world")
    write_world(Storage(str(folder)))
    return seqrec.configure(workdir=folder, name="small")


def test_history_is_that_of_the_user_in_order(config: seqrec.Config) -> None:
    items, times = events_of(4)

    frame = seqrec.history(config, "user004")

    assert frame["item_id"].tolist() == [item_id(index) for index in items]
    assert [moment.timestamp() for moment in frame["time"]] == times
    assert frame["title"][0] == f"Title of {items[0]}" or items[0] == 3


def test_history_of_a_stranger_is_empty(config: seqrec.Config) -> None:
    frame = seqrec.history(config, "nobody")

    assert len(frame) == 0
    assert list(frame) == ["time", "item_id", "title"]


def test_read_table_reads_as_many_rows_as_wanted(config: seqrec.Config) -> None:
    every = seqrec.read_table(config, "prepared/sequences/latest", ["user_id"])
    first = seqrec.read_table(config, "prepared/sequences/latest", ["user_id"], num_rows=7)

    assert sorted(every["user_id"]) == users()
    assert first["user_id"].tolist() == every["user_id"].tolist()[:7]


@pytest.mark.parametrize(
    ("table", "columns", "message"),
    [
        ("reviews", None, "'reviews' is not a table: begin with 'ingested/' or 'prepared/'"),
        ("prepared/nothing", None, "has no table 'nothing', only"),
        ("prepared/sequences/latest", ["user"], "has no column 'user': use some of user_id"),
    ],
)
def test_read_table_says_what_there_is(config: seqrec.Config, table: str, columns: list | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        seqrec.read_table(config, table, columns)


def test_results_of_a_workdir_without_runs_are_empty(config: seqrec.Config) -> None:
    assert len(seqrec.results(config)) == 0
