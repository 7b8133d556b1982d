"""The whole stage on small and on real data; expectations come from plain Python, never from the stage."""

import json
import re
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from py4j.protocol import Py4JJavaError

from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset, Manifest, Recipe
from seqrec.core.storage import Storage
from seqrec.preparation.config import PreparationConfig
from seqrec.preparation.stage import run_prepare
from seqrec.tables.files import write_table
from tests.preparation.ingested import DAY, publish_ingested, read_raw_reviews, read_rows, reviews_of

CONFIG = PreparationConfig(min_interactions=0, num_test_negatives=3, num_validation_negatives=1)

FOUR_FRIENDS = reviews_of(
    *[(user, item, day * DAY) for user in ("ann", "bob", "cid", "dan") for day, item in enumerate("abcd")],
    ("ann", "e", 9 * DAY),
    ("eve", "a", 0),
)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path))


@pytest.fixture(scope="module")
def friends(spark, tmp_path_factory) -> tuple[Storage, Manifest]:
    storage = Storage(str(tmp_path_factory.mktemp("friends")))
    publish_ingested(spark, storage, FOUR_FRIENDS, {"a": "Toys", "d": "Games", "c": None, "x": "Unused"})
    return storage, run_prepare(spark, storage, "small", CONFIG, 7)


def test_run_prepare_puts_trained_items_first(friends):
    items = [tuple(row.values()) for row in read_rows(*friends, "vocabulary/items")]
    categories = [tuple(row.values()) for row in read_rows(*friends, "vocabulary/categories")]

    assert items == [(1, "a", 1, 4), (2, "b", 0, 4), (3, "c", 0, 1), (4, "d", 2, 0), (5, "e", 0, 0)]
    assert categories == [(1, "Toys", 4), (2, "Games", 0)]
    assert friends[1].details["num_trained_items"] == 3


def test_run_prepare_writes_flat_columns_without_nulls(friends):
    storage, manifest = friends

    for name, table in manifest.tables.items():
        for file in table.files:
            for field in pq.read_schema(storage.local(file.path)):
                assert not field.nullable, (name, field)
                kind = field.type.value_type if pa.types.is_list(field.type) else field.type
                assert pa.types.is_integer(kind) or pa.types.is_string(kind)


def test_run_prepare_is_skipped_when_nothing_has_changed(spark, friends):
    storage, first = friends

    again = run_prepare(spark, storage, "small", CONFIG, 7)
    forced = run_prepare(spark, storage, "small", CONFIG, 7, force=True)

    assert again.id == first.id
    assert forced.id != first.id
    assert forced.content == first.content


