"""Small prepared data with something to learn, in the layout that the preparation writes, made without Spark.

Every user has a favourite group of items that differ in nothing but the group, and every event is drawn from it with
probability `taste`; times are whole days, so many are equal.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from seqrec.core import columns as C
from seqrec.core.manifest import Dataset, FileEntry, Manifest, Recipe, Table, digest_of
from seqrec.core.storage import Storage

DAY = 86_400
_NUM_CATEGORIES = 5


def write_prepared(
    folder: Path,
    *,
    name: str = "toy",
    num_users: int = 300,
    num_items: int = 60,
    num_files: int = 8,
    num_events: tuple[int, int] = (5, 14),
    num_negatives: int = 9,
    taste: float = 0.8,
    seed: int = 1,
    is_validated: bool = True,
) -> tuple[Storage, Manifest]:
    storage = Storage(str(folder))
    recipe = Recipe(stage="prepare", settings={"seed": seed, "taste": taste, "users": num_users}, inputs={})
    attempt = Dataset(storage, "prepared", name).begin(recipe)
    rng = np.random.default_rng(seed)
    users = [_user_events(rng, number, num_items, num_events, taste) for number in range(num_users)]
    train = [rows_of_segments(users[number::num_files]) for number in range(num_files)]
    tables = {
        "vocabulary/items": write_rows(storage, f"{attempt.path}/vocabulary/items", [_item_rows(users, num_items)]),
        "vocabulary/categories": write_rows(storage, f"{attempt.path}/vocabulary/categories", [_category_rows()]),
        "sequences/train": write_rows(storage, f"{attempt.path}/sequences/train", train),
    }
    for split, left in (("validation", 2), ("test", 1)):
        rows = [evaluation_row(rng, user, left, num_items, num_negatives) for user in users]
        tables[f"sequences/{split}"] = write_rows(
            storage, f"{attempt.path}/sequences/{split}", [rows[:100], rows[100:]]
        )
    if not is_validated:
        tables["sequences/validation"] = Table(rows=0, content="0" * 16, files=())
    details = {
        "num_trained_items": num_items,
        "num_items": num_items,
        "num_categories": _NUM_CATEGORIES,
        "num_negatives": {"validation": num_negatives, "test": num_negatives},
        "max_stored_history": 50,
    }
    return storage, attempt.publish(tables=tables, counts={}, details=details)


def rows_of_segments(users: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Training rows: all but a user's last two events, the first of them being history only."""
    return [
        {
            C.USER: user["user"],
            C.ITEM_INDICES: user["items"][:-2],
            C.TIMESTAMPS: user["times"][:-2],
            C.FIRST_TIMESTAMP: user["times"][0],
            C.NUM_CONTEXT: 1,
        }
        for user in users
    ]


def evaluation_row(
    rng: np.random.Generator, user: dict[str, Any], left: int, num_items: int, num_negatives: int
) -> dict[str, Any]:
    end = len(user["items"]) - left
    others = np.setdiff1d(np.arange(1, num_items + 1), user["items"])
    return {
        C.USER: user["user"],
        C.POSITION: end,
        C.HISTORY_ITEMS: user["items"][:end],
        C.HISTORY_TIMESTAMPS: user["times"][:end],
        C.FIRST_TIMESTAMP: user["times"][0],
        C.TARGET_ITEM: user["items"][end],
        C.TARGET_TIMESTAMP: user["times"][end],
        C.NEGATIVE_ITEMS: rng.choice(others, num_negatives, replace=False).tolist(),
    }


_TYPES = {
    C.USER: pa.string(),
    C.ITEM: pa.string(),
    C.CATEGORY: pa.string(),
    C.ITEM_INDEX: pa.int32(),
    C.CATEGORY_INDEX: pa.int32(),
    C.TRAIN_COUNT: pa.int64(),
    C.ITEM_INDICES: pa.list_(pa.int32()),
    C.TIMESTAMPS: pa.list_(pa.int64()),
    C.FIRST_TIMESTAMP: pa.int64(),
    C.NUM_CONTEXT: pa.int32(),
    C.POSITION: pa.int32(),
    C.HISTORY_ITEMS: pa.list_(pa.int32()),
    C.HISTORY_TIMESTAMPS: pa.list_(pa.int64()),
    C.TARGET_ITEM: pa.int32(),
    C.TARGET_TIMESTAMP: pa.int64(),
    C.NEGATIVE_ITEMS: pa.list_(pa.int32()),
}


def write_rows(
    storage: Storage, path: str, files: list[list[dict[str, Any]]], types: Mapping[str, pa.DataType] | None = None
) -> Table:
    """Writes one Parquet file, of one row group, for each list of rows, and lists them with their targets."""
    entries = []
    for number, rows in enumerate(files):
        schema = pa.schema([(key, {**_TYPES, **(types or {})}[key]) for key in rows[0]])
        local = storage.local(f"{path}/part-{number:05d}.parquet")
        assert local is not None
        local.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), local, compression="zstd")
        targets = (
            sum(len(row[C.ITEM_INDICES]) - row[C.NUM_CONTEXT] for row in rows) if C.ITEM_INDICES in rows[0] else None
        )
        relative = f"{path}/part-{number:05d}.parquet"
        entries.append(FileEntry(path=relative, rows=len(rows), size=local.stat().st_size, targets=targets))
    content = digest_of([[str(row) for row in rows] for rows in files])[:16]
    return Table(rows=sum(entry.rows for entry in entries), content=content, files=tuple(entries))


def _user_events(
    rng: np.random.Generator, number: int, num_items: int, num_events: tuple[int, int], taste: float
) -> dict[str, Any]:
    length = int(rng.integers(num_events[0], num_events[1] + 1))
    favourite = number % _NUM_CATEGORIES
    own = np.arange(1, num_items + 1)[np.arange(num_items) % _NUM_CATEGORIES == favourite]
    liked = rng.random(length) < taste
    items = np.where(liked, rng.choice(own, length), rng.integers(1, num_items + 1, length))
    times = (15_000 + np.sort(rng.integers(0, 400, length))) * DAY
    return {"user": f"user {number}", "items": items.tolist(), "times": times.tolist()}


def _item_rows(users: list[dict[str, Any]], num_items: int) -> list[dict[str, Any]]:
    counts = np.bincount(np.concatenate([user["items"][:-2] for user in users]), minlength=num_items + 1)
    return [
        {
            C.ITEM_INDEX: index,
            C.ITEM: f"item {index}",
            C.CATEGORY_INDEX: (index - 1) % _NUM_CATEGORIES + 1,
            C.TRAIN_COUNT: int(counts[index]),
        }
        for index in range(1, num_items + 1)
    ]


def _category_rows() -> list[dict[str, Any]]:
    return [{C.CATEGORY_INDEX: index, C.CATEGORY: f"category {index}"} for index in range(1, _NUM_CATEGORIES + 1)]
