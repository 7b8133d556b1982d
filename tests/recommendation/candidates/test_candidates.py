import logging
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset
from seqrec.core.storage import Storage
from seqrec.neighbours.config import CANDIDATES, CandidatesConfig
from seqrec.recommendation.candidates.stage import candidates_recipe, run_candidates
from tests.recommendation.conftest import SMALL
from tests.recommendation.world import NUM_USERS, PLANTED, events_of, read_candidates, users, write_world


@pytest.fixture(scope="module")
def latest(spark: SparkSession, world: Storage):
    return read_candidates(world, run_candidates(spark, world, "small", SMALL))


@pytest.fixture(scope="module")
def measured(spark: SparkSession, world: Storage):
    config = CandidatesConfig(histories="test", max_candidates=25, num_neighbours=10)
    manifest = run_candidates(spark, world, "small", config)
    return manifest, read_candidates(world, manifest)


def test_run_candidates_gives_every_user_as_many_as_wanted_and_none_of_their_own(latest):
    assert sorted(latest) == users()
    for number, user in enumerate(users()):
        assert len(latest[user]) == 25
        assert not set(latest[user]) & set(events_of(number)[0])
        assert min(latest[user]) >= 1


def test_run_candidates_finds_a_pair_of_the_latest_events(latest):
    assert latest["user002"][PLANTED[1]] == "co_visitation"


def test_run_candidates_measures_without_pairs_of_test_events(measured):
    _, candidates = measured

    assert not any(PLANTED[1] in found for found in candidates.values())


def test_run_candidates_measures_recall_of_the_test_targets(measured):
    manifest, candidates = measured
    targets = {user: events_of(number)[0][-1] for number, user in enumerate(users())}

    recall = manifest.details["recall"]["all"]

    found = [candidates[user].get(target) for user, target in targets.items()]
    assert recall["rows"] == NUM_USERS
    assert recall["recall"] == pytest.approx(np.mean([source is not None for source in found]))
    assert recall["by co_visitation"] == pytest.approx(np.mean([source == "co_visitation" for source in found]))


def test_run_candidates_uses_the_metadata_graph(spark: SparkSession, world: Storage):
    config = CandidatesConfig(sources=("also_bought", "also_viewed"), max_candidates=9)
    storage = Storage(f"{world.root}/graph")
    write_world(storage)

    candidates = read_candidates(storage, run_candidates(spark, storage, "small", config))

    takers = [user for number, user in enumerate(users()) if 5 in events_of(number)[0]]
    assert takers
    for number, user in enumerate(users()):
        own = events_of(number)[0]
        wanted = {7: "also_bought", 9: "also_viewed"} if user in takers else {}
        assert candidates[user] == {item: source for item, source in wanted.items() if item not in own}


def test_run_candidates_does_not_depend_on_the_partitioning(
    spark: SparkSession, world: Storage, caplog: pytest.LogCaptureFixture
):
    # The same rows in other files, counted by other tasks.
    storage = Storage(f"{world.root}/other")
    write_world(storage, num_files=5)

    with caplog.at_level(logging.INFO, logger="seqrec"):
        manifest = run_candidates(spark, storage, "small", SMALL)

    assert f"candidates: {NUM_USERS * 25:,} for {NUM_USERS} users" in caplog.text
    expected = run_candidates(spark, world, "small", SMALL)
    assert manifest.tables[CANDIDATES].content == expected.tables[CANDIDATES].content


def test_run_candidates_is_skipped_when_nothing_has_changed(spark: SparkSession, world: Storage):
    first = run_candidates(spark, world, "small", SMALL)

    again = run_candidates(spark, world, "small", SMALL)

    assert again.id == first.id
    assert candidates_recipe(world, "small", SMALL).digest == first.recipe
    other = CandidatesConfig(max_candidates=26, num_neighbours=10)
    assert candidates_recipe(world, "small", other).digest != first.recipe


def test_candidates_recipe_knows_the_files_of_the_histories(tmp_path: Path):
    storage = Storage(str(tmp_path))
    content = write_world(storage, num_files=3).content
    recipe = candidates_recipe(storage, "small", SMALL)

    again = write_world(storage, num_files=7).content

    assert again == content
    assert candidates_recipe(storage, "small", SMALL).digest != recipe.digest


def test_run_candidates_refuses_rows_that_are_not_its_own(spark: SparkSession, tmp_path: Path):
    storage = Storage(str(tmp_path))
    write_world(storage)
    whole = run_candidates(spark, storage, "small", SMALL)
    dataset = Dataset(storage, "candidates", "small")
    other = CandidatesConfig(max_candidates=24, num_neighbours=10)
    attempt = dataset.begin(candidates_recipe(storage, "small", other))
    kept = whole.table(CANDIDATES).files[0].path
    storage.write_bytes(f"{attempt.path}/{CANDIDATES}/part-00009.parquet", storage.read_bytes(kept))

    with pytest.raises(DataError, match="120 users instead of 90"):
        run_candidates(spark, storage, "small", other)

    assert dataset.require("candidates").id == whole.id
