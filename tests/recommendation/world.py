"""A small world on disk, written without Spark: prepared data, metadata, and runs with untrained weights."""

from collections import defaultdict
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from seqrec.core import columns as C
from seqrec.core.manifest import Dataset, Manifest, Recipe, digest_of
from seqrec.core.storage import Storage
from seqrec.models.config import ModelConfig
from seqrec.neighbours.config import CANDIDATES, FINDERS
from seqrec.recommendation.lists.write_lists import LISTS
from tests.feed.prepared_data import write_rows

DAY = 86_400
START = 16_000 * DAY
NUM_ITEMS = 60
NUM_CATEGORIES = 4
NUM_USERS = 90
# Taken together by two users, the second one only as their test target.
PLANTED = (58, 59)

ITEM_TYPES = {
    C.CATEGORY_PATH: pa.list_(pa.string()),
    C.GROUP: pa.string(),
    C.TITLE: pa.string(),
    C.BRAND: pa.string(),
    C.PRICE: pa.float64(),
    C.ALSO_BUY: pa.list_(pa.string()),
    C.ALSO_VIEW: pa.list_(pa.string()),
}


def item_id(index: int) -> str:
    return f"B{index * 37 % 997:05d}"


def category_of(index: int) -> int:
    return index % (NUM_CATEGORIES + 1)


def events_of(number: int) -> tuple[list[int], list[int]]:
    """Items and times of a user; users 0 and 1 end in the planted pair, 2 in its first item; nobody has item 60."""
    random = np.random.default_rng([number, 11])
    length = int(random.integers(4, 14))
    favourite = int(random.integers(0, 5))
    items = (1 + (favourite * 11 + random.integers(0, 14, length)) % 57).tolist()
    times = (START + np.sort(random.integers(0, 500, length)) * DAY).tolist()
    if number < 2:
        items[-2:] = PLANTED
    if number == 2:
        items[-1] = PLANTED[0]
    return items, times


def users() -> list[str]:
    return [f"user{number:03d}" for number in range(NUM_USERS)]


def item_row(index: int, counts: np.ndarray) -> dict[str, Any]:
    return {
        C.ITEM_INDEX: index,
        C.ITEM: item_id(index),
        C.CATEGORY_INDEX: category_of(index),
        C.TRAIN_COUNT: int(counts[index]),
    }


def metadata_row(index: int) -> dict[str, Any]:
    """Item 5 was also bought with 7 and an unknown one, also viewed with 9; item 3 has no title."""
    return {
        C.ITEM: item_id(index),
        C.CATEGORY: f"kind {category_of(index)}",
        C.CATEGORY_PATH: [],
        C.GROUP: "Gifts",
        C.TITLE: None if index == 3 else f"Title of {index}",
        C.BRAND: None,
        C.PRICE: None,
        C.ALSO_BUY: [item_id(7), "UNKNOWN"] if index == 5 else [],
        C.ALSO_VIEW: [item_id(9)] if index == 5 else [],
    }


