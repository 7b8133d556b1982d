"""Lists for those whose history has changed since earlier lists: who they are, and that they get the same lists."""

from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from seqrec.core.errors import DataError
from seqrec.core.storage import Storage
from seqrec.recommendation.config import RecommendationConfig
from seqrec.recommendation.lists.stage import run_recommend
from tests.recommendation import world
from tests.recommendation.world import lists_of, users, write_run, write_world

DELTA = RecommendationConfig(k=5, over="catalogue", changed_since="sasrec-catalogue")


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path))


def later_events(monkeypatch: pytest.MonkeyPatch, changed: dict[int, str]) -> None:
    """Some users have another history: one more event, another item at the same time, or another time."""
    events_of = world.events_of

    def changed_events(number: int) -> tuple[list[int], list[int]]:
        items, times = events_of(number)
        if changed.get(number) == "event":
            return [*items[:-2], 31, *items[-2:]], [*times[:-2], times[-3], *times[-2:]]
        if changed.get(number) == "item":
            return [items[0] % 50 + 1, *items[1:]], times
        if changed.get(number) == "time":
            return items, [times[0] - world.DAY, *times[1:]]
        return items, times

    monkeypatch.setattr(world, "events_of", changed_events)


def test_those_whose_history_changed_get_the_lists_of_a_full_run(
    spark: SparkSession, storage: Storage, monkeypatch: pytest.MonkeyPatch
):
    write_run(storage, write_world(storage), "sasrec", "sasrec")
    full = RecommendationConfig(k=5, over="catalogue")
    before = run_recommend(spark, storage, "small", "sasrec", full)
    changed = {4: "event", 11: "item", 50: "time"}
    later_events(monkeypatch, changed)
    write_run(storage, write_world(storage, num_files=4), "sasrec", "sasrec")  # In other files than before.

    delta = run_recommend(spark, storage, "small", "sasrec", DELTA)
    again = run_recommend(spark, storage, "small", "sasrec", full)

    assert again.table("users").content != before.table("users").content
    assert delta.name == "sasrec-catalogue-changed"
    found, expected = lists_of(storage, delta), lists_of(storage, again)
    assert sorted(found) == [users()[number] for number in sorted(changed)]
    for user, rows in found.items():
        assert [row["item_id"] for row in rows] == [row["item_id"] for row in expected[user]]
        assert [row["score"] for row in rows] == pytest.approx([row["score"] for row in expected[user]], rel=1e-5)
    assert delta.counts["users"] == 3


def test_nobody_is_listed_where_nothing_has_changed(spark: SparkSession, storage: Storage):
    write_run(storage, write_world(storage), "sasrec", "sasrec")
    run_recommend(spark, storage, "small", "sasrec", RecommendationConfig(k=5, over="catalogue"))

    delta = run_recommend(spark, storage, "small", "sasrec", DELTA)

    assert delta.counts["users"] == delta.counts["rows"] == 0


def test_lists_without_histories_are_refused(spark: SparkSession, storage: Storage):
    write_run(storage, write_world(storage), "sasrec", "sasrec")
    measured = RecommendationConfig(k=5, over="catalogue", histories="test")
    run_recommend(spark, storage, "small", "sasrec", measured)

    with pytest.raises(DataError, match="'sasrec-test-catalogue' do not say which histories they were made from"):
        run_recommend(
            spark,
            storage,
            "small",
            "sasrec",
            RecommendationConfig(k=5, over="catalogue", changed_since="sasrec-test-catalogue"),
        )


def test_the_order_of_events_and_the_place_of_a_user_are_told_apart():
    import pyarrow as pa

    from seqrec.events.ragged import Ragged
    from seqrec.recommendation.lists.changed_users import history_digests
    from seqrec.recommendation.lists.item_names import ItemNames

    batch = pa.RecordBatch.from_pydict({"item_id": ["a", "b", "c"], "title": pa.nulls(3, pa.string())})
    names = ItemNames([batch], np.array([1]))
    items = Ragged.from_lengths(np.array([1, 2, 2, 1, 1, 2, 3], np.int32), np.array([2, 2, 2, 0, 1]))
    times = np.array([5, 5, 5, 5, 5, 5, 5])

    first, turned, again, empty, single = history_digests(items, times, names).tolist()

    assert first == again
    assert len({first, turned, empty, single}) == 4


def test_one_of_them_is_left_out():
    with pytest.raises(ValueError, match="as_of is '2014-01-01', but changed_since is set: leave one of them out"):
        RecommendationConfig(changed_since="a", as_of="2014-01-01")
    with pytest.raises(ValueError, match="histories is 'test', but changed_since is set"):
        RecommendationConfig(changed_since="a", histories="test")
