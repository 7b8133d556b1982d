"""The users to recommend to: listed by id, or with their histories in a file."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from py4j.protocol import Py4JJavaError
from pyarrow import types
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, LongType, StringType, StructField, StructType
from pyspark.sql.utils import AnalysisException

from seqrec.core import columns as C
from seqrec.core.errors import DataError, first_line, reason_of
from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.events.vocabulary import ITEMS
from seqrec.recommendation.config import RecommendationConfig
from seqrec.tables.files import read_table, strict_reader
from seqrec.tables.prepared_schemas import LATEST, VOCABULARY_ITEMS

_NUM_FILES = 16  # Files that a file of histories is written to; fixed, so that the lists' files depend on nothing else.
_ITEM_IDS = "item_ids"
_YEAR_2100 = 4_102_444_800  # A later time must be in milliseconds or finer.
_FILE = StructType(
    [
        StructField(C.USER, StringType()),
        StructField(_ITEM_IDS, ArrayType(StringType())),
        StructField(C.TIMESTAMPS, ArrayType(LongType())),
    ]
)


def listed_users(config: RecommendationConfig) -> list[str] | None:
    """The users that the settings list, each once and in that order; None for all users.

    Raises:
        DataError: the file cannot be read, or holds no ids.
    """
    if config.users is not None:
        return list(dict.fromkeys(config.users))
    if config.users_file is None:
        return None
    try:
        lines = Path(config.users_file).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"recommendation.users_file: {config.users_file}: cannot be read ({error}). Give a text file of user ids."
        ) from None
    users = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not users:
        raise DataError(f"recommendation.users_file: {config.users_file}: it holds no user ids. Write one id per line.")
    return users


def read_histories_file(spark: SparkSession, path: str) -> tuple[DataFrame, int]:
    """The rows of a file of JSON lines or Parquet, with user_id, item_ids, timestamps; and the newest of all times.

    Raises:
        DataError: the file is missing, empty or has other columns; the two lists of a row differ in length; or times
            are not in seconds.
    """
    no_times = F.col(C.TIMESTAMPS).isNull() | (F.size(_ITEM_IDS) != F.size(C.TIMESTAMPS))
    no_time = F.exists(C.TIMESTAMPS, lambda time: time.isNull())
    is_bad = F.col(C.USER).isNull() | F.col(_ITEM_IDS).isNull() | no_times | no_time
    try:
        rows = _rows_of_file(spark, path)
        facts = rows.agg(F.count("*"), F.count(F.when(is_bad, True)), F.max(F.array_max(C.TIMESTAMPS)))
        num_rows, num_bad, newest = facts.collect()[0]
    except (AnalysisException, Py4JJavaError) as error:
        message = _cause(error)
        raise DataError(f"recommendation.histories_file: {path}: cannot be read: {message}") from None
    if not num_rows:
        raise DataError(
            f"recommendation.histories_file: {path}: it holds no rows. "
            "Write one row per user: user_id, item_ids, timestamps."
        )
    if num_bad:
        raise DataError(
            f"recommendation.histories_file: {path}: {num_bad} rows are not of the form user_id, item_ids, timestamps "
            "with two lists of one length. Fix them; times are whole seconds since 1970."
        )
    if newest is not None and newest >= _YEAR_2100:
        raise DataError(
            f"recommendation.histories_file: {path}: the time {newest} is after the year 2100, so times are not in "
            "seconds. Give whole seconds since 1970: divide milliseconds by 1000."
        )
    return rows, newest or 0


def _rows_of_file(spark: SparkSession, path: str) -> DataFrame:
    uri = f"file://{Path(path).absolute()}"  # Not as_uri(): Spark takes a path as it is, and would look for "%20".
    if not path.endswith(".parquet"):
        return strict_reader(spark).schema(_FILE).option("mode", "PERMISSIVE").json(uri)
    _check_column_types(path)
    return (
        strict_reader(spark)
        .parquet(uri)
        .select(*(F.col(field.name).cast(field.dataType).alias(field.name) for field in _FILE))
    )


def _check_column_types(path: str) -> None:
    """Checks the columns before Spark reads a row, because its own error is a trace of many lines."""
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"recommendation.histories_file: {path}: cannot be read: {reason_of(error)}. Give JSON lines or Parquet."
        ) from None
    # Item ids stored as numbers may have lost leading zeros; they would not match, and no error would show it.
    fits: dict[str, Callable[[pa.DataType], bool]] = {
        C.USER: lambda found: _is_text(found) or types.is_integer(found),
        _ITEM_IDS: lambda found: _is_list(found) and _is_text(found.value_type),
        C.TIMESTAMPS: lambda found: _is_list(found) and types.is_integer(found.value_type),
    }
    missing = [f"{name} is missing" for name in fits if name not in schema.names]
    wrong = [
        f"{field.name} is {field.type}" for field in schema if field.name in fits and not fits[field.name](field.type)
    ]
    if missing or wrong:
        raise DataError(
            f"recommendation.histories_file: {path}: these columns do not fit: {', '.join(missing + wrong)}. Give "
            "user_id as strings, item_ids as lists of strings and timestamps as lists of whole seconds since 1970."
        )


def _cause(error: Exception) -> str:
    """The first line of a Spark error; for a failed job that of its innermost cause."""
    if not isinstance(error, Py4JJavaError):
        return first_line(error)
    cause = error.java_exception
    while cause.getCause() is not None:
        cause = cause.getCause()
    return first_line(str(cause.toString()))


def _is_text(found: pa.DataType) -> bool:
    found = found.value_type if types.is_dictionary(found) else found
    return types.is_string(found) or types.is_large_string(found)


def _is_list(found: pa.DataType) -> bool:
    return types.is_list(found) or types.is_large_list(found)


def write_known_histories(
    spark: SparkSession, storage: Storage, prepared: Manifest, rows: DataFrame, folder: str
) -> list[str]:
    """Writes the histories of a file in the layout of `sequences/latest`, without unknown items.

    Events are put in order of time; equal times keep the order of the list.

    Returns: paths of the files written, in a fixed order.
    """
    vocabulary = read_table(spark, storage, prepared, ITEMS, VOCABULARY_ITEMS).select(C.ITEM, C.ITEM_INDEX)
    events = rows.select(C.USER, F.posexplode(F.arrays_zip(_ITEM_IDS, C.TIMESTAMPS)).alias("place", "event"))
    known = events.select(
        C.USER, "place", F.col(f"event.{_ITEM_IDS}").alias(C.ITEM), F.col(f"event.{C.TIMESTAMPS}").alias("time")
    ).join(vocabulary, on=C.ITEM, how="inner")
    event = F.struct("time", "place", C.ITEM_INDEX)
    histories = known.groupBy(C.USER).agg(F.sort_array(F.collect_list(event)).alias("events"))
    table = histories.select(
        C.USER,
        F.col(f"events.{C.ITEM_INDEX}").alias(C.HISTORY_ITEMS),
        F.col("events.time").alias(C.HISTORY_TIMESTAMPS),
        F.col("events.time")[0].alias(C.FIRST_TIMESTAMP),
    )
    ordered = table.repartition(_NUM_FILES, C.USER).sortWithinPartitions(C.USER)
    ordered.write.parquet(storage.uri(folder), mode="overwrite", compression="zstd")
    return [file.path for file in storage.list_files(folder) if file.path.endswith(".parquet")]


def unknown_users(
    spark: SparkSession, storage: Storage, prepared: Manifest, users: list[str] | DataFrame, known: list[str] | None
) -> list[str]:
    """The members of `users` that have no known item, sorted.

    Args:
        users: ids, or the rows of a histories file.
        known: paths that `write_known_histories` returned; None looks the users up in `sequences/latest`.
    """
    if isinstance(users, list):
        wanted = spark.createDataFrame([(user,) for user in users], StructType([StructField(C.USER, StringType())]))
    else:
        wanted = users.select(C.USER).distinct()
    if known is None:
        found = read_table(spark, storage, prepared, "sequences/latest", LATEST)
    else:
        uris = [storage.uri(path) for path in known]
        found = strict_reader(spark).schema(LATEST).parquet(*uris) if uris else None
    if found is not None:
        wanted = wanted.join(found.select(C.USER), on=C.USER, how="left_anti")
    return sorted(row[0] for row in wanted.collect())


def keep_users(batch: pa.Array, wanted: frozenset[str]) -> list[int]:
    """The places in `batch`, user ids, of those in `wanted`."""
    return [row for row, user in enumerate(batch.to_pylist()) if user in wanted]
