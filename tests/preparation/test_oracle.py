"""Random reviews through the whole stage, against a plain-Python account of what it should give."""

import random
from collections import Counter, defaultdict

import pytest
from pyspark.sql import functions as F

from seqrec.core.storage import Storage
from seqrec.preparation import selection
from seqrec.preparation.config import PreparationConfig
from seqrec.preparation.stage import run_prepare
from seqrec.tables import sessions as session
from tests.preparation.ingested import DAY, publish_ingested, read_rows

NUM_CASES, K, HISTORY, TARGETS = 40, 3, 4, 3
CONFIG = PreparationConfig(
    min_interactions=K,
    max_stored_history=HISTORY,
    max_targets_per_segment=TARGETS,
    num_validation_negatives=3,
    num_test_negatives=6,
    exclude_own_items=True,
    min_targets_per_file=16,
)


def random_reviews() -> list[dict]:
    """Disjoint cases, each with its own users and items: a few dozen reviews on a few days, many of them equal."""
    dice, reviews = random.Random(11), []
    for case in range(NUM_CASES):
        num_users, num_items, num_days = dice.randint(1, 6), dice.randint(2, 7), dice.randint(1, 6)
        for _ in range(dice.randint(3, 60)):
            user, item = f"u{case}-{dice.randrange(num_users)}", f"i{case}-{dice.randrange(num_items)}"
            time, line = dice.randrange(num_days) * DAY, dice.randrange(3)
            reviews.append({"user_id": user, "item_id": item, "timestamp": time, "line_hash": line})
    return reviews + chain_that_unravels()


def chain_that_unravels() -> list[dict]:
    """Users and items in a row, joined by one review and two in turn: each is left with too few when the last goes."""
    nodes = [f"{'ui'[place % 2]}chain-{place}" for place in range(14)]
    joined = [sorted(nodes[place : place + 2], reverse=True) for place in range(13) for _ in range(1 + place % 2)]
    return [
        {"user_id": user, "item_id": item, "timestamp": 0, "line_hash": line}
        for line, (user, item) in enumerate(joined)
    ]


def keep_k_core(events: list[tuple[str, str, int]]) -> list[tuple[str, str, int]]:
    while True:
        users, items = Counter(e[0] for e in events), Counter(e[1] for e in events)
        kept = [e for e in events if users[e[0]] >= K and items[e[1]] >= K]
        if len(kept) == len(events):
            return kept
        events = kept


@pytest.fixture(scope="module")
def reviews():
    return random_reviews()


@pytest.fixture(scope="module")
def histories(spark, reviews):
    """The kept events of each user as (item, time), in order."""
    lines = {(r["user_id"], r["item_id"], r["timestamp"], r["line_hash"]) for r in reviews}
    pairs = spark.createDataFrame(sorted({line[:2] for line in lines}), "user string, item string")
    ties = {(r[0], r[1]): r[2] for r in pairs.select("user", "item", F.xxhash64("user", "item")).collect()}
    users = defaultdict(list)
    for user, item, time in keep_k_core([line[:3] for line in lines]):
        users[user].append((time, ties[user, item], item))
    return {user: [(item, time) for time, _, item in sorted(events)] for user, events in users.items()}


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    return Storage(str(tmp_path_factory.mktemp("oracle")))


@pytest.fixture(scope="module")
def prepared(spark, storage, reviews):
    publish_ingested(spark, storage, reviews)
    manifest = run_prepare(spark, storage, "small", CONFIG, 7)
    rows = {name: read_rows(storage, manifest, name) for name in manifest.tables}
    return manifest, rows, {row["item_index"]: row["item_id"] for row in rows["vocabulary/items"]}


def test_k_core_is_the_largest_such_subset(prepared, histories):
    manifest, _, items = prepared

    assert set(items.values()) == {item for events in histories.values() for item, _ in events}
    assert manifest.counts["split"]["users"] == len(histories)
    assert manifest.counts["kept_events"] == sum(map(len, histories.values()))
    assert len(manifest.counts["k_core_rounds"]) >= 4  # The chain needs them: a single round would keep too much.


