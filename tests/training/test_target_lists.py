"""Negatives from the candidates of training targets: refusals, exact resume, and that the model learns from them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqrec.core import columns as C
from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset, Manifest, Recipe
from seqrec.core.storage import Storage
from seqrec.events.histories import files_digest
from seqrec.training.objectives.config import LossConfig
from seqrec.training.stage import run_train
from tests.feed.prepared_data import write_prepared, write_rows
from tests.training.small_runs import SEED, differing, newest_checkpoint, small_model, small_training

HARD = LossConfig(num_negatives=4, negatives="popularity", candidates_share=0.5)
TYPES = {C.TARGET_ITEM: pa.int32(), C.CANDIDATE_ITEMS: pa.list_(pa.int32())}


def write_lists(storage: Storage, prepared: Manifest, list_of: Callable[[int], list[int]]) -> None:
    """Publishes `candidates/toy-train` with a list for each target that depends on its item alone."""
    inputs = {"prepared": prepared.content, "files": files_digest(prepared, "train")}
    recipe = Recipe(stage="candidates", settings={"max_candidates": 6, "histories": "train"}, inputs=inputs)
    attempt = Dataset(storage, "candidates", "toy-train").begin(recipe)
    files = []
    for file in prepared.table("sequences/train").files:
        path = storage.local(file.path)
        assert path is not None
        rows = pq.read_table(path).to_pylist()
        targets = [item for row in rows for item in row[C.ITEM_INDICES][row[C.NUM_CONTEXT] :]]
        files.append([{C.TARGET_ITEM: item, C.CANDIDATE_ITEMS: list_of(item)} for item in targets])
    attempt.publish(tables={"candidates": write_rows(storage, f"{attempt.path}/candidates", files, TYPES)}, counts={})


def others(item: int) -> list[int]:
    return [other for other in range(1, 7) if other != item]


@pytest.fixture
def world(tmp_path: Path) -> tuple[Storage, Manifest]:
    storage, prepared = write_prepared(tmp_path)
    write_lists(storage, prepared, others)
    return storage, prepared


def test_training_without_the_lists_names_the_job_that_makes_them(tmp_path: Path) -> None:
    storage, _ = write_prepared(tmp_path)

    with pytest.raises(DataError, match=r"candidates\.histories=train first, or set training.loss.candidates_share=0"):
        run_train(storage, "toy", "run", small_model(), small_training(loss=HARD), SEED, False)


def test_lists_of_other_data_are_refused(world: tuple[Storage, Manifest]) -> None:
    storage, _ = world
    write_prepared(Path(storage.root), seed=2)

    with pytest.raises(DataError, match="not of the data as prepared now"):
        run_train(storage, "toy", "run", small_model(), small_training(loss=HARD), SEED, False)


def test_a_run_that_goes_on_ends_in_the_same_bits(world: tuple[Storage, Manifest]) -> None:
    storage, _ = world
    whole = run_train(storage, "toy", "whole", small_model(), small_training(loss=HARD), SEED, False)
    run_train(storage, "toy", "parts", small_model(), small_training(loss=HARD, num_epochs=1), SEED, False)

    longer = run_train(storage, "toy", "parts", small_model(), small_training(loss=HARD), SEED, False)

    assert not differing(newest_checkpoint(storage, longer), newest_checkpoint(storage, whole))


def test_other_lists_make_another_run(world: tuple[Storage, Manifest]) -> None:
    storage, prepared = world
    first = run_train(storage, "toy", "run", small_model(), small_training(loss=HARD), SEED, False)
    write_lists(storage, prepared, lambda item: others(item)[:2])

    second = run_train(storage, "toy", "run", small_model(), small_training(loss=HARD), SEED, False)

    assert first.inputs["candidates"] != second.inputs["candidates"]
    assert first.content != second.content


def test_listed_items_get_lower_logits_than_they_would(world: tuple[Storage, Manifest]) -> None:
    """Items 1 to 6 are in every list: as negatives of every target they fall behind the other items."""
    storage, prepared = world
    ranks = {}
    for name, loss in (("hard", HARD), ("plain", LossConfig(num_negatives=4, negatives="popularity"))):
        training = small_training(loss=loss, num_epochs=4)
        manifest = run_train(storage, "toy", name, small_model(), training, SEED, False)
        ranks[name] = mean_logit_rank(storage, prepared, manifest)

    assert ranks["hard"] > ranks["plain"] + 10


def mean_logit_rank(storage: Storage, prepared: Manifest, run: Manifest) -> float:
    """Mean place, from 0 for the best of 60, of items 1 to 6 by the logits for one history."""
    from seqrec.core.batch import History
    from seqrec.events.vocabulary import read_vocabulary
    from seqrec.models.config import ModelConfig
    from seqrec.scoring.loaded_model import StoredModel, read_model

    config = ModelConfig(**{**run.details["model"], "layer_sizes": (16, 8), "dropout": (0.3, 0.3)})
    path = f"runs/{run.name}/{run.id}/{run.details['weights']}"
    model = read_model(StoredModel(storage.root, path, config, read_vocabulary(storage, prepared), 1))
    items = np.zeros([1, 1, 8], np.int32)
    items[0, 0, :3] = [20, 30, 40]
    seconds = np.zeros([1, 1, 8], np.float32)
    history = History(items, np.array([[3]], np.int32), seconds, seconds)
    logits = model.score(model.encode(history), np.arange(1, 61, dtype=np.int32)[None, None]).numpy()[0, 0]
    places = np.argsort(np.argsort(-logits))
    return float(places[:6].mean())
