import logging
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seqrec.core.errors import ConfigError, DataError
from seqrec.core.manifest import Dataset
from seqrec.core.storage import Storage
from seqrec.events.rows import UserHistories
from seqrec.recommendation.index.measure import sample_histories
from seqrec.recommendation.index.stage import run_index
from seqrec.scoring.index.config import IndexConfig
from seqrec.scoring.index.item_index import ItemIndex
from seqrec.scoring.run import read_run
from seqrec.scoring.scorer import own_items, run_scorer
from tests.recommendation.world import NUM_USERS, write_run, write_world

MODELS = ("sasrec", "gru4rec")
SMALL = IndexConfig(k=10, num_measured=40)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    storage = Storage(str(tmp_path_factory.mktemp("index")))
    prepared = write_world(storage)
    for model in (*MODELS, "a2svd"):
        write_run(storage, prepared, model, model)
    return storage


def histories_of(storage: Storage, num_histories: int = NUM_USERS, seed: int = 1) -> UserHistories:
    return sample_histories(storage, Dataset(storage, "prepared", "small").require("prepare"), num_histories, seed)


@pytest.mark.parametrize("model", MODELS)
def test_an_exact_index_lists_what_the_scorer_lists_of_the_whole_catalogue(storage: Storage, model: str) -> None:
    run_index(storage, "small", model, 1, SMALL)
    run, histories = read_run(storage, model), histories_of(storage)
    scorer = run_scorer(storage, run, pairs_at_once=10_000, num_threads=1)

    items, scores = ItemIndex.open(storage, run).search(scorer.states(histories), 57, own_items(histories))

    expected_items, expected_scores = scorer.best_of_catalogue(histories, 57, exclude_own_items=True)
    np.testing.assert_array_equal(items, expected_items)  # 56 items were trained on: padded in the same way.
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-5, atol=1e-5)


def test_run_index_states_recall_speed_and_size(storage: Storage, capsys: pytest.CaptureFixture) -> None:
    manifest = run_index(storage, "small", "sasrec", 1, SMALL, force=True)

    card = manifest.details["card"]
    assert card["recall"] == 1.0
    assert card["num_items"] == 56
    assert card["num_measured"] == 20  # The other half of 40 would have chosen how many lists are searched.
    assert card["users_per_core_second"] > 0
    lying_there = storage.list_files(f"runs/sasrec/index/{manifest.id}")
    assert card["bytes"] == sum(file.size for file in lying_there if not file.path.endswith("/_begun"))
    assert "recall@10" in capsys.readouterr().out


def test_an_approximate_index_reaches_the_recall_that_is_wanted(storage: Storage) -> None:
    pytest.importorskip("faiss", reason="needs the extra seqrec[index]")
    config = replace(SMALL, kind="approximate", num_lists=8, min_recall=0.9)
    manifest = run_index(storage, "small", "sasrec", 1, config)
    run, histories = read_run(storage, "sasrec"), histories_of(storage)
    states = run_scorer(storage, run, 10_000, 1).states(histories)

    index = ItemIndex.open(storage, run)
    found, _ = index.search(states, 10, own_items(histories))

    best, _ = ItemIndex(index.vectors).search(states, 10, own_items(histories))
    assert manifest.details["card"]["num_lists"] == 8
    assert 1 <= index.num_searched <= 8
    recall = np.mean([len(np.intersect1d(*rows)) / 10 for rows in zip(found, best, strict=True)])
    assert recall > 0.8
    assert manifest.details["card"]["recall"] == pytest.approx(recall, abs=0.1)


def test_run_index_is_skipped_until_the_weights_change(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    prepared = write_world(storage)
    write_run(storage, prepared, "sasrec", "sasrec")
    made = run_index(storage, "small", "sasrec", 1, SMALL)

    assert run_index(storage, "small", "sasrec", 1, SMALL) == made

    run = read_run(storage, "sasrec")
    trained_again = replace(run, manifest=replace(run.manifest, content="weights of tonight"))
    with pytest.raises(DataError, match=r"index of run 'sasrec' was made from other weights \(weights of sasrec\)"):
        ItemIndex.open(storage, trained_again)


def test_an_index_that_lacks_a_file_is_refused(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    write_run(storage, write_world(storage), "sasrec", "sasrec")
    run = read_run(storage, "sasrec")
    with pytest.raises(DataError, match="Run the job 'index' first"):
        ItemIndex.open(storage, run)

    made = run_index(storage, "small", "sasrec", 1, SMALL)
    storage.delete(made.table("item_vectors").files[0].path)

    with pytest.raises(DataError, match="item_vectors.npy: is missing. Run the job 'index' again"):
        ItemIndex.open(storage, run)


def test_a_catalogue_smaller_than_k_is_said(storage: Storage, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        run_index(storage, "small", "gru4rec", 1, IndexConfig(k=100, num_measured=5))

    assert "56 items with vectors, fewer than index.k (100)" in caplog.text


def test_a_ranking_run_has_nothing_to_index(storage: Storage) -> None:
    with pytest.raises(ConfigError, match="run 'a2svd' has the ranking model 'a2svd', which has no item vectors"):
        run_index(storage, "small", "a2svd", 1, SMALL)


def test_nothing_is_written_where_the_library_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(str(tmp_path))
    write_run(storage, write_world(storage), "sasrec", "sasrec")
    monkeypatch.setitem(sys.modules, "faiss", None)

    with pytest.raises(ConfigError, match="not installed"):
        run_index(storage, "small", "sasrec", 1, IndexConfig(kind="approximate"))

    assert storage.list_files("runs/sasrec/index") == []


def test_histories_are_drawn_by_the_seed(storage: Storage) -> None:
    first, again, other = (histories_of(storage, 30, seed) for seed in (1, 1, 2))

    assert len(first) == 30
    assert len(set(first.users.to_pylist())) == 30
    assert first.users.to_pylist() == again.users.to_pylist() != other.users.to_pylist()
