"""Training that starts from another run's weights."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from seqrec.core import columns as C
from seqrec.core.errors import ConfigError
from seqrec.core.manifest import Dataset, Manifest, Recipe, Table
from seqrec.core.storage import Storage
from seqrec.events.vocabulary import read_vocabulary
from seqrec.models.config import ModelConfig
from seqrec.models.contract import SequenceModel
from seqrec.models.registry import build_model
from seqrec.models.weights import save_weights
from seqrec.preparation.config import PreparationConfig
from seqrec.training.optimizer_config import OptimizerConfig
from seqrec.training.stage import run_train
from seqrec.training.warm_start import start_from_run
from tests.feed.prepared_data import write_rows
from tests.preparation.ingested import DAY, publish_ingested, read_rows, reviews_of
from tests.training.small_runs import SEED, arrays, small_model, small_training

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Train = Callable[..., Manifest]
NO_ROWS = Table(rows=0, content="0" * 16, files=())


def with_tables(manifest: Manifest, tables: dict[str, Table], **details: int) -> Manifest:
    return replace(manifest, tables={**manifest.tables, **tables}, details={**manifest.details, **details})


def items_of(storage: Storage, names: Sequence[str], category: int) -> Table:
    rows = [
        {C.ITEM_INDEX: i, C.ITEM: name, C.CATEGORY_INDEX: category, C.TRAIN_COUNT: 1}
        for i, name in enumerate(names, start=1)
    ]
    return write_rows(storage, f"other/items-{category}", [rows])


def model_for(storage: Storage, prepared: Manifest) -> SequenceModel:
    return build_model(small_model(), read_vocabulary(storage, prepared), 5)


def test_run_train_starts_from_another_run(
    train: Train, prepared: tuple[Storage, Manifest], finished: Manifest, tmp_path: Path
) -> None:
    scratch = train(num_epochs=1, run="from-scratch")

    warm = train(num_epochs=1, start_from="finished", scratch=str(tmp_path / "not there yet"))

    assert warm.details["best"]["loss"] < scratch.details["best"]["loss"] - 0.05
    assert warm.inputs["start_from"] == finished.content


def test_start_from_run_matches_items_by_id(prepared: tuple[Storage, Manifest], finished: Manifest) -> None:
    storage, manifest = prepared
    items = items_of(storage, ["item 7", "a new one", "item 3"], category=1)
    other = with_tables(manifest, {"vocabulary/items": items}, num_trained_items=3)
    model = model_for(storage, other)
    drawn = model.named_variables()["embedding/items"].numpy()

    taken = start_from_run(storage, "finished", model, other)

    weights = arrays(storage, f"runs/finished/{finished.id}/weights.npz")
    values = model.named_variables()["embedding/items"].numpy()
    assert taken == {"embedding/items": 2, "embedding/categories": 5}
    assert np.array_equal(values[[0, 1, 3]], weights["embedding/items"][[0, 7, 3]])
    assert np.array_equal(values[2], drawn[2])
    assert np.array_equal(model.named_variables()["tower/kernel_0"].numpy(), weights["tower/kernel_0"])


def test_start_from_run_with_data_without_categories(prepared: tuple[Storage, Manifest], finished: Manifest) -> None:
    storage, manifest = prepared
    items = items_of(storage, ["item 7", "item 3"], category=0)
    tables = {"vocabulary/items": items, "vocabulary/categories": NO_ROWS}
    other = with_tables(manifest, tables, num_trained_items=2, num_categories=0)

    taken = start_from_run(storage, "finished", model_for(storage, other), other)

    assert taken == {"embedding/items": 2, "embedding/categories": 0}


def test_ratings_alone_are_trained_started_from_and_prepared_for_again(spark: "SparkSession", storage: Storage) -> None:
    from seqrec.preparation.stage import run_prepare

    reviews = [(f"user {user}", f"item {(user + day) % 8}", day * DAY) for user in range(40) for day in range(6)]
    preparing = PreparationConfig(min_interactions=0, num_streams_max=2, min_targets_per_file=1, num_test_negatives=2)
    still = small_training(
        num_epochs=1, num_streams=2, global_batch_size=20, optimizer=OptimizerConfig(learning_rate=1e-30)
    )
    publish_ingested(spark, storage, reviews_of(*reviews))
    prepared = run_prepare(spark, storage, "small", preparing, 7)
    old = run_train(storage, "small", "old", small_model(), replace(still, optimizer=OptimizerConfig()), SEED, False)

    started = run_train(storage, "small", "started", small_model(), replace(still, start_from="old"), SEED, False)
    again = run_prepare(spark, storage, "small", replace(preparing, vocabulary="old"), 7)

    assert prepared.table("vocabulary/categories").files == ()
    weights = [arrays(storage, f"runs/{run.name}/{run.id}/weights.npz")["embedding/items"] for run in (old, started)]
    assert np.array_equal(*weights)
    assert again.table("vocabulary/categories").rows == 0
    assert read_rows(storage, again, "vocabulary/items") == read_rows(storage, old, "vocabulary/items")

    # And from there to data with categories.
    named = write_rows(storage, "named", [[{C.CATEGORY_INDEX: 1, C.CATEGORY: "Toys"}]])
    richer = with_tables(prepared, {"vocabulary/categories": named}, num_categories=1)
    taken = start_from_run(storage, "old", model_for(storage, richer), richer)
    assert taken == {"embedding/items": 8, "embedding/categories": 0}


def test_run_train_refuses_to_start_from_another_model(train: Train, finished: Manifest) -> None:
    with pytest.raises(ConfigError, match="training.start_from=finished: .*Use the same model settings"):
        train(start_from="finished", model=small_model(layer_sizes=(8, 8)))


def publish_run(storage: Storage, model: SequenceModel, prepared: Manifest, folder: Path) -> None:
    """Publishes `runs/by-hand` with the weights of a model."""
    attempt = Dataset(storage, "runs", "by-hand").begin(Recipe(stage="train", settings={}, inputs={}))
    save_weights(model, folder / "weights.npz")
    storage.upload(folder / "weights.npz", f"{attempt.path}/weights.npz")
    tables = {name: table for name, table in prepared.tables.items() if name.startswith("vocabulary/")}
    attempt.publish(tables=tables, counts={}, details=prepared.details)


def test_start_from_run_matches_the_rows_of_every_declared_table(
    prepared: tuple[Storage, Manifest], tmp_path: Path
) -> None:
    storage, manifest = prepared
    output = {"tied_output": False, "output_bias": True}
    config = ModelConfig(name="gru4rec", max_history_length=8, options={"gru4rec": output})
    old = build_model(config, read_vocabulary(storage, manifest), 5)
    for table in old.tables:
        table.variable.assign(np.random.default_rng(1).normal(size=table.variable.shape))
    publish_run(storage, old, manifest, tmp_path)
    items = items_of(storage, ["item 7", "a new one", "item 3"], category=1)
    other = with_tables(manifest, {"vocabulary/items": items}, num_trained_items=3)
    model = build_model(config, read_vocabulary(storage, other), 6)
    drawn = {name: variable.numpy() for name, variable in model.named_variables().items()}

    taken = start_from_run(storage, "by-hand", model, other)

    assert taken == {
        "embedding/items": 2,
        "embedding/categories": 5,
        "output/items": 2,
        "output/categories": 5,
        "output/bias": 2,
    }
    for name in ("embedding/items", "output/items", "output/bias"):
        before, after = old.named_variables()[name].numpy(), model.named_variables()[name].numpy()
        assert np.array_equal(after[[0, 1, 3]], before[[0, 7, 3]])
        assert np.array_equal(after[[2, 4]], drawn[name][[2, 4]])  # The new item, and the row of unknown ones.