def test_run_prepare_filters_and_splits_by_time(spark, storage):
    reviews = [
        {"user_id": user, "item_id": item, "timestamp": day * DAY, "rating": 5.0, "group": "Toys"}
        for user in ("ann", "bob", "cid")
        for day, item in enumerate("abcdefgh")
    ]
    reviews += [
        {"user_id": "ann", "item_id": "low", "timestamp": DAY, "rating": 1.0, "group": "Toys"},
        {"user_id": "ann", "item_id": "unrated", "timestamp": DAY, "group": "Toys"},
        {"user_id": "ann", "item_id": "other", "timestamp": DAY, "rating": 5.0, "group": "Books"},
        {"user_id": "ann", "item_id": "late", "timestamp": 20 * DAY, "rating": 5.0, "group": "Toys"},
        {"user_id": "ann", "item_id": "c", "timestamp": 2 * DAY, "rating": 4.0, "group": "Toys"},
    ]
    publish_ingested(spark, storage, reviews, {item: "even" for item in "aceg"} | {item: "odd" for item in "bdfh"})
    config = PreparationConfig(
        min_interactions=2,
        min_rating=4.0,
        groups=("Toys",),
        end_date="1970-01-10",
        repeated_items="first",
        split="temporal",
        validation_boundary="1970-01-05",
        test_boundary=0.75,
        temporal_targets="every",
        negative_sampling="category",
        num_validation_negatives=2,
        num_test_negatives=3,
    )

    manifest = run_prepare(spark, storage, "small", config, 7)

    vocabulary = {row["item_index"]: row for row in read_rows(storage, manifest, "vocabulary/items")}
    items = {index: row["item_id"] for index, row in vocabulary.items()}
    counts = manifest.counts
    dropped = [counts[f"dropped_{what}"] for what in ("by_rating", "by_group", "by_date", "repeated_items")]
    assert dropped == [2, 1, 1, 1]
    assert set(items.values()) == set("abcdefgh")
    train = read_rows(storage, manifest, "sequences/train")
    assert [[items[i] for i in row["item_indices"]] for row in train] == [list("abcd")] * 3
    for part, wanted in (("validation", "ef"), ("test", "gh")):
        rows = read_rows(storage, manifest, f"sequences/{part}")
        assert sorted(items[row["target_item"]] for row in rows) == sorted(wanted * 3)
        for row in rows:
            assert [items[i] for i in row["history_items"]] == list("abcdefgh"[: row["position"]])
            category = vocabulary[row["target_item"]]["category_index"]
            assert {vocabulary[i]["category_index"] for i in row["negative_items"]} == {category}


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (
            ("Toys", "Boks"),
            "no review is of 'Boks'; the nearest is 'Books'. Spell it as the data does, or leave it out.",
        ),
        (("Cars",), "preparation.groups: no review is of 'Cars'; there are Books, Toys. Spell"),
    ],
)
def test_run_prepare_names_a_group_that_is_not_there(spark, storage, groups, message):
    reviews = [{**review, "group": "Toys"} for review in FOUR_FRIENDS] + [{**FOUR_FRIENDS[0], "group": "Books"}]
    publish_ingested(spark, storage, reviews)

    with pytest.raises(DataError, match=re.escape(message)):
        run_prepare(spark, storage, "small", replace(CONFIG, groups=groups), 7)


def test_run_prepare_compares_ratings_as_they_are_stored(spark, storage):
    publish_ingested(spark, storage, [{**review, "rating": 3.3} for review in FOUR_FRIENDS])

    counts = run_prepare(spark, storage, "small", replace(CONFIG, min_rating=3.3), 7).counts

    assert counts["dropped_by_rating"] == 0
    assert counts["split"]["events"] == len(FOUR_FRIENDS)


@pytest.fixture
def cluster_that_hides_damage(spark):
    """Settings in the spark-defaults of a cluster, for other jobs: what every new session begins with."""
    defaults = spark.sparkContext._jsc.sc().conf()
    settings = {"spark.sql.files.ignoreCorruptFiles": "true", "spark.sql.files.maxRecordsPerFile": "2"}
    for key, value in settings.items():
        defaults.set(key, value)
    yield
    for key in settings:
        defaults.remove(key)


def test_run_prepare_writes_one_file_a_partition_whatever_the_cluster_is_set_to(
    spark, storage, cluster_that_hides_damage, friends
):
    publish_ingested(spark, storage, FOUR_FRIENDS, {"a": "Toys", "d": "Games", "c": None, "x": "Unused"})

    manifest = run_prepare(spark, storage, "small", CONFIG, 7)

    sizes = {name: len(table.files) for name, table in manifest.tables.items()}
    assert sizes == {name: len(table.files) for name, table in friends[1].tables.items()}


def test_run_prepare_fails_at_a_damaged_file_whatever_the_cluster_is_set_to(spark, storage, cluster_that_hides_damage):
    ingested = publish_ingested(spark, storage, FOUR_FRIENDS)
    path = storage.local(ingested.tables["reviews"].files[0].path)
    path.write_bytes(path.read_bytes()[:4] + bytes(path.stat().st_size - 8) + b"PAR1")
    path.with_name(f".{path.name}.crc").unlink()

    with pytest.raises(Py4JJavaError, match="corrupted file"):
        run_prepare(spark, storage, "small", CONFIG, 7)

    assert not storage.exists("prepared/small/_manifest.json")


def test_run_prepare_refuses_fewer_reviews_than_were_written(spark, storage):
    publish_ingested(spark, storage, FOUR_FRIENDS)
    path = "ingested/small/_manifest.json"
    manifest = json.loads(storage.read_bytes(path))
    manifest["tables"]["reviews"]["rows"] += 1
    storage.write_bytes(path, json.dumps(manifest).encode())

    with pytest.raises(DataError, match="Spark reads 18 reviews of the 19 that the job 'ingest' wrote"):
        run_prepare(spark, storage, "small", CONFIG, 7)