def test_every_later_training_event_is_a_target_once(prepared, histories):
    _, rows, items = prepared
    found = defaultdict(list)
    for row in rows["sequences/train"]:
        events = [(items[i], t) for i, t in zip(row["item_indices"], row["timestamps"], strict=True)]
        own = histories[row["user_id"]]
        context = row["num_context"]
        place = next(p for p in range(len(own)) if own[p : p + len(events)] == events and _fits(p, context))
        assert len(events) - context <= TARGETS
        assert row["first_timestamp"] == own[0][1]
        found[row["user_id"]] += range(place + context, place + len(events))

    wanted = {user: list(range(1, len(own) - 2)) for user, own in histories.items() if len(own) > 3}
    assert {user: sorted(targets) for user, targets in found.items()} == wanted


@pytest.mark.parametrize(("part", "from_end", "num_negatives"), [("validation", 2, 3), ("test", 1, 6)])
def test_histories_are_the_events_before_the_target(prepared, histories, part, from_end, num_negatives):
    _, rows, items = prepared

    found = {row["user_id"]: row for row in rows[f"sequences/{part}"]}

    assert found.keys() == {user for user, own in histories.items() if len(own) > from_end}
    for user, row in found.items():
        own, position = histories[user], len(histories[user]) - from_end
        history = list(zip(map(items.get, row["history_items"]), row["history_timestamps"], strict=True))
        assert row["position"] == position
        assert history == own[max(0, position - HISTORY) : position]
        assert (items[row["target_item"]], row["target_timestamp"]) == own[position]
        assert row["first_timestamp"] == own[0][1]
        negatives = set(row["negative_items"])
        assert len(row["negative_items"]) == len(negatives) == num_negatives
        assert not negatives & {0, row["target_item"]}
        assert not {items[i] for i in negatives} & {item for item, _ in own}


def test_latest_holds_all_events_of_known_items_of_every_user(prepared, reviews):
    _, rows, items = prepared
    lines = {tuple(review.values()) for review in reviews}
    wanted = defaultdict(Counter)
    for user, item, time, _ in lines:
        if item in items.values():
            wanted[user][(item, time)] += 1

    found = {row["user_id"]: row for row in rows["sequences/latest"]}

    assert found.keys() == wanted.keys()
    for user, row in found.items():
        events = list(zip(map(items.get, row["history_items"]), row["history_timestamps"], strict=True))
        assert Counter(events) == wanted[user]
        assert row["history_timestamps"] == sorted(row["history_timestamps"])
        assert row["first_timestamp"] == row["history_timestamps"][0]


def test_vocabulary_counts_and_orders_training_events(prepared, histories):
    manifest, rows, _ = prepared
    counts = Counter()
    for own in histories.values():
        if len(own) > 3:
            counts.update(item for item, _ in own[:-2])
    everything = {item for own in histories.values() for item, _ in own}

    wanted = sorted(everything, key=lambda item: (-counts[item], item))

    assert [(r["item_index"], r["item_id"], r["train_count"]) for r in rows["vocabulary/items"]] == [
        (index, item, counts[item]) for index, item in enumerate(wanted, start=1)
    ]
    assert manifest.details["num_trained_items"] == len(counts)


def test_content_does_not_depend_on_order_partitions_or_buckets(spark, storage, prepared, reviews, monkeypatch):
    manifest, _, _ = prepared
    shuffled = random.Random(5).sample(reviews, len(reviews))
    monkeypatch.setattr(selection, "num_buckets_for", lambda num_reviews: 3)
    monkeypatch.setitem(session._SETTINGS, "spark.sql.shuffle.partitions", "5")

    publish_ingested(spark, storage, shuffled, name="shuffled", num_partitions=5)
    again = run_prepare(spark, storage, "shuffled", CONFIG, 7)

    assert {name: table.content for name, table in again.tables.items()} == {
        name: table.content for name, table in manifest.tables.items()
    }
    assert [file.targets for file in again.tables["sequences/train"].files] != []


def _fits(place: int, context: int) -> bool:
    """Whether a segment may begin there: all the history there is, up to what is stored."""
    return context == min(place + context, HISTORY) and (place + context - 1) % TARGETS == 0
