"""Item-to-item lists of a small world: what stands in them, what they must not know, and how they are measured."""

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset, Manifest
from seqrec.core.storage import Storage
from seqrec.recommendation.similar_items.config import SimilarItemsConfig
from seqrec.recommendation.similar_items.stage import LISTS, PAGE, run_similar_items
from tests.recommendation.world import NUM_ITEMS, PLANTED, events_of, item_id, users, write_run, write_world

INDEX_OF = {item_id(index): index for index in range(1, NUM_ITEMS + 1)}
# No time, one place: a pair weighs 1, and counts can be made by hand.
COUNTS = {"window": 1, "pair_half_life_days": 1.0e9}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    storage = Storage(str(tmp_path_factory.mktemp("similar")))
    write_run(storage, write_world(storage), "sasrec", "sasrec")
    return storage


def read_lists(storage: Storage, manifest: Manifest) -> dict[int, list[dict]]:
    found = defaultdict(list)
    for file in manifest.table(LISTS).files:
        for row in pq.read_table(storage.local(file.path)).to_pylist():
            found[INDEX_OF[row["item_id"]]].append({**row, "similar": INDEX_OF[row["similar_item_id"]]})
    return found


def counted_next(end: int | None, both: bool) -> dict[int, Counter]:
    """How often each item came right after another, or beside it, in the first events of everyone."""
    counts: dict[int, Counter] = defaultdict(Counter)
    for number in range(len(users())):
        items = events_of(number)[0][:end]
        for first, second in zip(items, items[1:], strict=False):
            if first != second:
                counts[first][second] += 1
                if both:
                    counts[second][first] += 1
    return counts


@pytest.mark.parametrize("direction", ["forward", "both"])
def test_what_often_comes_next_is_counted_from_all_events(spark: SparkSession, world: Storage, direction):
    config = SimilarItemsConfig(k=5, direction=direction, **COUNTS)

    manifest = run_similar_items(spark, world, "small", config, seed=1)

    counts = counted_next(None, direction == "both")
    found = read_lists(world, manifest)
    for item in range(1, NUM_ITEMS + 1):
        best = sorted(counts[item].items(), key=lambda each: (-each[1], each[0]))[:5]
        assert [row["similar"] for row in found.get(item, [])] == [other for other, _ in best]
        assert [row["rank"] for row in found.get(item, [])] == list(range(1, len(best) + 1))
    assert manifest.counts["items"] == NUM_ITEMS
    assert manifest.counts["items_without_a_list"] == NUM_ITEMS - len(found)
    assert manifest.counts["rows"] == sum(map(len, found.values()))
    assert {row["source"] for rows in found.values() for row in rows} == {"often_next"}


def test_titles_are_those_of_the_items_listed(spark: SparkSession, world: Storage):
    found = read_lists(world, run_similar_items(spark, world, "small", SimilarItemsConfig(k=5, **COUNTS), seed=1))

    for rows in found.values():
        for row in rows:
            assert row["title"] == (None if row["similar"] == 3 else f"Title of {row['similar']}")


def test_what_is_alike_has_the_nearest_vector(spark: SparkSession, world: Storage):
    from seqrec.events.vocabulary import read_vocabulary
    from seqrec.scoring.loaded_model import read_model
    from seqrec.scoring.run import read_run
    from seqrec.scoring.scorer import stored_model

    config = SimilarItemsConfig(k=4, kind="alike", run="sasrec")
    trained = read_run(world, "sasrec")
    model = read_model(stored_model(world, trained, read_vocabulary(world, trained.manifest), num_threads=1))
    vectors = model.item_vectors(np.arange(1, 57, dtype=np.int32)).numpy().astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    found = read_lists(world, run_similar_items(spark, world, "small", config, seed=1))

    assert sorted(found) == list(range(1, 57))  # The others were never trained, and have no vector.
    cosines = vectors @ vectors.T
    for item, rows in found.items():
        others = [other for other in np.argsort(-cosines[item - 1]) + 1 if other != item][:4]
        assert [row["similar"] for row in rows] == others
        assert [row["score"] for row in rows] == pytest.approx([cosines[item - 1, o - 1] for o in others], abs=1e-5)


