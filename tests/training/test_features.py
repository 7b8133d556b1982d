"""Training with features of items keeps the promises that it keeps without them."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqrec.core.errors import ConfigError, TrainingError
from seqrec.core.local_copies import save_array
from seqrec.core.manifest import Dataset, FileEntry, Manifest, Recipe, Table
from seqrec.core.storage import Storage
from seqrec.events.features import FeatureBlock
from seqrec.events.vocabulary import read_vocabulary
from seqrec.training import loop
from seqrec.training.optimizer_config import OptimizerConfig
from seqrec.training.stage import run_train
from tests.evaluation.worlds import write_rows
from tests.feed.prepared_data import write_prepared
from tests.training.small_runs import (
    SEED,
    arrays,
    ask_to_stop,
    checkpoint_of_step,
    counting,
    differing,
    newest_checkpoint,
    small_model,
    small_training,
)

BLOCKS = (FeatureBlock("colour", 1, 4, '{"size": 2}'), FeatureBlock("maker", 4, 7))
MODELS = {"sasrec": {"id_dropout": 0.3}, "a2svd": {"id_dropout": 0.3, "features": "concat", "feature_dim": 4}}

World = tuple[Storage, Manifest]


def with_features(storage: Storage, source: Manifest, name: str, recipe: str = BLOCKS[0].recipe) -> Manifest:
    """`prepared/<name>`: the same data, each item with two features."""
    from seqrec.tables.prepared_schemas import VOCABULARY_FEATURES

    attempt = Dataset(storage, "prepared", name).begin(Recipe(stage="prepare", settings={"name": name}, inputs={}))
    num_items = source.details["num_items"]
    items = np.arange(num_items + 1)
    rows = np.stack([1 + items % 3, 4 + items % 2], axis=1).astype(np.int32)
    weights = np.ones_like(rows, np.float16)
    rows[0] = weights[0] = 0
    names = [(row, f"value {row}") for row in range(1, 7)]
    tables = dict(source.tables)
    tables["vocabulary/features"] = write_rows(attempt, "vocabulary/features", names, VOCABULARY_FEATURES)
    for table, values in (("features/item_rows", rows), ("features/item_weights", weights)):
        path = f"{attempt.path}/{table}.npy"
        save_array(storage, path, values)
        size = len(storage.read_bytes(path))
        tables[table] = Table(rows=num_items, content="", files=(FileEntry(path=path, rows=num_items, size=size),))
    blocks = [asdict(replace(BLOCKS[0], recipe=recipe)), asdict(BLOCKS[1])]
    details = source.details | {"features": blocks, "num_feature_rows": 6}
    return attempt.publish(tables=tables, counts={}, details=details)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    storage, plain = write_prepared(tmp_path_factory.mktemp("features"))
    return storage, with_features(storage, plain, "featured")


@pytest.fixture
def train(world: World) -> Callable[..., Manifest]:
    def run(model: str, run: str, name: str = "featured", **changes: Any) -> Manifest:
        training = small_training(optimizer=OptimizerConfig(learning_rate=0.01), **changes)
        return run_train(world[0], name, run, small_model(name=model, **MODELS[model]), training, SEED, False)

    return run


@pytest.mark.parametrize("model", MODELS)
def test_training_resumes_in_mid_epoch_to_the_same_bits(
    world: World, train: Callable[..., Manifest], monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    unbroken = train(model, f"unbroken-{model}")
    with monkeypatch.context() as patched:
        patched.setattr(loop, "_end_step", counting(loop._end_step, 6, ask_to_stop))
        with pytest.raises(TrainingError, match="Stopped after step"):
            train(model, f"broken-{model}")

    resumed = train(model, f"broken-{model}")

    last = newest_checkpoint(world[0], unbroken)
    assert not differing(newest_checkpoint(world[0], resumed), last)
    assert last["embedding/features"].shape == (7, {"sasrec": 12, "a2svd": 4}[model])


def test_a_run_carries_its_features(world: World, train: Callable[..., Manifest]) -> None:
    storage, prepared = world
    run = train("sasrec", "carrier", num_epochs=1)

    own, others = (read_vocabulary(storage, manifest).features for manifest in (run, prepared))

    assert own is not None
    assert others is not None
    assert own.rows_path.startswith(f"runs/carrier/{run.id}/")
    assert own.blocks == others.blocks
    assert np.array_equal(own.rows(), others.rows())
    assert np.array_equal(own.weights(), others.weights())


def test_a_run_is_continued_only_with_features_of_the_same_declaration(
    world: World, train: Callable[..., Manifest], tmp_path: Path
) -> None:
    storage, prepared = world
    before = train("sasrec", "before", num_epochs=1)
    with_features(storage, prepared, "other", recipe='{"size": 9}')

    with pytest.raises(ConfigError, match="start_from=before: feature 'colour' is declared otherwise there"):
        train("sasrec", "after", name="other", start_from="before")

    still = OptimizerConfig(learning_rate=1e-30)
    training = replace(small_training(num_epochs=1, start_from="before"), optimizer=still)
    started = run_train(storage, "featured", "same", small_model(name="sasrec", id_dropout=0.3), training, SEED, False)
    tables = [
        arrays(storage, f"runs/{run.name}/{run.id}/weights.npz")["embedding/features"] for run in (before, started)
    ]
    np.testing.assert_allclose(tables[0], tables[1], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_two_workers_equal_one(world: World, train: Callable[..., Manifest], model: str) -> None:
    every_step = {"num_epochs": 1, "checkpoint_every_steps": 1, "keep_last": 100}
    alone = train(model, f"alone-{model}", **every_step)

    together = train(model, f"together-{model}", num_workers=2, launcher="horovodrun", **every_step)

    one, two = (checkpoint_of_step(world[0], manifest, 3) for manifest in (alone, together))
    for variable in one:
        # Adam turns rounding of the small gradients of a bias into a share of a step, here of 0.01.
        np.testing.assert_allclose(two[variable], one[variable], rtol=2e-3, atol=2e-4, err_msg=variable)
