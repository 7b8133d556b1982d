import json
import re
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession
from rich.console import Console

from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset, Recipe
from seqrec.core.storage import Storage
from seqrec.recommendation.candidates.stage import run_candidates
from seqrec.recommendation.config import RecommendationConfig
from seqrec.recommendation.lists.recommender import NO_HISTORY
from seqrec.recommendation.lists.show_user import show_user
from seqrec.recommendation.lists.stage import recommend_recipe, run_recommend
from seqrec.recommendation.lists.write_lists import LISTS
from tests.recommendation.conftest import SMALL
from tests.recommendation.world import (
    DAY,
    NUM_ITEMS,
    START,
    events_of,
    item_id,
    items_of,
    lists_of,
    users,
    write_run,
    write_world,
)


def own_ids(number: int) -> set[str]:
    return {item_id(index) for index in events_of(number)[0]}


@pytest.fixture(scope="module")
def everyone(spark: SparkSession, world: Storage):
    manifest = run_recommend(spark, world, "small", "a2svd", RecommendationConfig(k=7))
    return manifest, lists_of(world, manifest)


def check_lists(rows: list[dict], length: int) -> None:
    assert [row["rank"] for row in rows] == list(range(1, length + 1))
    assert len(set(items_of(rows))) == length
    scores = [row["score"] for row in rows]
    assert scores == sorted(scores, reverse=True)


def test_run_recommend_gives_every_user_k_other_items_in_order(everyone):
    _, lists = everyone

    assert sorted(lists) == users()
    for number, user in enumerate(users()):
        check_lists(lists[user], 7)
        assert not set(items_of(lists[user])) & own_ids(number)


def test_run_recommend_names_source_and_title(everyone):
    _, lists = everyone

    rows = [row for each in lists.values() for row in each]
    titles = {item_id(index): None if index == 3 else f"Title of {index}" for index in range(1, NUM_ITEMS + 1)}
    assert all(row["title"] == titles[row["item_id"]] for row in rows)
    assert {row["source"] for row in rows} <= {
        *("co_visitation", "also_bought", "also_viewed", "category_popularity", "popularity")
    }


@pytest.mark.parametrize("run", ["a2svd", "sli_rec"])
def test_run_recommend_ranks_the_whole_catalogue_as_the_model_scores_it(spark: SparkSession, world: Storage, run):
    config = RecommendationConfig(k=100, over="catalogue", batch_size=16)

    lists = lists_of(world, run_recommend(spark, world, "small", run, config))

    for number in (0, 7, 33):
        left = NUM_ITEMS - len(set(events_of(number)[0]))
        check_lists(lists[users()[number]], left)
        expected = score_one_by_one(world, run, number)
        for row in lists[users()[number]]:
            assert row["score"] == pytest.approx(expected[row["item_id"]], abs=1e-4)


def test_run_recommend_lists_straight_from_a_retrieval_run(spark: SparkSession, world: Storage):
    config = RecommendationConfig(k=100, over="catalogue", max_catalogue=1)  # For a product no catalogue is too large.

    manifest = run_recommend(spark, world, "small", "sasrec", config)

    lists = lists_of(world, manifest)
    assert manifest.name == "sasrec-catalogue"
    assert sorted(lists) == users()
    for number in (0, 7, 33):
        expected = score_one_by_one(world, "sasrec", number)
        trained = {item_id(index) for index in range(1, 57)} - own_ids(number)
        check_lists(lists[users()[number]], len(trained))
        assert set(items_of(lists[users()[number]])) == trained
        for row in lists[users()[number]]:
            assert row["score"] == pytest.approx(expected[row["item_id"]], abs=1e-4)
            assert row["source"] == "catalogue"


def test_run_recommend_gives_popular_items_where_a_retrieval_run_knows_no_item(
    spark: SparkSession, world: Storage, tmp_path: Path
):
    file = tmp_path / "histories.json"
    rows = [
        {"user_id": "of untrained items", "item_ids": [item_id(58), item_id(60)], "timestamps": [START, START + DAY]},
        {"user_id": "of one trained item", "item_ids": [item_id(3)], "timestamps": [START]},
    ]
    file.write_text("\n".join(json.dumps(row) for row in rows))
    config = RecommendationConfig(k=5, over="catalogue", histories_file=str(file))

    lists = lists_of(world, run_recommend(spark, world, "small", "sasrec", config))

    assert {row["source"] for row in lists["of untrained items"]} == {NO_HISTORY}
    assert {row["source"] for row in lists["of one trained item"]} == {"catalogue"}


def test_run_recommend_says_that_a_retrieval_run_needs_no_candidates(spark: SparkSession, world: Storage):
    with pytest.raises(DataError, match="Use recommendation.over=catalogue, for which 'sasrec' needs no candidates"):
        run_recommend(spark, world, "small", "sasrec", RecommendationConfig(histories="validation"))


