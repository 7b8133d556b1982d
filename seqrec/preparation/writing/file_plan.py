"""The number of files of a table, and which row goes to which file, so that files are equal."""

from itertools import pairwise

import numpy as np
from pyspark.sql import SparkSession
from pyspark.sql import functions as F


def num_files_for(num_units: int, max_per_file: int, min_per_file: int, num_streams_max: int) -> int:
    """The number of files: a multiple of `num_streams_max` that keeps files below `max_per_file` units.

    Units are targets or rows. If a file would hold fewer than `min_per_file` units, the largest divisor of
    `num_streams_max` for which it does not.
    """
    if num_units >= num_streams_max * min_per_file:
        return num_streams_max * -(-num_units // (num_streams_max * max_per_file))
    divisors = [d for d in range(1, num_streams_max + 1) if num_streams_max % d == 0]
    return max(d for d in divisors if d == 1 or num_units >= d * min_per_file)


def deal_evenly(sizes: np.ndarray, num_files: int, rotation: int) -> np.ndarray:
    """A file for each row, int64 [len(sizes)], so that the sizes in each file add up to nearly the same.

    Rows of one size are spread evenly, the largest sizes first; the remainder goes to the files that hold least. Files
    differ by at most one row's size, and mostly by one. `rotation` decides which of equal files comes first, so that
    rows that are dealt in several parts do not always favour the same files.
    """
    files = np.empty(len(sizes), np.int64)
    order = np.argsort(-sizes, kind="stable")
    loads = np.zeros(num_files, np.int64)
    places = (np.arange(num_files) + rotation) % num_files
    starts = np.flatnonzero(np.diff(sizes[order], prepend=-1))
    for start, end in pairwise([*starts.tolist(), len(sizes)]):
        size = sizes[order[start]]
        whole, rest = divmod(end - start, num_files)
        emptiest = places[np.argsort(loads[places], kind="stable")]
        files[order[start:end]] = emptiest[np.arange(end - start) % num_files]
        loads += whole * size
        loads[emptiest[:rest]] += size
    return files


def routing_keys(spark: SparkSession, num_files: int) -> np.ndarray:
    """int64 [num_files]: for each file j a number that Spark's hash partitioning sends to partition j of `num_files`.

    `repartition(n, column)` offers no other way to choose a row's partition, and `repartitionByRange` samples.
    """
    keys = np.full(num_files, -1, np.int64)
    start, count = 0, 32 * num_files
    while (keys < 0).any():
        numbers = spark.range(start, start + count, numPartitions=1)
        found = numbers.select("id", F.pmod(F.hash("id"), F.lit(num_files)).alias("file")).toPandas()
        first = found.groupby("file")["id"].min()
        missing = first[keys[first.index] < 0]
        keys[missing.index] = missing
        start += count
    return keys
