"""A small world on disk: prepared data written by hand, and a run with the weights of an untrained model."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from seqrec.core.manifest import Attempt, Dataset, FileEntry, Manifest, Recipe, Table, digest_of
from seqrec.core.storage import Storage
from seqrec.models.config import ModelConfig
from seqrec.tables import prepared_schemas as schemas

DAY = 86_400
NUM_ITEMS = 40
NUM_TRAINED = 36
NUM_CATEGORIES = 4
MAX_STORED_HISTORY = 6
MAX_HISTORY_LENGTH = 5

ITEM_CATEGORY = (np.arange(NUM_ITEMS + 1) % (NUM_CATEGORIES + 1)).astype(np.int32)


def evaluation_rows(num_users: int, split: str, num_negatives: int = 9) -> list[tuple]:
    """Rows that break no rule; some targets are repeated, some were not seen in training."""
    rows = []
    for user in range(num_users):
        random = np.random.default_rng([user, 7])
        length = int(random.integers(2, 12))
        items = [int(item) for item in random.integers(1, NUM_ITEMS + 1, length + 1)]
        times = [int(time) * DAY for time in np.sort(random.integers(1_000, 1_400, length + 1))]
        position = length - 1 if split == "validation" else length
        others = np.delete(np.arange(1, NUM_ITEMS + 1), items[position] - 1)
        negatives = [int(item) for item in random.permutation(others)[:num_negatives]]
        start = max(0, position - MAX_STORED_HISTORY)
        history = (items[start:position], times[start:position])
        target = (items[position], times[position])
        rows.append((f"user{user}", position, *history, times[0], *target, negatives))
    return rows


def train_rows(num_users: int) -> list[tuple]:
    """What lies before the validation events, as far as it is stored."""
    rows = evaluation_rows(num_users, "validation")
    return [(user, items, times, first, 1) for user, _, items, times, first, *_ in rows]


def train_counts(num_users: int) -> np.ndarray:
    events = [item for row in train_rows(num_users) for item in row[1]]
    return np.bincount(events, minlength=NUM_ITEMS + 1)


def write_prepared(
    storage: Storage, name: str, *, num_users: int = 60, num_files: int = 3, **tables: list[tuple]
) -> Manifest:
    """Publishes `prepared/<name>`; `tables` replaces the rows of single sequence tables. Without Spark: it is fast."""
    counts = train_counts(num_users)
    rows = {
        "vocabulary/items": [
            (i, f"item{i * 7 % 41:02d}", int(ITEM_CATEGORY[i]), int(counts[i])) for i in range(1, NUM_ITEMS + 1)
        ],
        "vocabulary/categories": [(i, f"kind {i}", 10) for i in range(1, NUM_CATEGORIES + 1)],
        "sequences/train": tables.get("train", train_rows(num_users)),
        "sequences/validation": tables.get("validation", evaluation_rows(num_users, "validation", 4)),
        "sequences/test": tables.get("test", evaluation_rows(num_users, "test")),
    }
    kinds = {
        "vocabulary/items": schemas.VOCABULARY_ITEMS,
        "vocabulary/categories": schemas.VOCABULARY_CATEGORIES,
        "sequences/train": schemas.TRAIN,
    }
    settings = {"negative_sampling": "uniform"}
    attempt = Dataset(storage, "prepared", name).begin(Recipe(stage="prepare", settings=settings, inputs={}))
    written = {
        table: write_rows(attempt, table, content, kinds.get(table, schemas.EVALUATION), num_files)
        for table, content in rows.items()
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
    return attempt.publish(tables=written, counts={"users": num_users}, details=details)


def write_rows(attempt: Attempt, name: str, rows: list[tuple], schema: StructType, num_files: int = 1) -> Table:
    """Parquet files of some rows, as a manifest lists them."""
    arrow_schema = to_arrow_schema(schema)
    files = []
    for number in range(num_files):
        part = rows[number::num_files]
        columns = list(zip(*part, strict=True)) or [()] * len(arrow_schema)
        table = pa.table(
            [pa.array(column, field.type) for column, field in zip(columns, arrow_schema, strict=True)], arrow_schema
        )
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        content = sink.getvalue().to_pybytes()
        path = f"{attempt.path}/{name}/part-{number}.parquet"
        attempt.storage.write_bytes(path, content)
        targets = sum(len(row[1]) - row[4] for row in part) if schema == schemas.TRAIN else None
        files.append(FileEntry(path=path, rows=len(part), size=len(content), targets=targets))
    return Table(rows=len(rows), content=digest_of(rows)[:16], files=tuple(files))


def stand_in_model(model: str, seed: int) -> tuple[Any, ModelConfig]:
    """A model with the weights it starts from, made large enough to tell items apart."""
    from seqrec.events.vocabulary import Vocabulary
    from seqrec.models.registry import build_model

    config = ModelConfig(
        name=model, initial_std=0.5, max_history_length=MAX_HISTORY_LENGTH, layer_sizes=(8,), dropout=(0.0,)
    )
    vocabulary = Vocabulary(
        num_trained_items=NUM_TRAINED,
        num_categories=NUM_CATEGORIES,
        item_category=ITEM_CATEGORY,
        train_count=np.ones(len(ITEM_CATEGORY), np.int64),
    )
    return build_model(config, vocabulary, seed), config


def write_run(storage: Storage, prepared: Manifest, name: str, *, model: str = "a2svd", seed: int = 3) -> Manifest:
    """Publishes `runs/<name>` with the weights of `stand_in_model`."""
    from seqrec.models.weights import save_weights

    built, config = stand_in_model(model, seed)
    recipe = Recipe(stage="train", settings={"seed": seed, "model": model}, inputs={"prepared": prepared.content})
    attempt = Dataset(storage, "runs", name).begin(recipe)
    folder = storage.local(attempt.path)
    assert folder is not None
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(built, folder / "weights.npz")
    storage.write_bytes(f"{attempt.path}/config.yaml", yaml.safe_dump({"model": _plain(asdict(config))}).encode())
    history = "epoch,loss,group_auc\n1,1.61,0.52\n2,1.40,0.61\n3,1.32,0.63\n"
    storage.write_bytes(f"{attempt.path}/history.csv", history.encode())
    tables = {table: prepared.tables[table] for table in ("vocabulary/items", "vocabulary/categories")}
    return attempt.publish(tables=tables, counts={}, details=prepared.details, content=f"weights {model} {seed}")


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return list(value) if isinstance(value, tuple) else value