def score_one_by_one(storage: Storage, run: str, number: int) -> dict[str, float]:
    """Logits of the whole catalogue after one user's last six events, straight from the model."""
    import tensorflow as tf

    from seqrec.core.batch import History
    from seqrec.events.vocabulary import read_vocabulary
    from seqrec.scoring.loaded_model import read_model
    from seqrec.scoring.run import read_run
    from seqrec.scoring.scorer import stored_model

    trained = read_run(storage, run)
    model = read_model(stored_model(storage, trained, read_vocabulary(storage, trained.manifest), num_threads=1))
    items, times = events_of(number)
    newest = max(events_of(other)[1][-1] for other in range(len(users())))
    items, read = items[-6:], times[-6:]
    missing = 6 - len(items)
    history = History(
        np.array([[items + [0] * missing]], np.int32),
        np.array([[len(items)]], np.int32),
        np.array([[[newest - t for t in read] + [0] * missing]], np.float32),
        np.array([[[t - times[0] for t in read] + [0] * missing]], np.float32),
    )
    history = History(*(tf.constant(part) for part in history))
    logits = model.score(model.encode(history), tf.range(1, NUM_ITEMS + 1)).numpy()[0, 0]
    return {item_id(index): float(logits[index - 1]) for index in range(1, NUM_ITEMS + 1)}


def test_run_recommend_goes_on_after_being_killed_with_the_same_rows(
    spark: SparkSession, world: Storage, everyone, monkeypatch
):
    config = RecommendationConfig(k=7, candidate_weight=0.7)
    whole = run_recommend(spark, world, "small", "a2svd", config)
    dataset = Dataset(world, "recommendations", "a2svd")
    recipe = recommend_recipe(world, "small", "a2svd", config)
    # What a kill leaves behind: some of the files of an attempt that was never published.
    killed = dataset.begin(recipe)
    kept = sorted(file.path for file in whole.table(LISTS).files)[0]
    copy = f"{killed.path}/{LISTS}/{kept.rpartition('/')[2]}"
    for suffix in ("", ".json"):
        world.write_bytes(copy + suffix, world.read_bytes(kept + suffix))
    before = world.list_files(f"{killed.path}/{LISTS}")[0].modified

    # Not forced: the published one is hidden, as if it had never come so far.
    world.delete("recommendations/a2svd/_manifest.json")
    resumed = run_recommend(spark, world, "small", "a2svd", config)

    assert resumed.id == killed.id
    assert world.list_files(f"{killed.path}/{LISTS}")[0].modified == before
    assert resumed.table(LISTS).content == whole.table(LISTS).content
    assert resumed.counts["users"] == whole.counts["users"]


def test_run_recommend_does_not_depend_on_how_the_users_are_spread_over_files(
    spark: SparkSession, tmp_path: Path, everyone
):
    _, lists = everyone
    storage = Storage(str(tmp_path))
    write_run(storage, write_world(storage, num_files=7), "a2svd", "a2svd")
    run_candidates(spark, storage, "small", SMALL)

    manifest = run_recommend(spark, storage, "small", "a2svd", RecommendationConfig(k=7))

    assert len(manifest.table(LISTS).files) == 7
    again = lists_of(storage, manifest)
    assert again.keys() == lists.keys()
    for user, rows in again.items():
        # Other users in a batch are other sums of floats: the last digit of a score may differ, nothing else.
        assert [row["score"] for row in rows] == pytest.approx([row["score"] for row in lists[user]], rel=1e-5)
        assert _without_scores(rows) == _without_scores(lists[user])


def _without_scores(rows: list[dict]) -> list[dict]:
    return [{key: value for key, value in row.items() if key != "score"} for row in rows]


def test_run_recommend_lists_only_the_users_asked_for(spark: SparkSession, world: Storage, everyone, tmp_path: Path):
    _, lists = everyone
    (tmp_path / "users.txt").write_text("user004\nnobody\n\nuser020\n")
    config = RecommendationConfig(k=7, users_file=str(tmp_path / "users.txt"))

    few = lists_of(world, run_recommend(spark, world, "small", "a2svd", config))

    assert sorted(few) == ["nobody", "user004", "user020"]
    assert items_of(few["user004"]) == items_of(lists["user004"])
    check_lists(few["nobody"], 7)
    assert {row["source"] for row in few["nobody"]} == {NO_HISTORY}


