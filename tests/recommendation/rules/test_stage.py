"""Rules through the whole stage: files and metadata in, lists that keep them out, each rule counted and priced."""

from collections import Counter
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from rich.console import Console

from seqrec.core import columns as C
from seqrec.core.errors import ConfigError, DataError
from seqrec.core.manifest import Dataset, Recipe
from seqrec.core.storage import Storage
from seqrec.recommendation.candidates.stage import run_candidates
from seqrec.recommendation.config import RecommendationConfig
from seqrec.recommendation.index.stage import run_index
from seqrec.recommendation.lists.recommender import NO_HISTORY
from seqrec.recommendation.lists.show_user import show_user
from seqrec.recommendation.lists.stage import recommend_recipe, run_recommend
from seqrec.recommendation.rules_config import RulesConfig
from seqrec.scoring.index.config import IndexConfig
from tests.feed.prepared_data import write_rows
from tests.recommendation.conftest import SMALL
from tests.recommendation.world import (
    ITEM_TYPES,
    NUM_ITEMS,
    category_of,
    events_of,
    item_id,
    items_of,
    lists_of,
    metadata_row,
    users,
    write_run,
    write_world,
)

INDEX_OF = {item_id(index): index for index in range(1, NUM_ITEMS + 1)}


def brand_of(index: int) -> str | None:
    return None if index % 7 == 0 else ["Acme", "acme ", "Bolt"][index % 3]  # Two spellings of one brand.


def price_of(index: int) -> float | None:
    return None if index % 10 == 0 else float(index)


@pytest.fixture(scope="module")
def world(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Storage:
    storage = Storage(str(tmp_path_factory.mktemp("rules")))
    prepared = write_world(storage)
    write_run(storage, prepared, "sasrec", "sasrec")
    rows = [{**metadata_row(i), C.BRAND: brand_of(i), C.PRICE: price_of(i)} for i in range(1, NUM_ITEMS + 1)]
    ingested = Dataset(storage, "ingested", "small").begin(Recipe(stage="ingest", settings={"brands": 1}, inputs={}))
    items = write_rows(storage, f"{ingested.path}/items", [rows], ITEM_TYPES)
    ingested.publish(tables={"items": items}, counts={})
    run_candidates(spark, storage, "small", SMALL)
    run_index(storage, "small", "sasrec", 1, IndexConfig(k=5, num_measured=20))
    return storage


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    contents = {
        "blocked_items": [item_id(1), item_id(2), "NO SUCH ITEM"],
        "blocked_categories": ["kind 3", "no such kind"],
        "in_stock": [*(item_id(index) for index in range(1, NUM_ITEMS + 1) if index % 4), "GONE", "LOST"],
    }
    for name, lines in contents.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(lines) + "\n\n")
    return {name: str(tmp_path / f"{name}.txt") for name in contents}


def lists_by(spark: SparkSession, world: Storage, rules: RulesConfig, **settings):
    config = RecommendationConfig(**{"k": 6, "over": "catalogue", "rules": rules, **settings})
    manifest = run_recommend(spark, world, "small", "sasrec", config)
    return manifest, {user: [INDEX_OF[i] for i in items_of(rows)] for user, rows in lists_of(world, manifest).items()}


def test_lists_keep_what_files_and_metadata_say(spark: SparkSession, world: Storage, files):
    rules = RulesConfig(**files, max_price=55.0, keep_unpriced=False, max_per_brand=2, max_per_category=2)

    manifest, lists = lists_by(spark, world, rules)

    assert sorted(lists) == users()
    for number, user in enumerate(users()):
        items = lists[user]
        assert not set(items) & set(events_of(number)[0])
        for item in items:
            assert min(item - 2, item % 4, item % 10, 56 - item) > 0
            assert category_of(item) != 3
        brands = Counter((brand_of(item) or "").strip().lower() for item in items)
        assert all(count <= 2 for brand, count in brands.items() if brand)
        assert all(count <= 2 for kind, count in Counter(map(category_of, items)).items() if kind)
    report, counts = manifest.details["rules"], manifest.counts
    assert report["blocked_items"] == {"ids": 3, "unknown_ids": 1, "first_unknown": ["NO SUCH ITEM"], "items_barred": 2}
    assert report["in_stock"]["first_unknown"] == ["GONE", "LOST"]
    assert report["in_stock"]["items_barred"] == NUM_ITEMS // 4
    assert report["blocked_categories"]["first_unknown"] == ["no such kind"]
    assert report["price"] == {"items_barred": 10, "items_without_a_price": 6}  # 56 to 59, and the six without one.
    assert report["brand"] == {"items_without_a_brand": 8}
    for rule in ("blocked items", "blocked categories", "in stock", "price", "brand", "category"):
        assert counts[f"removed by {rule}"] > 0
    assert counts["short_lists"] == sum(0 < len(lists[user]) < 6 for user in lists)


def test_rules_that_leave_nothing_give_no_row_and_a_count(spark: SparkSession, world: Storage, tmp_path: Path):
    (tmp_path / "stock.txt").write_text(f"{item_id(60)}\n")  # Never trained: a retrieval run cannot list it.

    manifest, lists = lists_by(spark, world, RulesConfig(in_stock=str(tmp_path / "stock.txt")))

    assert not lists
    assert manifest.counts["empty_lists"] == manifest.counts["users"] == len(users())


def test_a_user_of_whom_nothing_is_known_gets_popular_items_that_keep_the_rules(
    spark: SparkSession, world: Storage, files
):
    rules = RulesConfig(blocked_items=files["blocked_items"], max_per_category=1)

    _, lists = lists_by(spark, world, rules, users=("nobody", "user004"), k=4)

    counts = Counter(item for number in range(len(users())) for item in events_of(number)[0][:-2])
    expected: list[int] = []
    for item in sorted(counts, key=lambda item: (-counts[item], item)):
        if item > 2 and (not category_of(item) or category_of(item) not in map(category_of, expected)):
            expected.append(item)
    assert lists["nobody"] == expected[:4]


