"""Random draws as Spark columns. Each is a hash of seed, purpose and position, so partitions make no difference."""

from pyspark.sql import Column
from pyspark.sql import functions as F

_BITS = 53  # Bits of a double's mantissa.


def uniform(seed: int, purpose: str, *position: Column) -> Column:
    """A double in [0, 1), the same for the same seed, purpose and position."""
    return F.shiftrightunsigned(_hash(seed, purpose, *position), 64 - _BITS) / F.lit(float(1 << _BITS))


def integer_below(limit: int, seed: int, purpose: str, *position: Column) -> Column:
    """A long in [0, limit)."""
    return F.pmod(_hash(seed, purpose, *position), F.lit(limit).cast("long"))


def chosen(values: list[str], seed: int, purpose: str, *position: Column) -> Column:
    """One of `values`."""
    index = integer_below(len(values), seed, purpose, *position).cast("int") + 1
    return F.element_at(F.array(*map(F.lit, values)), index)


def _hash(seed: int, purpose: str, *position: Column) -> Column:
    return F.xxhash64(F.lit(seed).cast("long"), F.lit(purpose), *position)
