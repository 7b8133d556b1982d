"""The sequence tables: built bucket by bucket, brought to files of equal size, written and checked."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark import Broadcast
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from seqrec.core.columns import ITEM_INDICES, NUM_CONTEXT, TIMESTAMPS, USER
from seqrec.core.errors import DataError
from seqrec.core.manifest import Attempt, Table
from seqrec.preparation.draws import keyed
from seqrec.preparation.file_plan import deal_evenly, route, routing_keys
from seqrec.preparation.negatives import Population, draw_negatives
from seqrec.preparation.ragged import Ragged, column, gather, lists
from seqrec.preparation.schemas import EVALUATION, FILE_KEY, LATEST, ROW, TRAIN, USER_KEY, with_routing
from seqrec.preparation.sequences import Events, Rows, cut_histories, cut_segments
from seqrec.preparation.splits import Split, SplitRule
from seqrec.tables.files import COMPRESSION, describe_table

_ONE_ROW_GROUP = str(256 << 20)  # Bytes; files are smaller.
_ROWS_PER_DRAW = 20_000  # Rows whose negatives are drawn at once: about 100 MB with 49 each.


@dataclass(frozen=True)
class Bucket:
    """A bucket of users, in the order of their ids."""

    users: pa.Array
    keys: np.ndarray  # uint64, hash of the user id.
    events: Events

    @classmethod
    def of(cls, batches: Iterable[pa.RecordBatch]) -> "Bucket | None":
        table = gather(batches)
        if table is None:
            return None
        events = Events(lists(table, ITEM_INDICES), lists(table, TIMESTAMPS))
        return cls(table.column(USER).chunk(0), column(table, USER_KEY).view(np.uint64), events)

    def routing(self, rows: Rows, sizes: np.ndarray, file_keys: np.ndarray) -> list[pa.Array]:
        """File key, user key and row number of each row; files get equal shares of this bucket."""
        files = deal_evenly(sizes, len(file_keys), int(self.keys[0] % np.uint64(len(file_keys))))
        keys = self.keys[rows.owner].view(np.int64)
        return [pa.array(file_keys[files]), pa.array(keys), pa.array(rows.end - self.events.items.offsets[rows.owner])]

    def slices(self, rows: Rows) -> tuple[Ragged, Ragged]:
        """Items and times of each row."""
        return self.events.items.slices(rows.start, rows.end), self.events.times.slices(rows.start, rows.end)

    def names(self, rows: Rows) -> pa.Array:
        return self.users.take(pa.array(rows.owner))


def build_train(events: DataFrame, rule: SplitRule, max_targets: int, max_history: int, num_files: int) -> DataFrame:
    """One row per training segment, one partition per file, files equal in targets."""
    build = partial(_segments, rule, max_targets, max_history, routing_keys(events.sparkSession, num_files))
    return _build(events, build, TRAIN, num_files)


def build_evaluation(
    events: DataFrame,
    targets_of: Callable[[Split], object],
    rule: SplitRule,
    max_history: int,
    negatives: "Negatives",
    num_files: int,
) -> DataFrame:
    """One row per target of validation or test, with its history and negatives; one partition per file."""
    keys = routing_keys(events.sparkSession, num_files)
    return _build(events, partial(_targets, targets_of, rule, max_history, negatives, keys), EVALUATION, num_files)


def build_latest(events: DataFrame, num_files: int) -> DataFrame:
    """One row per user with its whole history, one partition per file."""
    return _build(events, partial(_latest, routing_keys(events.sparkSession, num_files)), LATEST, num_files)


@dataclass(frozen=True)
class Negatives:
    """How to draw a part's negatives."""

    population: Broadcast  # Of a Population.
    num_negatives: int
    seed: int
    salt: int  # Another for each part, so that their draws have nothing to do with each other.
    exclude_own_items: bool

    def draw(self, bucket: Bucket, rows: Rows, targets: np.ndarray) -> Ragged:
        population: Population = self.population.value
        parts = [np.zeros((0, self.num_negatives), np.int32)]
        for start in range(0, len(rows), _ROWS_PER_DRAW):
            part = slice(start, start + _ROWS_PER_DRAW)
            owner = rows.owner[part]
            keys = keyed(bucket.keys[owner], self.seed, self.salt, rows.position[part])
            own = bucket.events.items.take(owner) if self.exclude_own_items else None
            parts.append(draw_negatives(population, keys, targets[part], self.num_negatives, own))
        drawn = np.concatenate(parts)
        return Ragged.from_lengths(drawn.ravel(), np.full(len(rows), self.num_negatives))


