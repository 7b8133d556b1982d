"""Spark tables on disk: written below an attempt, read from the files that a manifest lists."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow.parquet as pq
from pyspark.sql import DataFrame, DataFrameReader, SparkSession
from pyspark.sql.types import StructType

from seqrec.core.errors import DataError
from seqrec.core.manifest import Attempt, FileEntry, Manifest, Table, check_files
from seqrec.core.storage import Storage
from seqrec.tables.digest import content_digest

COMPRESSION = "zstd"


def write_table(
    table: DataFrame,
    attempt: Attempt,
    name: str,
    *,
    num_targets: Callable[[str], int] | None = None,
) -> Table:
    """Writes `table` as Parquet below `attempt`, one file per partition, and returns the manifest's entry for it.

    Rows and digest are taken from the written files, not from the plan that made them, so they describe what a reader
    will find.

    Args:
        num_targets: gives the number of training targets in a file, from its path relative to the workdir; only for
            `sequences/train`.

    Raises:
        DataError: the footers and Spark disagree on the number of rows.
    """
    table.write.parquet(attempt.uri(name), mode="overwrite", compression=COMPRESSION)
    return describe_table(table.sparkSession, attempt, name, table.schema, num_targets=num_targets)


def describe_table(
    spark: SparkSession,
    attempt: Attempt,
    name: str,
    schema: StructType,
    *,
    num_targets: Callable[[str], int] | None = None,
) -> Table:
    """The manifest's entry for the Parquet files written below `attempt`, checked against their footers.

    Files without rows, which empty partitions leave, are not listed.

    Raises:
        DataError: the footers and Spark disagree on the number of rows.
    """
    storage = attempt.storage
    stored = [f for f in storage.list_files(f"{attempt.path}/{name}") if f.path.endswith(".parquet")]
    with ThreadPoolExecutor(16) as pool:
        rows = list(pool.map(lambda file: count_rows(storage, file.path), stored))
    files = tuple(
        FileEntry(path=f.path, rows=n, size=f.size, targets=num_targets(f.path) if num_targets else None)
        for f, n in zip(stored, rows, strict=True)
        if n > 0
    )
    num_rows, content = content_digest(_read_files(spark, storage, files, schema))
    if num_rows != sum(file.rows for file in files):
        raise DataError(
            f"{attempt.uri(name)}: Spark reads {num_rows} rows, the file footers say {sum(f.rows for f in files)}. "
            "Delete the folder and run the stage again."
        )
    return Table(rows=num_rows, content=content, files=files)


def check_footers(storage: Storage, files: Sequence[FileEntry]) -> None:
    """Compares the footers of Parquet files with the rows that their writers have counted.

    Raises:
        DataError: they disagree, or a footer cannot be read.
    """
    with ThreadPoolExecutor(16) as pool:
        rows = list(pool.map(lambda file: count_rows(storage, file.path), files))
    for file, found in zip(files, rows, strict=True):
        if found != file.rows:
            raise DataError(
                f"{storage.uri(file.path)}: {file.rows} rows were written, but the footer says {found}. "
                "Delete the folder and run the stage again."
            )


def joined_tables(tables: Sequence[Table]) -> Table:
    """The rows of all `tables`, which have the same columns, as one table."""
    content = sum(int(table.content, 16) for table in tables) % (1 << 64)
    files = tuple(file for table in tables for file in table.files)
    return Table(rows=sum(table.rows for table in tables), content=f"{content:016x}", files=files)


def read_table(spark: SparkSession, storage: Storage, manifest: Manifest, name: str, schema: StructType) -> DataFrame:
    """The rows of the files that `manifest` lists for the table `name`, and of no others.

    Raises:
        DataError: a listed file is missing, or its size is not the one in the manifest.
    """
    table = manifest.table(name)
    check_files(storage, table)
    return _read_files(spark, storage, table.files, schema)


def read_written(spark: SparkSession, attempt: Attempt, name: str, schema: StructType) -> DataFrame:
    """The rows of the Parquet files written below `attempt`, which no manifest lists yet."""
    files = [file.path for file in attempt.storage.list_files(f"{attempt.path}/{name}")]
    uris = [attempt.storage.uri(path) for path in files if path.endswith(".parquet")]
    return strict_reader(spark).schema(schema).parquet(*uris) if uris else spark.createDataFrame([], schema)


def strict_reader(spark: SparkSession) -> DataFrameReader:
    """`spark.read` that fails on a damaged or missing file, even if the cluster's settings ask to skip such files."""
    return spark.read.option("ignoreCorruptFiles", False).option("ignoreMissingFiles", False)


def count_rows(storage: Storage, path: str) -> int:
    """Number of rows according to the footer of one Parquet file.

    Raises:
        DataError: the file has no readable footer.
    """
    with storage.open_input(path) as file:
        try:
            return pq.ParquetFile(file).metadata.num_rows
        except (ValueError, OSError) as error:
            raise DataError(f"{storage.uri(path)}: not a readable Parquet file: {error}.") from None


def _read_files(spark: SparkSession, storage: Storage, files: tuple[FileEntry, ...], schema: StructType) -> DataFrame:
    if not files:
        return spark.createDataFrame([], schema)
    return strict_reader(spark).schema(schema).parquet(*(storage.uri(file.path) for file in files))
