"""One output file for every input file, made by Spark's workers; files that an earlier attempt finished are kept.

There is one task per output, so the output does not depend on how Spark spreads the work. An output appears whole or
not at all, and after the small file beside it that holds the counts of its task: a resumed stage reads those counts.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from seqrec.core.errors import DataError
from seqrec.core.manifest import Attempt
from seqrec.core.storage import Storage, scratch_folder


@dataclass(frozen=True)
class FileTask:
    """One output file, and the files that it is made from."""

    number: int
    inputs: tuple[str, ...]  # Paths in the storage.
    output: str  # Path in the storage.


Work = Callable[[FileTask, "RowFile"], dict[str, Any]]  # Writes the rows and returns counts that JSON can hold.


class RowFile:
    """A Parquet file on the local disk that is written batch by batch."""

    def __init__(self, path: Path, schema: pa.Schema):
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._schema = schema

    def write(self, columns: dict[str, Any]) -> None:
        self._writer.write_batch(pa.RecordBatch.from_pydict(columns, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


def write_row_files(
    spark: SparkSession, root: str, tasks: Sequence[FileTask], schema: pa.Schema, work: Work
) -> list[dict[str, Any]]:
    """Runs `work` for every task whose output does not exist yet; returns the counts of all tasks, in order."""
    storage = Storage(root)
    missing = [task for task in tasks if not storage.exists(task.output)]
    if missing:
        spark.sparkContext.parallelize(missing, len(missing)).foreach(_Runner(root, schema, work))
    return [json.loads(storage.read_bytes(_counts_path(task))) for task in tasks]


def check_num_users(attempt: Attempt, found: int, expected: int) -> None:
    """Compares the users of all outputs, some of which an earlier attempt may have left, with those of the inputs.

    Raises:
        DataError: the numbers differ.
    """
    if found != expected:
        raise DataError(
            f"{attempt.path}: rows of {found} users instead of {expected}, some left by an earlier attempt. "
            f"Run the job '{attempt.recipe.stage}' again with --set force=true."
        )


def _counts_path(task: FileTask) -> str:
    return f"{task.output}.json"


@dataclass(frozen=True)
class _Runner:
    root: str
    schema: pa.Schema
    work: Work

    def __call__(self, task: FileTask) -> None:
        with scratch_folder() as scratch:
            local = scratch / "rows.parquet"
            file = RowFile(local, self.schema)
            counts = self.work(task, file)
            file.close()
            storage = Storage(self.root)
            storage.write_bytes(_counts_path(task), json.dumps(counts).encode())
            storage.upload(local, task.output)
