"""Candidates from the whole catalogue by a retrieval run, alone and merged with the other sources."""

import logging
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset
from seqrec.core.storage import Storage
from seqrec.events.histories import read_histories
from seqrec.events.rows import HistoryRows
from seqrec.events.vocabulary import read_vocabulary
from seqrec.neighbours.config import FINDERS, CandidatesConfig
from seqrec.recommendation.candidates.sources import open_sources, published_run
from seqrec.recommendation.candidates.stage import candidates_recipe, run_candidates
from tests.recommendation.world import NUM_ITEMS, events_of, read_candidates, users, write_run, write_world

NUM_TRAINED = 56
ALONE = CandidatesConfig(sources=("retrieval",), retrieval_run="sasrec", max_candidates=20)
MERGED = CandidatesConfig(retrieval_run="sasrec", max_candidates=25, num_neighbours=10)


@pytest.fixture(scope="module")
def storage(spark: SparkSession, world: Storage) -> Storage:
    """A world of its own, since candidates of another recipe replace those that other tests read."""
    storage = Storage(f"{world.root}/retrieval")
    prepared = write_world(storage)
    for model in ("sasrec", "a2svd"):
        write_run(storage, prepared, model, model)
    return storage


def logits_of(storage: Storage, rows: HistoryRows) -> np.ndarray:
    """The model's logits of all items after each history, float32 [B, number of items], straight from the model."""
    import tensorflow as tf

    from seqrec.scoring.loaded_model import read_model
    from seqrec.scoring.run import read_run
    from seqrec.scoring.scorer import stored_model

    run = read_run(storage, "sasrec")
    model = read_model(stored_model(storage, run, read_vocabulary(storage, run.manifest), num_threads=1))
    state = model.encode(rows.windows(run.config.max_history_length))
    return model.score(state, tf.range(1, NUM_ITEMS + 1)).numpy()[0]


def test_run_candidates_takes_the_best_of_the_catalogue_by_a_full_sort(spark: SparkSession, storage: Storage):
    manifest = run_candidates(spark, storage, "small", ALONE)

    found = read_candidates(storage, manifest)
    assert sorted(found) == users()
    prepared = Dataset(storage, "prepared", "small").require("prepare")
    for file in prepared.table("sequences/latest").files:
        for rows in read_histories(storage, file.path, 100, int(manifest.details["newest_timestamp"])):
            for place, (user, logits) in enumerate(zip(rows.users.to_pylist(), logits_of(storage, rows), strict=True)):
                own = set(rows.take(np.array([place])).items.values.tolist())
                order = sorted(range(1, NUM_ITEMS + 1), key=lambda item: (-logits[item - 1], item))
                expected = [item for item in order if item <= NUM_TRAINED and item not in own][:20]
                assert list(found[user]) == expected
                assert set(found[user].values()) == {"retrieval"}


def test_run_candidates_merges_the_run_with_the_other_sources(spark: SparkSession, storage: Storage):
    alone = read_candidates(storage, run_candidates(spark, storage, "small", ALONE))
    others = CandidatesConfig(max_candidates=25, num_neighbours=10)
    without = read_candidates(storage, run_candidates(spark, storage, "small", others))

    merged = read_candidates(storage, run_candidates(spark, storage, "small", MERGED))

    for user in users():
        assert len(merged[user]) == 25
        first_half = list(alone[user])[:10]  # With a stride of 1 each, every second place is the run's own.
        assert set(first_half) <= set(merged[user])
        assert next(iter(merged[user])) == first_half[0]
        assert set(merged[user]) <= set(alone[user]) | set(without[user])


def test_run_candidates_measures_the_run_beside_the_others(spark: SparkSession, storage: Storage):
    config = CandidatesConfig(retrieval_run="sasrec", histories="test", max_candidates=25, num_neighbours=10)

    manifest = run_candidates(spark, storage, "small", config)

    found = read_candidates(storage, manifest)
    recall = manifest.details["recall"]["all"]
    sources = [found[user].get(events_of(number)[0][-1]) for number, user in enumerate(users())]
    assert recall["recall"] == pytest.approx(np.mean([source is not None for source in sources]))
    assert recall["by retrieval"] == pytest.approx(np.mean([source == "retrieval" for source in sources]))
    assert 0 < recall["by retrieval"] <= recall["alone retrieval"]


