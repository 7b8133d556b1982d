"""Which users' histories are others than in earlier lists: known by a digest of each history, which lists keep."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.types import IntegerType, LongType, StringType, StructField, StructType

from seqrec.core.columns import USER
from seqrec.core.errors import DataError
from seqrec.core.keyed_random import keyed
from seqrec.core.manifest import Attempt, Manifest
from seqrec.core.storage import Storage
from seqrec.events.histories import read_batches, read_histories
from seqrec.events.ragged import Ragged
from seqrec.recommendation.lists.item_names import ItemNames
from seqrec.tables.files import read_table, read_written
from seqrec.tables.row_files import FileTask, RowFile, write_row_files

USERS, DIGEST, FILE = "users", "history_digest", "file_number"
SCHEMA = StructType(
    [
        StructField(USER, StringType(), nullable=False),
        StructField(DIGEST, LongType(), nullable=False),
        StructField(FILE, IntegerType(), nullable=False),
    ]
)
_ARROW = pa.schema(
    [pa.field(USER, pa.string(), False), pa.field(DIGEST, pa.int64(), False), pa.field(FILE, pa.int32(), False)]
)
_USERS_AT_ONCE = 4096


def write_user_digests(spark: SparkSession, attempt: Attempt, names: str, histories: list[str]) -> None:
    """Writes the table USERS below `attempt`: the digest of each history, and the number of the file it lies in.

    Args:
        names: path of the item ids.
        histories: paths of `sequences/latest`.
    """
    storage = attempt.storage
    tasks = [FileTask(n, (path,), f"{attempt.path}/{USERS}/part-{n:05d}.parquet") for n, path in enumerate(histories)]
    write_row_files(spark, storage.root, tasks, _ARROW, partial(_write_digests, storage.root, names))


def write_changed_users(spark: SparkSession, attempt: Attempt, earlier: Manifest, folder: str) -> int:
    """Writes the users of the table USERS below `attempt` whose history is new or another one than in `earlier`.

    Returns: how many there are. `read_changed_users` reads those of one file of histories.

    Raises:
        DataError: the earlier lists are of an earlier version, or of some users only.
    """
    if USERS not in earlier.tables:
        raise DataError(
            f"recommendation.changed_since: recommendations '{earlier.name}' do not say which histories they were made "
            "from: make lists for all users, with recommendation.histories=latest, and name those."
        )
    storage = attempt.storage
    before = read_table(spark, storage, earlier, USERS, SCHEMA).select(USER, DIGEST)
    changed = read_written(spark, attempt, USERS, SCHEMA).join(before, on=[USER, DIGEST], how="left_anti")
    path = f"{attempt.path}/{folder}"
    changed.select(USER, FILE).repartition(FILE).write.partitionBy(FILE).parquet(
        storage.uri(path), mode="overwrite", compression="zstd"
    )
    files = [file.path for file in storage.list_files(path) if file.path.endswith(".parquet")]
    return sum(len(batch) for file in files for batch in read_batches(storage, file, [USER], _USERS_AT_ONCE))


def read_changed_users(storage: Storage, folder: str, number: int) -> frozenset[str]:
    """The users of the file of histories of that number that `write_changed_users` wrote below `folder`."""
    files = [file.path for file in storage.list_files(f"{folder}/{FILE}={number}")]
    parts = [
        batch for path in files if path.endswith(".parquet") for batch in read_batches(storage, path, [USER], 4096)
    ]
    return frozenset(user for batch in parts for user in batch.column(USER).to_pylist())


def history_digests(items: Ragged, timestamps: np.ndarray, names: ItemNames) -> np.ndarray:
    """int64 [B]: a digest of each history's item ids and times in their order, whatever the vocabulary."""
    unique, place = np.unique(items.values, return_inverse=True)
    ids, _ = names.look_up(unique)
    of_item = pd.util.hash_array(ids.to_numpy(zero_copy_only=False), categorize=False)[place]
    order = np.arange(len(place)) - np.repeat(items.offsets[:-1], items.lengths)
    events = keyed(of_item, timestamps, order)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(events, dtype=np.uint64)])  # It wraps round.
    return (sums[items.offsets[1:]] - sums[items.offsets[:-1]]).view(np.int64)


def _write_digests(root: str, names: str, task: FileTask, file: RowFile) -> dict[str, Any]:
    storage = Storage(root)
    opened, counts = ItemNames.open(storage, names), {"users": 0}
    for histories in read_histories(storage, task.inputs[0], _USERS_AT_ONCE, as_of=0):
        digests = history_digests(histories.items, histories.timestamps, opened)
        numbers = np.full(len(histories), task.number, np.int32)
        file.write({USER: histories.users, DIGEST: digests, FILE: numbers})
        counts["users"] += len(histories)
    return counts