def test_run_recommend_takes_histories_from_a_file(spark: SparkSession, world: Storage, everyone, tmp_path: Path):
    _, lists = everyone
    items, times = events_of(4)
    ids = [item_id(index) for index in items]
    rows = [
        {"user_id": "like user004", "item_ids": ids, "timestamps": times},
        {"user_id": "shuffled", "item_ids": ["NO SUCH ITEM", *ids], "timestamps": [START + DAY, *times]},
        {"user_id": "stranger", "item_ids": ["NO SUCH ITEM"], "timestamps": [START]},
    ]
    (tmp_path / "my lists 50%").mkdir()
    file = tmp_path / "my lists 50%" / "für alle.json"
    file.write_text("\n".join(json.dumps(row) for row in rows))
    config = RecommendationConfig(k=7, histories_file=str(file))

    found = lists_of(world, run_recommend(spark, world, "small", "a2svd", config))

    assert items_of(found["like user004"]) == items_of(found["shuffled"]) == items_of(lists["user004"])
    assert {row["source"] for row in found["stranger"]} == {NO_HISTORY}


@pytest.mark.parametrize("timestamps", ["[1, 2]", "[null]", "null"])
def test_run_recommend_refuses_a_broken_histories_file(
    spark: SparkSession, world: Storage, tmp_path: Path, timestamps: str
):
    file = tmp_path / "histories.json"
    file.write_text(f'{{"user_id": "a", "item_ids": ["x"], "timestamps": {timestamps}}}\n')
    config = RecommendationConfig(histories_file=str(file))

    with pytest.raises(DataError, match="1 rows are not of the form user_id, item_ids, timestamps"):
        run_recommend(spark, world, "small", "a2svd", config)


def test_run_recommend_as_of_a_day_sees_nothing_later(spark: SparkSession, world: Storage):
    config = RecommendationConfig(k=5, as_of="2014-03-01", users=tuple(users()[:30]))
    moment = config.as_of_seconds

    lists = lists_of(world, run_recommend(spark, world, "small", "a2svd", config))

    for number in range(30):
        items, times = events_of(number)
        known = {item_id(i) for i, t in zip(items, times, strict=True) if t <= moment}
        is_unknown = {row["source"] for row in lists[users()[number]]} == {NO_HISTORY}
        assert is_unknown == (not known)
        assert not set(items_of(lists[users()[number]])) & known


def test_run_recommend_offers_own_items_when_asked(spark: SparkSession, world: Storage):
    config = RecommendationConfig(k=60, exclude_own_items=False, users=("user005",))

    lists = lists_of(world, run_recommend(spark, world, "small", "a2svd", config))

    assert own_ids(5) <= set(items_of(lists["user005"]))
    check_lists(lists["user005"], 25 + len(own_ids(5)))


def test_show_user_prints_the_lists_that_the_job_writes(world: Storage, everyone):
    _, lists = everyone
    console = Console(record=True, width=160)

    show_user(world, "small", "a2svd", RecommendationConfig(k=7, user="user004"), console)

    text = console.export_text()
    places = [text.rindex(item) for item in items_of(lists["user004"])]
    assert places == sorted(places)
    assert all(item_id(index) in text for index in events_of(4)[0])
    assert f"Title of {events_of(4)[0][-1]}" in text or events_of(4)[0][-1] == 3


def test_show_user_writes_a_page_with_the_item_that_led_to_each(world: Storage, everyone):
    _, lists = everyone

    show_user(world, "small", "a2svd", RecommendationConfig(k=7, user="user004", page=True), Console(record=True))

    page = world.read_bytes("pages/people/a2svd/user004.html").decode()
    own = {item_id(index) for index in events_of(4)[0]} | {f"Title of {index}" for index in events_of(4)[0]}
    leading = re.findall("people who took (.*?)</bdi>", page)
    assert all(item in page for item in items_of(lists["user004"]))
    assert leading
    assert set(leading) <= own


def test_show_user_says_that_nothing_is_known(world: Storage):
    console = Console(record=True, width=160)

    show_user(world, "small", "a2svd", RecommendationConfig(k=3, user="nobody"), console)

    assert "No known item of user 'nobody'" in console.export_text()


def test_run_recommend_says_that_there_are_no_candidates(spark: SparkSession, world: Storage):
    with pytest.raises(DataError, match="Run the job 'candidates' first"):
        run_recommend(spark, world, "small", "a2svd", RecommendationConfig(histories="validation"))


def test_run_recommend_refuses_candidates_of_other_data(spark: SparkSession, tmp_path: Path):
    storage = Storage(str(tmp_path))
    write_run(storage, write_world(storage), "a2svd", "a2svd")
    recipe = Recipe(stage="candidates", settings={}, inputs={"prepared": "of last week"})
    Dataset(storage, "candidates", "small").begin(recipe).publish(tables={}, counts={})

    with pytest.raises(DataError, match="candidates 'small' were made from other data than prepared 'small' holds"):
        run_recommend(spark, storage, "small", "a2svd", RecommendationConfig())


def test_recommendation_config_refuses_one_user_of_measured_histories():
    with pytest.raises(ValueError, match="histories is 'test', but user is set: leave one of them out"):
        RecommendationConfig(histories="test", user="user004")
