"""A small world on disk: prepared data written by hand, and a run with the weights of an untrained model."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import yaml
from pyspark.sql import SparkSession

from seqrec.core.manifest import Dataset, Manifest, Recipe
from seqrec.core.storage import Storage
from seqrec.models.config import ModelConfig
from seqrec.preparation import schemas
from seqrec.tables.files import write_table

DAY = 86_400
NUM_ITEMS = 40
NUM_TRAINED = 36
NUM_CATEGORIES = 4
MAX_STORED_HISTORY = 6


def item_category() -> np.ndarray:
    category = np.arange(NUM_ITEMS + 1, dtype=np.int32) % (NUM_CATEGORIES + 1)
    category[0] = 0
    return category


def evaluation_rows(num_users: int, split: str, num_negatives: int = 9) -> list[tuple]:
    """Rows that break no rule; some targets are repeated, some not seen in training."""
    rows = []
    for user in range(num_users):
        random = np.random.default_rng([user, 7])
        length = int(random.integers(2, 12))
        items = [int(item) for item in random.integers(1, NUM_ITEMS + 1, length + 1)]
        times = [int(time) * DAY for time in np.sort(random.integers(1_000, 1_400, length + 1))]
        position = length - 1 if split == "validation" else length
        negatives = [
            int(item) for item in random.permutation(np.delete(np.arange(1, NUM_ITEMS + 1), items[position] - 1))
        ]
        start = max(0, position - MAX_STORED_HISTORY)
        history = (items[start:position], times[start:position])
        rows.append(
            (f"user{user}", position, *history, times[0], items[position], times[position], negatives[:num_negatives])
        )
    return rows


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path))


@pytest.fixture
def prepare_small(spark: SparkSession, storage: Storage) -> Callable[..., Manifest]:
    def prepare(
        name: str = "small",
        *,
        num_users: int = 60,
        test: list[tuple] | None = None,
        validation: list[tuple] | None = None,
        settings: dict | None = None,
        num_files: int = 3,
    ) -> Manifest:
        test = evaluation_rows(num_users, "test") if test is None else test
        validation = evaluation_rows(num_users, "validation", 4) if validation is None else validation
        train = [
            (row[0], row[2][:-1] or row[2], row[3][:-1] or row[3], row[4], 1 if len(row[2]) > 2 else 0)
            for row in validation
        ]
        counts = np.bincount([item for row in train for item in row[1]], minlength=NUM_ITEMS + 1)
        category = item_category()
        items = [(i, f"item{i * 7 % 41:02d}", int(category[i]), int(counts[i])) for i in range(1, NUM_ITEMS + 1)]
        categories = [(i, f"kind {i}", 10) for i in range(1, NUM_CATEGORIES + 1)]
        dataset = Dataset(storage, "prepared", name)
        recipe = Recipe(stage="prepare", settings={"negative_sampling": "uniform", **(settings or {})}, inputs={})
        attempt = dataset.begin(recipe)
        contents = {
            "vocabulary/items": (items, schemas.VOCABULARY_ITEMS),
            "vocabulary/categories": (categories, schemas.VOCABULARY_CATEGORIES),
            "sequences/train": (train, schemas.TRAIN),
            "sequences/validation": (validation, schemas.EVALUATION),
            "sequences/test": (test, schemas.EVALUATION),
        }
        tables = {
            table: write_table(spark.createDataFrame(rows, schema).repartition(num_files), attempt, table)
            for table, (rows, schema) in contents.items()
        }
        details = {
            "num_trained_items": NUM_TRAINED,
            "num_items": NUM_ITEMS,
            "num_categories": NUM_CATEGORIES,
            "num_negatives": {"validation": 4, "test": 9},
            "max_stored_history": MAX_STORED_HISTORY,
            "tie_order": "hash",
            "split": "leave_last_out",
        }
        return attempt.publish(tables=tables, counts={"users": num_users}, details=details)

    return prepare


@pytest.fixture
def train_stand_in(storage: Storage) -> Callable[..., Manifest]:
    """Publishes a run with the weights that a model starts from, made large enough to tell items apart."""

    def train(prepared: Manifest, name: str = "small-a2svd", *, model: str = "a2svd", seed: int = 3) -> Manifest:
        from seqrec.models.registry import build_model
        from seqrec.models.vocabulary import ModelVocabulary
        from seqrec.models.weights import save_weights

        config = ModelConfig(name=model, initial_std=0.5, max_history_length=5, layer_sizes=(8,), dropout=(0.0,))
        vocabulary = ModelVocabulary(
            num_trained_items=NUM_TRAINED, num_categories=NUM_CATEGORIES, item_category=item_category()
        )
        attempt = Dataset(storage, "runs", name).begin(
            Recipe(stage="train", settings={"seed": seed, "model": model}, inputs={"prepared": prepared.content})
        )
        local = storage.local(attempt.path)
        assert local is not None
        local.mkdir(parents=True)
        save_weights(build_model(config, vocabulary, seed), local / "weights.npz")
        storage.write_bytes(f"{attempt.path}/config.yaml", yaml.safe_dump({"model": _plain(asdict(config))}).encode())
        tables = {table: prepared.tables[table] for table in ("vocabulary/items", "vocabulary/categories")}
        return attempt.publish(tables=tables, counts={}, details=prepared.details, content=f"weights {model} {seed}")

    return train


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return list(value) if isinstance(value, tuple) else value
