"""Order-free digests of tables, computed by Spark."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

_HALF = 1 << 32


def content_digest(table: DataFrame) -> tuple[int, str]:
    """Number of rows, and the digest of `table` as 16 hexadecimal digits; one pass.

    The digest is the sum, modulo 2^64, of a hash of every row: it does not depend on the order or the
    partitioning of the rows, and it sees rows that occur twice. Column names count, their order does not.
    """
    rows, low, high = table.agg(*digest_columns(table)).first()
    return rows, combine(low, high)


def digest_columns(table: DataFrame) -> list[Column]:
    """Three aggregates (rows, low half, high half), for a digest taken along with something else."""
    # A null hashes to the seed, so that (null, 1) and (1, null) would be equal: nulls get a hash of their own.
    parts = [F.coalesce(F.xxhash64(F.lit(name), F.col(f"`{name}`")), F.lit(0)) for name in sorted(table.columns)]
    is_null = [F.col(f"`{name}`").isNull() for name in sorted(table.columns)]
    row = F.xxhash64(*parts, *is_null)
    # Halves of 32 bits: their sums cannot overflow below 2^31 rows, whatever the ANSI setting.
    low = F.sum(row.bitwiseAND(F.lit(_HALF - 1)))
    high = F.sum(F.shiftrightunsigned(row, 32))
    return [F.count(F.lit(1)), F.coalesce(low, F.lit(0)), F.coalesce(high, F.lit(0))]


def combine(low: int, high: int) -> str:
    """16 hexadecimal digits from the two halves of `digest_columns`."""
    return f"{(low + high * _HALF) % (1 << 64):016x}"
