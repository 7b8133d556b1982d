"""Equality with the reference implementation, whose files for a small raw input are kept as fixtures."""

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from seqrec.core.storage import Storage
from seqrec.preparation.config import PreparationConfig
from seqrec.preparation.stage import run_prepare
from tests.preparation.ingested import publish_ingested, read_raw_categories, read_raw_reviews, read_rows

SETTINGS = {"exact_duplicates": "keep", "min_interactions": 0, "num_validation_negatives": 4, "num_test_negatives": 9}

Instance = tuple[str, tuple[tuple[str, int], ...]]  # User, history and target as (item, time), oldest first.


def read_instances(path: Path) -> list[Instance]:
    """The positive lines of a file of the reference."""
    instances = []
    for line in path.read_text().splitlines():
        label, user, item, _, time, items, _, times = line.split("\t")
        if label == "1":
            history = zip(items.split(","), map(int, map(float, times.split(","))), strict=True)
            instances.append((user, (*history, (item, int(float(time))))))
    return instances


def without_tied_items(instances: list[Instance], tied: set[tuple[str, int]]) -> Counter:
    """The instances with a star for each item whose place the order of ties decides."""
    return Counter(
        (user, tuple(("*" if (user, time) in tied else item, time) for item, time in events))
        for user, events in instances
    )


@pytest.fixture(scope="module")
def golden(shared) -> Path:
    return shared / "golden" / "data"


@pytest.fixture(scope="module")
def prepared(spark, golden, tmp_path_factory):
    storage = Storage(str(tmp_path_factory.mktemp("golden")))
    categories = read_raw_categories(golden / "meta_x.json")
    publish_ingested(spark, storage, read_raw_reviews(golden / "rev_x.json"), categories, name="golden")
    manifest = run_prepare(spark, storage, "golden", PreparationConfig(**SETTINGS), 42)
    tables = {name: read_rows(storage, manifest, name) for name in manifest.tables}
    return manifest, tables, {row["item_index"]: row for row in tables["vocabulary/items"]}


@pytest.fixture(scope="module")
def instances(prepared) -> dict[str, list[Instance]]:
    _, tables, items = prepared
    cut = defaultdict(list)
    for row in tables["sequences/train"]:
        ids = [items[index]["item_id"] for index in row["item_indices"]]
        events = list(zip(ids, row["timestamps"], strict=True))
        for end in range(row["num_context"], len(events)):
            cut["train"].append((row["user_id"], tuple(events[: end + 1])))
    for part in ("validation", "test"):
        for row in tables[f"sequences/{part}"]:
            ids = [items[index]["item_id"] for index in row["history_items"]]
            target = (items[row["target_item"]]["item_id"], row["target_timestamp"])
            cut[part].append((row["user_id"], (*zip(ids, row["history_timestamps"], strict=True), target)))
    return cut


def test_prefix_instances_equal_the_reference_but_for_the_order_of_ties(golden, instances):
    users = Counter(tuple(line.split("\t")[i] for i in (1, 3)) for line in _lines(golden / "instance_output"))
    tied = {(user, int(float(time))) for (user, time), count in users.items() if count > 1}

    for part, file in (("train", "train_data"), ("validation", "valid_data"), ("test", "test_data")):
        reference = read_instances(golden / file)
        assert without_tied_items(instances[part], tied) == without_tied_items(reference, tied)
        untied = {user for user, _ in reference} - {user for user, _ in tied}
        assert len(untied) >= 10
        assert {i for i in instances[part] if i[0] in untied} == {i for i in reference if i[0] in untied}


def test_events_equal_the_reference_with_ties(golden, instances):
    wanted, found = defaultdict(Counter), {}
    for line in _lines(golden / "instance_output"):
        _, user, item, time, _ = line.split("\t")
        wanted[user][(item, int(float(time)))] += 1

    for user, events in instances["test"]:
        found[user] = Counter(events)

    assert found == {user: events for user, events in wanted.items() if events.total() >= 2}


def test_split_sizes_follow_the_formula(golden, prepared):
    manifest, tables, _ = prepared
    lengths = Counter(line.split("\t")[1] for line in _lines(golden / "instance_output")).values()

    assert sum(file.targets for file in manifest.tables["sequences/train"].files) == sum(max(n - 3, 0) for n in lengths)
    assert len(tables["sequences/validation"]) == sum(n >= 3 for n in lengths)
    assert len(tables["sequences/test"]) == sum(n >= 2 for n in lengths)


def test_categories_equal_the_reference(golden, prepared):
    _, tables, items = prepared
    names = {row["category_index"]: row["category"] for row in tables["vocabulary/categories"]} | {0: "default_cat"}
    wanted = {line.split("\t")[2]: line.split("\t")[4] for line in _lines(golden / "instance_output")}

    assert {row["item_id"]: names[row["category_index"]] for row in items.values()} == wanted


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()