def write_files(rows: DataFrame, attempt: Attempt, name: str, *, count_targets: bool = False) -> Table:
    """Writes one file per partition with one row group each, and checks that against the footers.

    Raises:
        DataError: a file has more than one row group.
    """
    rows.write.option("parquet.block.size", _ONE_ROW_GROUP).parquet(
        attempt.uri(name), mode="overwrite", compression=COMPRESSION
    )
    reader = rows.sparkSession.newSession()  # Many files a task again.
    targets = _targets_by_file(reader, rows.schema, attempt, name) if count_targets else None
    num_targets = None if targets is None else lambda path: targets.get(path.rpartition("/")[2], 0)
    table = describe_table(reader, attempt, name, rows.schema, num_targets=num_targets)
    for file in table.files:
        with attempt.storage.open_input(file.path) as stream:
            groups = pq.ParquetFile(stream).metadata.num_row_groups
        if groups != 1:
            raise DataError(
                f"{attempt.storage.uri(file.path)}: has {groups} row groups, not 1: "
                "lower preparation.max_targets_per_file."
            )
    return table


def _targets_by_file(spark: SparkSession, schema: StructType, attempt: Attempt, name: str) -> dict[str, int]:
    """Training targets by file name, read back from the files."""
    stored = spark.read.schema(schema).parquet(attempt.uri(name))
    file = F.element_at(F.split(F.input_file_name(), "/"), -1).alias("file")
    counted = stored.select(file, (F.size(ITEM_INDICES) - F.col(NUM_CONTEXT)).alias("targets"))
    return {
        row["file"]: row["targets"] for row in counted.groupBy("file").agg(F.sum("targets").alias("targets")).collect()
    }


def _build(events: DataFrame, build: Callable, schema: StructType, num_files: int) -> DataFrame:
    keyed_events = events.select(USER, F.xxhash64(USER).alias(USER_KEY), ITEM_INDICES, TIMESTAMPS)
    rows = keyed_events.mapInArrow(partial(_build_bucket, build), with_routing(schema))
    return rows.transform(route, num_files, FILE_KEY, [USER_KEY, USER, ROW]).select(*schema.names)


def _build_bucket(
    build: Callable[[Bucket], list[pa.Array]], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    bucket = Bucket.of(batches)
    if bucket is not None:
        columns = build(bucket)
        yield pa.RecordBatch.from_arrays(columns, names=[str(i) for i in range(len(columns))])


def _segments(
    rule: SplitRule, max_targets: int, max_history: int, file_keys: np.ndarray, bucket: Bucket
) -> list[pa.Array]:
    events = bucket.events
    rows = cut_segments(events.items.offsets, rule.apply(events.times).num_train, max_targets, max_history)
    items, times = bucket.slices(rows)
    return [
        bucket.names(rows),
        items.to_arrow(),
        times.to_arrow(),
        pa.array(events.first_times[rows.owner]),
        pa.array(rows.position, pa.int32()),
        *bucket.routing(rows, rows.end - rows.start - rows.position, file_keys),
    ]


def _targets(
    targets_of: Callable, rule: SplitRule, max_history: int, negatives: Negatives, file_keys: np.ndarray, bucket: Bucket
) -> list[pa.Array]:
    events = bucket.events
    rows = cut_histories(events.items.offsets, targets_of(rule.apply(events.times)), max_history)
    items, times = bucket.slices(rows)
    targets = events.items.values[rows.end]
    return [
        bucket.names(rows),
        pa.array(rows.position, pa.int32()),
        items.to_arrow(),
        times.to_arrow(),
        pa.array(events.first_times[rows.owner]),
        pa.array(targets),
        pa.array(events.times.values[rows.end]),
        negatives.draw(bucket, rows, targets).to_arrow(),
        *bucket.routing(rows, np.ones(len(rows), np.int64), file_keys),
    ]


def _latest(file_keys: np.ndarray, bucket: Bucket) -> list[pa.Array]:
    offsets = bucket.events.items.offsets
    rows = Rows(np.arange(len(offsets) - 1), offsets[:-1], offsets[1:], np.diff(offsets))
    items, times = bucket.slices(rows)
    return [
        bucket.names(rows),
        items.to_arrow(),
        times.to_arrow(),
        pa.array(bucket.events.first_times),
        *bucket.routing(rows, np.ones(len(rows), np.int64), file_keys),
    ]