def test_recommender_finds_the_candidates_that_the_stage_wrote(spark: SparkSession, storage: Storage):
    manifest = run_candidates(spark, storage, "small", MERGED)
    prepared = Dataset(storage, "prepared", "small").require("prepare")
    run = published_run(storage, manifest, prepared)
    sources = open_sources(storage, manifest, run, read_vocabulary(storage, prepared))
    written = read_candidates(storage, manifest)

    for file in prepared.table("sequences/latest").files:
        for one in read_histories(storage, file.path, 1, int(manifest.details["newest_timestamp"])):
            found = sources.find(one)
            names = [FINDERS[source] for source in found.sources[0][: found.counts[0]]]
            assert dict(zip(found.items[0].tolist(), names, strict=False)) == written[one.users[0].as_py()]


def test_run_candidates_counts_users_whose_items_the_run_does_not_know(
    spark: SparkSession, storage: Storage, caplog: pytest.LogCaptureFixture
):
    newest = int(Dataset(storage, "candidates", "small").require("candidates").details["newest_timestamp"])
    prepared = Dataset(storage, "prepared", "small").require("prepare")
    strangers = 0
    for file in prepared.table("sequences/latest").files:
        for one in read_histories(storage, file.path, 1, newest):
            strangers += bool(min(one.items.values[-6:]) > NUM_TRAINED)  # The run reads six events.

    with caplog.at_level(logging.INFO, logger="seqrec"):
        manifest = run_candidates(spark, storage, "small", MERGED, force=True)

    assert manifest.counts["users_without_retrieval"] == strangers


def test_candidates_recipe_knows_the_weights_of_the_run_and_nothing_new_without_one(tmp_path: Path):
    storage = Storage(str(tmp_path))
    prepared = write_world(storage)
    write_run(storage, prepared, "sasrec", "sasrec")
    recipe = candidates_recipe(storage, "small", MERGED)
    plain = candidates_recipe(storage, "small", CandidatesConfig())

    assert recipe.inputs["retrieval"] == "weights of sasrec"
    assert "retrieval" not in plain.inputs
    assert "retrieval_run" not in plain.settings
    assert plain.settings["sources"] == [
        *("co_visitation", "also_bought", "also_viewed", "category_popularity", "popularity")
    ]


def test_run_candidates_refuses_a_run_of_a_ranking_model(spark: SparkSession, storage: Storage):
    with pytest.raises(DataError, match="run 'a2svd' is of 'a2svd', a ranking model. Name a run of sasrec or gru4rec"):
        run_candidates(spark, storage, "small", CandidatesConfig(retrieval_run="a2svd"))


def test_run_candidates_refuses_a_run_that_is_not_finished(spark: SparkSession, storage: Storage):
    with pytest.raises(DataError, match="not there or not finished. Run the job 'train' first"):
        run_candidates(spark, storage, "small", CandidatesConfig(retrieval_run="nobody"))


def test_measured_candidates_refuse_a_run_that_was_trained_on_other_data(tmp_path: Path):
    storage = Storage(str(tmp_path))
    prepared = write_world(storage)
    write_run(storage, prepared, "sasrec", "sasrec")
    manifest = storage.read_bytes("runs/sasrec/_manifest.json").decode().replace(prepared.content, "others")
    storage.write_bytes("runs/sasrec/_manifest.json", manifest.encode())
    config = CandidatesConfig(retrieval_run="sasrec", histories="validation")

    with pytest.raises(DataError, match=r"was trained on other data \(others\).* may know the validation targets"):
        candidates_recipe(storage, "small", config)
    candidates_recipe(storage, "small", CandidatesConfig(retrieval_run="sasrec"))


def test_published_run_refuses_weights_that_the_candidates_were_not_found_by(tmp_path: Path, spark: SparkSession):
    storage = Storage(str(tmp_path))
    prepared = write_world(storage)
    write_run(storage, prepared, "sasrec", "sasrec")
    candidates = run_candidates(spark, storage, "small", ALONE)
    manifest = storage.read_bytes("runs/sasrec/_manifest.json").decode().replace("weights of sasrec", "new weights")
    storage.write_bytes("runs/sasrec/_manifest.json", manifest.encode())

    with pytest.raises(DataError, match="were found by other weights of run 'sasrec' than it has now"):
        published_run(storage, candidates, prepared)


def test_candidates_config_refuses_the_source_without_a_run():
    with pytest.raises(ValueError, match="sources has retrieval, but retrieval_run is not set"):
        CandidatesConfig(sources=("popularity", "retrieval"))
