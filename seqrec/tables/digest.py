"""Order-free digests of tables, computed by Spark."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

_HALF = 1 << 32


def content_digest(table: DataFrame) -> tuple[int, str]:
    """Number of rows, and the digest of `table` as 16 hexadecimal digits, in one pass.

    The digest is the sum, modulo 2^64, of a hash of every row. So it does not depend on the order or partitioning of
    the rows, it changes when a row occurs twice, and it depends on the names of the columns but not on their order.
    """
    rows, low, high = table.agg(*digest_columns(table)).first()
    return rows, combine(low, high)


def digest_columns(table: DataFrame) -> list[Column]:
    """Three aggregates (rows, low half, high half), to compute a digest in the same pass as something else."""
    # A null leaves the hash at its seed, so (null, 1) and (1, null) would be equal: nulls are hashed separately too.
    parts = [F.coalesce(F.xxhash64(F.lit(name), F.col(f"`{name}`")), F.lit(0)) for name in sorted(table.columns)]
    is_null = [F.col(f"`{name}`").isNull() for name in sorted(table.columns)]
    row = F.xxhash64(*parts, *is_null)
    # Sums of 32-bit halves cannot overflow below 2^31 rows, whatever Spark's ANSI setting is.
    low = F.sum(row.bitwiseAND(F.lit(_HALF - 1)))
    high = F.sum(F.shiftrightunsigned(row, 32))
    return [F.count(F.lit(1)), F.coalesce(low, F.lit(0)), F.coalesce(high, F.lit(0))]


def combine(low: int, high: int) -> str:
    """The digest as 16 hexadecimal digits, from the sums of the two halves of `digest_columns`."""
    return f"{(low + high * _HALF) % (1 << 64):016x}"