def write_world(storage: Storage, name: str = "small", num_files: int = 3) -> Manifest:
    """Publishes `prepared/<name>` (leave-last-out) and `ingested/<name>`."""
    histories = {user: events_of(number) for number, user in enumerate(users())}
    counts = np.bincount([i for items, _ in histories.values() for i in items[:-2]], minlength=NUM_ITEMS + 1)
    train, evaluations, latest = [], {"validation": [], "test": []}, []
    for user, (items, times) in histories.items():
        first = {C.FIRST_TIMESTAMP: times[0]}
        train.append({C.USER: user, C.ITEM_INDICES: items[:-2], C.TIMESTAMPS: times[:-2], **first, C.NUM_CONTEXT: 1})
        latest.append({C.USER: user, C.HISTORY_ITEMS: items, C.HISTORY_TIMESTAMPS: times, **first})
        for split, end in (("validation", len(items) - 2), ("test", len(items) - 1)):
            evaluations[split].append(
                {
                    C.USER: user,
                    C.POSITION: end,
                    C.HISTORY_ITEMS: items[:end],
                    C.HISTORY_TIMESTAMPS: times[:end],
                    **first,
                    C.TARGET_ITEM: items[end],
                    C.TARGET_TIMESTAMP: times[end],
                    C.NEGATIVE_ITEMS: [1, 2],
                }
            )
    attempt = Dataset(storage, "prepared", name).begin(Recipe(stage="prepare", settings={}, inputs={}))
    contents: dict[str, list[dict[str, Any]]] = {
        "vocabulary/items": [item_row(index, counts) for index in range(1, NUM_ITEMS + 1)],
        "vocabulary/categories": [{C.CATEGORY_INDEX: i, C.CATEGORY: f"kind {i}"} for i in range(1, NUM_CATEGORIES + 1)],
        "sequences/train": train,
        "sequences/validation": evaluations["validation"],
        "sequences/test": evaluations["test"],
        "sequences/latest": latest,
    }
    tables = {
        table: replace(
            write_rows(
                storage,
                f"{attempt.path}/{table}",
                [rows] if table.startswith("vocabulary") else [rows[n::num_files] for n in range(num_files)],
            ),
            content=digest_of(sorted(map(str, rows)))[:16],  # As in life, whatever the files.
        )
        for table, rows in contents.items()
    }
    details = {"num_trained_items": 56, "num_items": NUM_ITEMS, "num_categories": NUM_CATEGORIES}
    prepared = attempt.publish(tables=tables, counts={}, details=details)

    ingested = Dataset(storage, "ingested", name).begin(Recipe(stage="ingest", settings={}, inputs={}))
    rows = [metadata_row(index) for index in range(1, NUM_ITEMS + 1)]
    items = write_rows(storage, f"{ingested.path}/items", [rows], ITEM_TYPES)
    ingested.publish(tables={"items": items}, counts={})
    return prepared


def write_run(storage: Storage, prepared: Manifest, name: str, model: str) -> Manifest:
    """Publishes `runs/<name>` with the weights that a model starts from, large enough to tell items apart."""
    from seqrec.events.vocabulary import read_vocabulary
    from seqrec.models.registry import build_model
    from seqrec.models.weights import save_weights

    config = ModelConfig(name=model, initial_std=0.5, max_history_length=6, layer_sizes=(8,), dropout=(0.0,))
    vocabulary = read_vocabulary(storage, prepared)
    recipe = Recipe(stage="train", settings={"model": model}, inputs={"prepared": prepared.content})
    attempt = Dataset(storage, "runs", name).begin(recipe)
    folder = storage.local(attempt.path)
    assert folder is not None
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(build_model(config, vocabulary, seed=3), folder / "weights.npz")
    plain = yaml.safe_load(
        yaml.safe_dump({k: list(v) if isinstance(v, tuple) else v for k, v in asdict(config).items()})
    )
    storage.write_bytes(f"{attempt.path}/config.yaml", yaml.safe_dump({"model": plain}).encode())
    tables = {table: prepared.tables[table] for table in ("vocabulary/items", "vocabulary/categories")}
    details = {**prepared.details, "model": plain, "seed": 3, "best": {"auc": 0.5}, "prepared": prepared.name}
    return attempt.publish(tables=tables, counts={}, details=details, content=f"weights of {model}")


def read_candidates(storage: Storage, manifest: Manifest) -> dict[str, dict[int, str]]:
    """User -> candidate -> its source, best first."""
    found = {}
    for file in manifest.table(CANDIDATES).files:
        for row in pq.read_table(storage.local(file.path)).to_pylist():
            names = [FINDERS[source] for source in row["candidate_sources"]]
            found[row["user_id"]] = dict(zip(row["candidate_items"], names, strict=True))
    return found


def lists_of(storage: Storage, manifest: Manifest) -> dict[str, list[dict[str, Any]]]:
    rows = defaultdict(list)
    for file in manifest.table(LISTS).files:
        for row in pq.read_table(storage.local(file.path)).to_pylist():
            rows[row["user_id"]].append(row)
    return rows


def items_of(rows: list[dict[str, Any]]) -> list[str]:
    return [row["item_id"] for row in rows]