def test_run_prepare_says_how_many_items_there_are_for_negatives(spark, storage):
    publish_ingested(spark, storage, FOUR_FRIENDS)

    with pytest.raises(DataError, match="num_test_negatives is 49, but there are only 5 items"):
        run_prepare(spark, storage, "small", PreparationConfig(min_interactions=0), 7)


@pytest.mark.parametrize("latest_users", ["all", "kept"])
def test_run_prepare_leaves_nothing_in_a_session_that_goes_on(spark, storage, latest_users):
    publish_ingested(spark, storage, FOUR_FRIENDS, {"a": "Toys"})
    broadcasts = Path(spark.sparkContext._temp_dir)  # Each has a file here as long as it is there.
    before = set(broadcasts.iterdir())

    run_prepare(spark, storage, "small", replace(CONFIG, latest_users=latest_users), 7)

    assert set(broadcasts.iterdir()) == before


@pytest.mark.slow
def test_run_prepare_gives_the_reference_counts_on_beauty(spark, storage, shared_data):
    reviews = read_raw_reviews(shared_data / "reviews_Beauty_5.json.gz")
    publish_ingested(spark, storage, reviews, name="beauty")
    events = defaultdict(list)
    for review in reviews:
        events[review["user_id"]].append((review["timestamp"], review["item_id"]))

    config = PreparationConfig(exact_duplicates="keep", max_stored_history=300)
    manifest = run_prepare(spark, storage, "beauty", config, 7)

    train = manifest.table("sequences/train")
    targets = [file.targets for file in train.files]
    assert (sum(targets), manifest.table("sequences/validation").rows, manifest.table("sequences/test").rows) == (
        131_413,
        22_363,
        22_363,
    )
    assert len(targets) == 64
    assert max(targets) - min(targets) <= 0.01 * max(targets)
    assert sum(file.size for file in train.files) < 10 * sum(targets)
    item_ids = {row["item_index"]: row["item_id"] for row in read_rows(storage, manifest, "vocabulary/items")}
    trained = Counter()
    for row in read_rows(storage, manifest, "sequences/train"):
        trained.update(item_ids[index] for index in row["item_indices"])
        own = Counter((t, item_ids[i]) for t, i in zip(row["timestamps"], row["item_indices"], strict=True))
        assert not own - Counter(events[row["user_id"]])
        assert row["timestamps"] == sorted(row["timestamps"])
    counts = {row["item_id"]: row["train_count"] for row in read_rows(storage, manifest, "vocabulary/items")}
    assert {item: count for item, count in counts.items() if count} == trained
    for row in read_rows(storage, manifest, "sequences/test"):
        history = list(zip(row["history_timestamps"], map(item_ids.get, row["history_items"]), strict=True))
        last = (row["target_timestamp"], item_ids[row["target_item"]])
        assert Counter([*history, last]) == Counter(events[row["user_id"]])
        assert row["target_timestamp"] == max(t for t, _ in events[row["user_id"]])
        assert len({*row["negative_items"], row["target_item"]}) == 50


def test_run_prepare_refuses_items_that_are_listed_twice(spark, storage):
    publish_ingested(spark, storage, FOUR_FRIENDS, {"a": "Toys", "b": "Games"})
    source = Dataset(storage, "ingested", "small")
    stored = source.require("ingest").table("items").files
    items = spark.read.parquet(*[storage.uri(file.path) for file in stored])
    attempt = source.begin(Recipe(stage="ingest", settings={"doubled": True}, inputs={}))
    tables = {
        "reviews": source.require("ingest").table("reviews"),
        "items": write_table(items.union(items), attempt, "items"),
    }
    attempt.publish(tables=tables, counts={})

    with pytest.raises(DataError, match="give 7 rows for the 5 items of the vocabulary"):
        run_prepare(spark, storage, "small", CONFIG, 7)

    assert storage.list_folders("prepared/small") == []
