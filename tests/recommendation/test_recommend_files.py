"""Lists do not hang on the files that histories and candidates lie in, nor on an attempt at other files."""

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset
from seqrec.core.storage import Storage
from seqrec.neighbours.config import CandidatesConfig
from seqrec.recommendation.candidates.stage import run_candidates
from seqrec.recommendation.config import RecommendationConfig
from seqrec.recommendation.lists.recommender import HISTORY, NO_HISTORY
from seqrec.recommendation.lists.stage import recommend_recipe, run_recommend
from seqrec.recommendation.lists.write_lists import LISTS
from tests.recommendation.conftest import SMALL
from tests.recommendation.world import events_of, item_id, items_of, lists_of, users, write_run, write_world


def test_run_recommend_places_own_items_by_their_user_alone(spark: SparkSession, tmp_path: Path):
    storage = Storage(str(tmp_path))
    write_run(storage, write_world(storage), "a2svd", "a2svd")
    # Lists of unlike lengths: popularity would fill them all up.
    run_candidates(spark, storage, "small", CandidatesConfig(sources=("co_visitation",), num_neighbours=3))
    newest = max(events_of(number)[1][-1] for number in range(len(users())))
    now = datetime.fromtimestamp(newest, tz=timezone.utc).isoformat()

    def found(**settings) -> dict[str, list[dict]]:
        config = RecommendationConfig(k=40, exclude_own_items=False, **settings)
        return lists_of(storage, run_recommend(spark, storage, "small", "a2svd", config, force=True))

    everyone = found()
    assert any(row["source"] == HISTORY for rows in everyone.values() for row in rows)
    assert len({len(rows) for rows in everyone.values()}) > 2
    # Candidates as of the newest event are found anew, not read.
    some = tuple(users()[::4])
    for others in (found(batch_size=7), found(users=some), found(users=some, batch_size=7), found(as_of=now)):
        for user, rows in others.items():
            assert [row["score"] for row in rows] == pytest.approx([row["score"] for row in everyone[user]], abs=1e-4)
            assert items_of(rows) == items_of(everyone[user])


def test_run_recommend_does_not_go_on_with_lists_of_other_files(spark: SparkSession, tmp_path: Path):
    storage = Storage(str(tmp_path))
    write_run(storage, write_world(storage, num_files=3), "a2svd", "a2svd")
    run_candidates(spark, storage, "small", SMALL)
    run_recommend(spark, storage, "small", "a2svd", RecommendationConfig(k=7))
    for file in ("_manifest.json", "_published.json"):  # As if killed just before the end.
        storage.delete(f"recommendations/a2svd/{file}")
    write_world(storage, num_files=7)
    run_candidates(spark, storage, "small", SMALL, force=True)

    manifest = run_recommend(spark, storage, "small", "a2svd", RecommendationConfig(k=7))

    lists = lists_of(storage, manifest)
    assert sorted(lists) == users()
    assert {len(rows) for rows in lists.values()} == {7}


def test_run_recommend_refuses_candidates_of_other_files(spark: SparkSession, tmp_path: Path):
    storage = Storage(str(tmp_path))
    write_run(storage, write_world(storage, num_files=3), "a2svd", "a2svd")
    run_candidates(spark, storage, "small", SMALL)
    write_world(storage, num_files=7)

    with pytest.raises(DataError, match="candidates 'small' were made from other data than prepared 'small' holds"):
        run_recommend(spark, storage, "small", "a2svd", RecommendationConfig())


def test_run_recommend_refuses_lists_of_other_users(spark: SparkSession, tmp_path: Path):
    storage = Storage(str(tmp_path))
    write_run(storage, write_world(storage), "a2svd", "a2svd")
    run_candidates(spark, storage, "small", SMALL)
    config = RecommendationConfig(k=3)
    whole = run_recommend(spark, storage, "small", "a2svd", config)
    other = RecommendationConfig(k=3, candidate_weight=0.7)
    attempt = Dataset(storage, "recommendations", "a2svd").begin(recommend_recipe(storage, "small", "a2svd", other))
    kept = whole.table(LISTS).files[0].path
    storage.write_bytes(f"{attempt.path}/{LISTS}/part-00000.parquet", storage.read_bytes(kept))
    storage.write_bytes(f"{attempt.path}/{LISTS}/part-00000.parquet.json", json.dumps({"users": 13}).encode())

    with pytest.raises(DataError, match="73 users instead of 90"):
        run_recommend(spark, storage, "small", "a2svd", other)


def test_run_recommend_counts_the_events_of_a_histories_file_that_are_newer_than_the_data(
    spark: SparkSession, world: Storage, tmp_path: Path
):
    items, times = events_of(4)
    ids = [item_id(index) for index in items]
    everyone = lists_of(world, run_recommend(spark, world, "small", "a2svd", RecommendationConfig(k=7)))
    taken = everyone["user004"][0]["item_id"]
    later = max(events_of(number)[1][-1] for number in range(len(users()))) + 86_400
    rows = [
        {"user_id": "went on", "item_ids": [*ids, taken], "timestamps": [*times, later]},
        {"user_id": "new", "item_ids": [item_id(5)], "timestamps": [later]},
    ]
    file = tmp_path / "histories.json"
    file.write_text("\n".join(json.dumps(row) for row in rows))
    config = RecommendationConfig(k=60, histories_file=str(file))

    found = lists_of(world, run_recommend(spark, world, "small", "a2svd", config))

    assert taken not in items_of(found["went on"])
    assert NO_HISTORY not in {row["source"] for row in found["new"]}
