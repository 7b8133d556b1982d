"""The whole stage on small and on real data; expectations come from plain Python, never from the stage."""

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from seqrec.core.errors import DataError
from seqrec.core.storage import Storage
from seqrec.preparation.config import PreparationConfig
from seqrec.preparation.stage import run_prepare
from tests.preparation.ingested import DAY, publish_ingested, read_raw_reviews, read_rows, reviews_of


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path))


FOUR_FRIENDS = reviews_of(
    *[(user, item, day * DAY) for user in ("ann", "bob", "cid", "dan") for day, item in enumerate("abcd")],
    ("ann", "e", 9 * DAY),
    ("eve", "a", 0),
)


def test_run_prepare_leaves_out_users_and_items_below_k(spark, storage):
    publish_ingested(spark, storage, FOUR_FRIENDS)

    manifest = run_prepare(
        spark,
        storage,
        "small",
        PreparationConfig(min_interactions=4, num_test_negatives=3, num_validation_negatives=1),
        7,
    )

    test = {row["user_id"]: row for row in read_rows(storage, manifest, "sequences/test")}
    item_ids = {row["item_index"]: row["item_id"] for row in read_rows(storage, manifest, "vocabulary/items")}
    assert set(test) == {"ann", "bob", "cid", "dan"}
    assert {item_ids[row["target_item"]] for row in test.values()} == {"d"}
    assert [item_ids[i] for i in test["ann"]["history_items"]] == ["a", "b", "c"]
    assert manifest.counts["kept_events"] == 16


def test_run_prepare_puts_trained_items_first(spark, storage):
    publish_ingested(spark, storage, FOUR_FRIENDS, {"a": "Toys", "d": "Games", "c": None})

    manifest = run_prepare(
        spark,
        storage,
        "small",
        PreparationConfig(min_interactions=0, num_test_negatives=3, num_validation_negatives=1),
        7,
    )

    items = [
        (r["item_index"], r["item_id"], r["category_index"], r["train_count"])
        for r in read_rows(storage, manifest, "vocabulary/items")
    ]
    categories = [tuple(row.values()) for row in read_rows(storage, manifest, "vocabulary/categories")]
    assert items == [(1, "a", 1, 4), (2, "b", 0, 4), (3, "c", 0, 1), (4, "d", 2, 0), (5, "e", 0, 0)]
    assert categories == [(1, "Toys", 4), (2, "Games", 0)]
    assert manifest.details["num_trained_items"] == 3


def test_run_prepare_is_skipped_when_nothing_has_changed(spark, storage):
    publish_ingested(spark, storage, FOUR_FRIENDS)
    config = PreparationConfig(min_interactions=0, num_test_negatives=3, num_validation_negatives=1)
    first = run_prepare(spark, storage, "small", config, 7)

    second = run_prepare(spark, storage, "small", config, 7)
    forced = run_prepare(spark, storage, "small", config, 7, force=True)

    assert second.id == first.id
    assert forced.id != first.id
    assert forced.content == first.content


def test_run_prepare_says_how_many_items_there_are_for_negatives(spark, storage):
    publish_ingested(spark, storage, FOUR_FRIENDS)

    with pytest.raises(DataError, match="num_test_negatives is 49, but there are only 5 items"):
        run_prepare(spark, storage, "small", PreparationConfig(min_interactions=0), 7)


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