def test_rules_are_priced_one_by_one_where_targets_are_known(spark: SparkSession, world: Storage):
    rules = RulesConfig(max_per_brand=1, max_per_category=1)

    manifest, _ = lists_by(spark, world, rules, histories="test")
    plain, _ = lists_by(spark, world, RulesConfig(), histories="test")

    figures = manifest.details["figures"]
    assert list(figures["rules"]) == ["no rules", "brand", "category"]
    assert figures["rules"]["no rules"]["ndcg@6"] == pytest.approx(plain.details["measured"]["ndcg@6"])
    assert figures["lists"]["ndcg@6"] == manifest.details["measured"]["ndcg@6"]
    assert figures["rules"]["category"]["unlikeness"] > figures["rules"]["no rules"]["unlikeness"]
    assert sum(each["lists"] for each in figures["segments"].values()) == len(users())
    assert 0 < figures["lists"]["coverage"] <= 1


def test_figures_are_those_of_the_lists_on_disk(spark: SparkSession, world: Storage):
    manifest, lists = lists_by(spark, world, RulesConfig(max_per_category=1))

    times = Counter(item for items in lists.values() for item in items)
    found = manifest.details["figures"]["lists"]
    assert found["coverage"] == pytest.approx(len(times) / NUM_ITEMS)
    assert found["length"] == pytest.approx(sum(times.values()) / len(lists))


def test_diversity_by_the_vectors_of_an_index_makes_lists_less_alike(spark: SparkSession, world: Storage):
    rules = RulesConfig(diversity=0.7, vectors_run="sasrec")

    manifest, _ = lists_by(spark, world, rules, histories="test")

    figures = manifest.details["figures"]
    assert figures["lists"]["unlikeness"] > figures["rules"]["no rules"]["unlikeness"]


def test_new_and_own_items_with_candidates(spark: SparkSession, world: Storage):
    rules = RulesConfig(min_new=2, new_days=200, own_items_after_days=300)

    manifest, lists = lists_by(spark, world, rules, over="candidates", k=4)

    newest = max(times[-1] for _, times in map(events_of, range(len(users()))))
    first = {}
    for items, times in map(events_of, range(len(users()))):
        for item, time in zip(items, times, strict=True):
            first[item] = min(time, first.get(item, time))
    day = newest // 86_400
    for number, user in enumerate(users()):
        last = dict(zip(*events_of(number), strict=True))
        for item in set(lists.get(user, [])) & last.keys():
            assert newest - last[item] >= 300 * 86_400
        old = [item for item in lists.get(user, []) if first.get(item, newest) // 86_400 < day - 200]
        assert len(old) <= 2
    assert manifest.counts["removed by new"] > 0


def test_one_user_is_shown_by_the_rules_of_published_lists(spark: SparkSession, world: Storage, files):
    rules = RulesConfig(blocked_items=files["blocked_items"], max_per_category=1)
    console = Console(record=True, width=160)
    shown = RecommendationConfig(k=5, over="catalogue", rules=rules, user="user004")

    with pytest.raises(DataError, match="run the job 'recommend' without recommendation.user first"):
        show_user(world, "small", "sasrec", shown, console)
    _, lists = lists_by(spark, world, rules, k=5)
    show_user(world, "small", "sasrec", shown, console)

    text = console.export_text()
    assert all(item_id(item) in text.partition("rank")[2] for item in lists["user004"])


def test_the_content_of_a_rule_file_decides_whether_lists_are_up_to_date(world: Storage, tmp_path: Path):
    path = tmp_path / "stock.txt"
    config = RecommendationConfig(over="catalogue", rules=RulesConfig(in_stock=str(path)))
    path.write_text(f"{item_id(1)}\n")
    before = recommend_recipe(world, "small", "sasrec", config).digest

    path.write_text(f"{item_id(2)}\n")

    assert recommend_recipe(world, "small", "sasrec", config).digest != before


@pytest.mark.parametrize(
    ("rules", "settings", "message"),
    [
        ({"in_stock": "no/such/file"}, {}, "rules.in_stock: no/such/file: cannot be read"),
        ({"min_new": 1}, {}, "min_new: what is new is known from candidates, but over is 'catalogue'"),
        ({"min_long_tail": 9}, {"over": "candidates"}, "min_long_tail is 9 and min_new 0, but lists have k=6"),
        ({"diversity": 0.5, "vectors_run": "none"}, {}, "Run the job 'train' first"),
    ],
)
def test_what_does_not_go_together_is_named(spark: SparkSession, world: Storage, rules, settings, message):
    with pytest.raises((ConfigError, DataError), match=message):
        lists_by(spark, world, RulesConfig(**rules), **settings)


def test_a_file_of_nothing_is_refused(spark: SparkSession, world: Storage, tmp_path: Path):
    (tmp_path / "empty.txt").write_text("\n\n")

    with pytest.raises(DataError, match="rules.in_stock: .*: it holds no ids. Write one per line."):
        lists_by(spark, world, RulesConfig(in_stock=str(tmp_path / "empty.txt")))


def test_popular_lists_say_so(spark: SparkSession, world: Storage):
    config = RecommendationConfig(k=3, over="catalogue", rules=RulesConfig(max_per_category=1), users=("nobody",))

    rows = lists_of(world, run_recommend(spark, world, "small", "sasrec", config))["nobody"]

    assert {row["source"] for row in rows} == {NO_HISTORY}