def test_both_kinds_in_one_list_say_where_each_item_is_from(spark: SparkSession, world: Storage):
    config = SimilarItemsConfig(k=20, kind="both", run="sasrec", **COUNTS)

    found = read_lists(world, run_similar_items(spark, world, "small", config, seed=1))

    counts = counted_next(None, both=True)
    for item, rows in found.items():
        assert len({row["similar"] for row in rows}) == len(rows)
        assert item not in {row["similar"] for row in rows}
        for row in rows:
            assert (row["source"] != "alike") == (row["similar"] in counts[item])


def test_measured_lists_know_training_events_alone(spark: SparkSession, world: Storage):
    config = SimilarItemsConfig(histories="test", k=20, direction="forward", **COUNTS)

    measured = run_similar_items(spark, world, "small", config, seed=1).details["measured"]

    counts = counted_next(-2, both=False)
    assert not counts[PLANTED[0]]
    ranks = []
    for number in range(len(users())):
        items, target = events_of(number)[0][:-1], events_of(number)[0][-1]
        others = [other for other in counts[items[-1]] if other not in items]
        others.sort(key=lambda other: (-counts[items[-1]][other], other))
        ranks.append(others.index(target) + 1 if target in others else 1_000)
    expected = np.mean(np.array(ranks) <= 10)
    assert measured["often next, last item"]["hit_rate@10"]["value"] == pytest.approx(expected, abs=1e-6)
    gains = np.where(np.array(ranks) <= 10, 1 / np.log2(np.array(ranks) + 1), 0.0)
    assert measured["often next, last item"]["ndcg@10"]["value"] == pytest.approx(gains.mean(), abs=1e-6)


def test_lists_of_both_kinds_are_measured_side_by_side(spark: SparkSession, world: Storage):
    config = SimilarItemsConfig(histories="validation", kind="both", run="sasrec")

    manifest = run_similar_items(spark, world, "small", config, seed=1)

    assert list(manifest.details["measured"]) == [
        f"{kind}, {events}" for events in ("last item", "last items") for kind in ("often next", "alike", "both")
    ]
    assert manifest.counts["users"] == len(users())


def test_the_page_shows_items_and_what_was_measured(spark: SparkSession, world: Storage):
    settings = {"kind": "both", "run": "sasrec"}
    run_similar_items(spark, world, "small", SimilarItemsConfig(histories="test", **settings), seed=1)

    made = run_similar_items(spark, world, "small", SimilarItemsConfig(**settings, k=7), seed=1)

    page = world.read_bytes(f"similar_items/small/{made.id}/{PAGE}").decode()
    assert "Title of" in page
    assert "hit rate@10" in page
    assert "<script" not in page


def test_lists_do_not_depend_on_files_and_are_made_once(spark: SparkSession, world: Storage, tmp_path: Path):
    config = SimilarItemsConfig(k=9)
    made = run_similar_items(spark, world, "small", config, seed=1)
    other = Storage(str(tmp_path))
    write_world(other, num_files=7)

    assert run_similar_items(spark, world, "small", config, seed=1).created == made.created
    assert run_similar_items(spark, other, "small", config, seed=1).table(LISTS).content == made.table(LISTS).content


def test_a_ranking_run_has_no_vectors(spark: SparkSession, world: Storage):
    write_run(world, Dataset(world, "prepared", "small").require("prepare"), "a2svd", "a2svd")

    with pytest.raises(DataError, match="similar_items.run: run 'a2svd' is of 'a2svd', a ranking model"):
        run_similar_items(spark, world, "small", SimilarItemsConfig(kind="alike", run="a2svd"), seed=1)
