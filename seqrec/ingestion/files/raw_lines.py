"""Raw files as lines: one row per line, nothing parsed yet, nothing lost."""

import re

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from seqrec.core.columns import LINE, LINE_HASH
from seqrec.ingestion.line_counts import BLANK, FILE_PATH
from seqrec.tables.files import strict_reader

LINE_ORDER = "line_order"  # Struct column: sorts the lines of one file in the order of the file.

_GLOB_CHARACTERS = re.compile(r"([\[\]{}*?\\])")
_BYTE_ORDER_MARK = "\ufeff"
_BLANK_BYTES = 64  # A longer line of spaces alone counts as malformed.


def read_lines(spark: SparkSession, uris: list[str]) -> DataFrame:
    """One row per line of the files at `uris`: `line`, `file_path`, `line_order`.

    Lines end at a newline; a carriage return before it and a byte order mark are not part of the line. Invalid UTF-8
    is kept; a reader that decodes it gets the replacement character instead.
    """
    raw = F.col("value")
    unmarked = F.when(raw.startswith(_BYTE_ORDER_MARK), F.substring(raw, 2, 1 << 30)).otherwise(raw)
    line = F.when(F.col(LINE).endswith("\r"), F.expr("left(line, length(line) - 1)")).otherwise(F.col(LINE))
    order = F.struct(F.col("_metadata.file_block_start").alias("block"), F.monotonically_increasing_id().alias("row"))
    return (
        strict_reader(spark)
        .option("lineSep", "\n")
        .text([_exactly(uri) for uri in uris])
        .select(unmarked.alias(LINE), F.col("_metadata.file_path").alias(FILE_PATH), order.alias(LINE_ORDER))
        .withColumn(LINE, line)
    )


def line_hash() -> Column:
    """int64, the xxHash64 of the line."""
    return F.xxhash64(LINE).alias(LINE_HASH)


def state_of(is_good: Column, good: str, *faults: tuple[str, Column]) -> Column:
    """`good`, else `blank`, else the name of the first fault that applies.

    The usual case comes first: nothing else is computed for good lines. If no other fault applies, the last one does.

    Args:
        good: the state of a good line.
        faults: name of each fault, and whether it applies.
    """
    is_blank = (F.octet_length(LINE) < _BLANK_BYTES) & F.col(LINE).rlike(r"^\s*$")
    state = F.when(is_good, good).when(is_blank, BLANK)
    *others, (last, _) = faults
    for name, holds in others:
        state = state.when(holds, name)
    return state.otherwise(last)


def _exactly(uri: str) -> str:
    """`uri` as a glob that matches nothing else: Spark takes every path for a glob, and a name may hold brackets."""
    return _GLOB_CHARACTERS.sub(r"\\\1", uri)
