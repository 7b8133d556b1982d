"""One output file for every input file, made by Spark's workers and skipped where an earlier attempt left it.

The input files are what they are, so the output does not depend on how Spark spreads the work. An output appears
whole or not at all, after a small file beside it with what was counted on the way: a resumed stage reads those.
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
    number: int
    inputs: tuple[str, ...]  # Paths in the storage.
    output: str


Work = Callable[[FileTask, "RowFile"], dict[str, Any]]  # Writes the rows; gives what was counted, for JSON.


class RowFile:
    """A Parquet file that grows batch by batch on the local disk."""

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
    """Runs `work` for every task whose output is not there yet; what each counted, in order."""
    storage = Storage(root)
    missing = [task for task in tasks if not storage.exists(task.output)]
    if missing:
        spark.sparkContext.parallelize(missing, len(missing)).foreach(_Runner(root, schema, work))
    return [json.loads(storage.read_bytes(_facts_path(task))) for task in tasks]


def check_num_users(attempt: Attempt, found: int, expected: int) -> None:
    """
    Raises:
        DataError: what an earlier attempt left there is not of the same users.
    """
    if found != expected:
        raise DataError(
            f"{attempt.path}: rows of {found} users instead of {expected}, some left by an earlier attempt. "
            f"Run the job '{attempt.recipe.stage}' again with --set force=true."
        )


def _facts_path(task: FileTask) -> str:
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
            facts = self.work(task, file)
            file.close()
            storage = Storage(self.root)
            storage.write_bytes(_facts_path(task), json.dumps(facts).encode())
            storage.upload(local, task.output)
