"""The last stage on a small world in which an item follows from the one before; what it must learn, and must not."""

import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from benchmarks.planted_leak import leak
from seqrec.core.errors import DataError
from seqrec.core.metrics import ndcg
from seqrec.core.storage import Storage
from seqrec.neighbours.config import CandidatesConfig
from seqrec.recommendation.candidates.stage import run_candidates
from seqrec.recommendation.config import RecommendationConfig
from seqrec.recommendation.lists.stage import run_recommend
from seqrec.recommendation.rankers.stage import run_rank
from seqrec.reranking.config import RankerConfig
from tests.recommendation.rankers.planted import NUM_ITEMS, histories, write_planted
from tests.recommendation.world import items_of, lists_of, write_run

LINEAR = RankerConfig(learner="linear", held_out_share=0.4, num_replicates=200)
# Popularity first: the places know nothing of what follows what.
SOURCES = ("co_visitation", "transitions", "popularity")
STRIDES = {"co_visitation": 20, "transitions": 20, "popularity": 1}


def find(spark: SparkSession, storage: Storage, histories: str, **settings) -> None:
    config = CandidatesConfig(histories=histories, sources=SOURCES, strides=STRIDES, max_candidates=30, **settings)
    run_candidates(spark, storage, "planted", config)


@pytest.fixture(scope="module")
def world(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Storage:
    storage = Storage(str(tmp_path_factory.mktemp("planted")))
    write_planted(storage)
    for split in ("validation", "test", "latest"):
        find(spark, storage, split)
    return storage


@pytest.fixture(scope="module")
def ranker(spark: SparkSession, world: Storage):
    return run_rank(spark, world, "planted", LINEAR, seed=1)


def ndcg_of(manifest, name: str = "ranker") -> float:
    return manifest.details["measured"][name]["ndcg@10"]["value"]


def test_what_follows_is_learned_and_measured_on_users_held_out(world, ranker):
    measured = ranker.details["measured"]

    assert ndcg_of(ranker) > 0.5 > 0.3 > ndcg_of(ranker, "places")
    low, high = measured["ranker"]["ndcg@10"]["interval"]
    assert low < ndcg_of(ranker) < high
    assert measured["places"]["ndcg@10"]["lead"] == 0.0
    assert measured["ranker"]["hit_rate@10"]["value"] >= ndcg_of(ranker)
    assert max(ranker.details["importances"], key=ranker.details["importances"].get).startswith("transitions_")
    assert 100 < ranker.counts["users_measured"] < 300


def test_the_card_the_picture_and_the_model_lie_beside_the_manifest(world, ranker):
    folder = Path(world.root) / "rankers" / "planted" / ranker.id

    card = json.loads((folder / "card.json").read_text())
    assert card["features"] == json.loads((folder / "model.txt").read_text())["names"]
    assert (folder / "importances.png").read_bytes().startswith(b"\x89PNG")
    assert not (folder / "fit_rows").exists()


def test_test_lists_are_ordered_as_they_were_measured(spark: SparkSession, world: Storage, ranker):
    """The published ranker over test candidates: what `rank` measures is what the lists hold."""
    measured = run_rank(spark, world, "planted", RankerConfig(histories="test", num_replicates=200), seed=1)
    lists = run_recommend(
        spark, world, "planted", "no-run", RecommendationConfig(histories="test", ranker="planted", k=10)
    )
    found = {user: items_of(rows) for user, rows in lists_of(world, lists).items()}
    targets = {user: f"B{items[-1]:03d}" for user, items in histories(seed=1).items()}

    ranks = [found[user].index(target) + 1 if target in found[user] else 99 for user, target in targets.items()]

    assert lists.name == "planted-test"
    assert ndcg_of(measured) == pytest.approx(ndcg(np.array(ranks), 10).mean(), abs=1e-5)
    assert lists.details["measured"]["ndcg@10"] == pytest.approx(ndcg_of(measured), abs=1e-5)
    assert ndcg_of(measured) > 0.5


def test_everyone_gets_what_follows_from_the_last_item(spark: SparkSession, world: Storage, ranker):
    lists = run_recommend(spark, world, "planted", "no-run", RecommendationConfig(ranker="planted", k=3))
    found = {user: items_of(rows) for user, rows in lists_of(world, lists).items()}
    following = {user: (items, (items[-1] + 6) % NUM_ITEMS + 1) for user, items in histories(seed=1).items()}

    first = [found[user][0] == f"B{item:03d}" for user, (own, item) in following.items() if item not in own]

    assert np.mean(first) > 0.9


def test_order_of_users_files_and_later_test_events_change_nothing(spark: SparkSession, tmp_path: Path, ranker):
    storage = Storage(str(tmp_path))
    write_planted(storage, reverse=True, test_days_later=300, num_files=3)
    find(spark, storage, "validation")

    again = run_rank(spark, storage, "planted", LINEAR, seed=1)

    assert again.content == ranker.content
    assert again.details["measured"] == ranker.details["measured"]


def test_with_targets_of_others_it_is_no_better_than_popularity(spark: SparkSession, tmp_path: Path):
    storage = Storage(str(tmp_path))
    write_planted(storage, shuffle_targets=True)
    find(spark, storage, "validation")
    find(spark, storage, "test")
    run_rank(spark, storage, "planted", LINEAR, seed=1)

    measured = run_rank(spark, storage, "planted", RankerConfig(histories="test"), seed=1).details["measured"]

    popular = measured["places"]["ndcg@10"]
    low, high = popular["interval"]
    assert measured["ranker"]["ndcg@10"]["value"] < popular["value"] + (high - low)


def test_a_leak_into_the_tables_would_show(spark: SparkSession, tmp_path: Path):
    """Where nothing can be learned, tables that count the targets lift the last stage far above popularity."""
    found = {}
    for kind, context in (("honest", nullcontext()), ("leaky", leak())):
        storage = Storage(str(tmp_path / kind))
        write_planted(storage, shuffle_targets=True)
        with context:
            find(spark, storage, "validation")
        found[kind] = run_rank(spark, storage, "planted", LINEAR, seed=1).details["measured"]

    popular = found["honest"]["places"]["ndcg@10"]
    width = popular["interval"][1] - popular["interval"][0]
    assert found["honest"]["ranker"]["ndcg@10"]["value"] < popular["value"] + width
    assert found["leaky"]["ranker"]["ndcg@10"]["value"] > popular["value"] + 2 * width


def test_the_logits_of_a_run_are_features(spark: SparkSession, tmp_path: Path):
    storage = Storage(str(tmp_path))
    prepared = write_planted(storage)
    write_run(storage, prepared, "sli_rec", "sli_rec")
    find(spark, storage, "validation")

    made = run_rank(
        spark, storage, "planted", RankerConfig(learner="linear", runs=("sli_rec",), without=("recency",)), seed=1
    )

    assert {"sli_rec_logit", "sli_rec_behind_best", "sli_rec_place"} < set(made.details["features"])
    assert "events" not in made.details["features"]
    assert set(made.details["measured"]) == {"places", "logits of sli_rec", "ranker"}
    write_run(storage, prepared, "sli_rec", "a2svd")
    find(spark, storage, "test")
    with pytest.raises(DataError, match="fitted on the logits of other weights of run 'sli_rec'"):
        run_rank(spark, storage, "planted", RankerConfig(histories="test"), seed=1)


def test_candidates_found_otherwise_are_refused(spark: SparkSession, tmp_path: Path, world: Storage, ranker):
    storage = Storage(str(tmp_path))
    write_planted(storage)
    find(spark, storage, "validation")
    find(spark, storage, "test", window=3)
    run_rank(spark, storage, "planted", LINEAR, seed=1)

    with pytest.raises(DataError, match="fitted on candidates with window 10, but candidates 'planted-test' have 3"):
        run_rank(spark, storage, "planted", RankerConfig(histories="test"), seed=1)


def test_what_is_missing_is_named(spark: SparkSession, tmp_path: Path, world: Storage):
    storage = Storage(str(tmp_path))
    write_planted(storage)

    with pytest.raises(DataError, match="candidates 'planted-validation': not there.*candidates.histories=validation"):
        run_rank(spark, storage, "planted", LINEAR, seed=1)
    with pytest.raises(DataError, match="rankers/none: not there or not finished. Run the job 'rank' first"):
        run_recommend(spark, world, "planted", "no-run", RecommendationConfig(ranker="none"))


def test_trees_order_lists_too(spark: SparkSession, world: Storage):
    pytest.importorskip("lightgbm", reason="needs the extra seqrec[ranker]")
    config = RankerConfig(name="trees", min_leaf_rows=20, num_trees=60, held_out_share=0.4)

    made = run_rank(spark, world, "planted", config, seed=1)
    lists = run_recommend(spark, world, "planted", "no-run", RecommendationConfig(ranker="trees", k=3))

    assert ndcg_of(made) > 0.5
    assert made.counts["trees"] >= 1
    assert sum(pq.read_table(world.local(file.path)).num_rows for file in lists.table("lists").files) == 500 * 3
