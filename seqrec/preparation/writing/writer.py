"""The sequence tables: built bucket by bucket, dealt to files of equal size, written and checked.

The rows that a bucket contributes to a file travel as one binary value, see `tables/arrow_bytes.py`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark import Broadcast
from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from seqrec.core.columns import ITEM_INDICES, NUM_CONTEXT, TIMESTAMPS, USER
from seqrec.core.errors import DataError
from seqrec.core.keyed_random import keyed
from seqrec.core.manifest import Attempt, Table
from seqrec.core.storage import Storage
from seqrec.events.ragged import Ragged, column, lists
from seqrec.preparation.item_periods import Periods
from seqrec.preparation.negatives.negatives import draw_negatives
from seqrec.preparation.negatives.population import Population
from seqrec.preparation.splits.sequences import SegmentRows, UserEvents, cut_histories, cut_segments
from seqrec.preparation.splits.splits import Split, SplitRule
from seqrec.preparation.writing.file_plan import deal_evenly, routing_keys
from seqrec.tables.arrow_bytes import from_arrow_rows, from_bytes, to_bytes
from seqrec.tables.files import COMPRESSION, describe_table
from seqrec.tables.prepared_schemas import (
    CHUNK,
    CHUNKS,
    EVALUATION,
    FILE_KEY,
    LATEST,
    ROUTING,
    ROW,
    TRAIN,
    USER_EVENTS,
    USER_KEY,
)

_ONE_ROW_GROUP = str(256 << 20)  # Size of a row group in bytes, above that of any file.
_ROWS_PER_BATCH = 10_000  # Rows of a file that are handed to Spark's writer at once.
_ROWS_PER_DRAW = 20_000  # Rows whose negatives are drawn at once; with 49 each this needs about 100 MB.


@dataclass(frozen=True)
class Bucket:
    """A bucket of users, in the order of their keys."""

    users: pa.Array  # string [users]
    keys: np.ndarray  # uint64 [users], hash of the user id.
    events: UserEvents

    @classmethod
    def of(cls, rows: pa.RecordBatch) -> "Bucket":
        """The bucket in a batch of USER_EVENTS."""
        events = UserEvents(lists(rows, ITEM_INDICES), lists(rows, TIMESTAMPS))
        return cls(rows.column(USER), column(rows, USER_KEY).view(np.uint64), events)

    def routing(self, rows: SegmentRows) -> list[pa.Array]:
        """The columns ROUTING: user key and row number, which place a row within its file."""
        keys = self.keys[rows.owner].view(np.int64)
        return [pa.array(keys), pa.array(rows.end - self.events.items.offsets[rows.owner])]

    def slices(self, rows: SegmentRows) -> tuple[Ragged, Ragged]:
        """Items and times of each row."""
        return self.events.items.slices(rows.start, rows.end), self.events.times.slices(rows.start, rows.end)

    def names(self, rows: SegmentRows) -> pa.Array:
        """The user id of each row."""
        return self.users.take(pa.array(rows.owner))


# Makes from a bucket the columns of a sequence table, followed by ROUTING, and the weight of each row in its file.
Build = Callable[[Bucket], tuple[list[pa.Array], np.ndarray]]


def build_train(events: DataFrame, rule: SplitRule, max_targets: int, max_history: int, num_files: int) -> DataFrame:
    """One row per training segment; one partition per file, with equal numbers of targets."""
    return _build(events, partial(_segments, rule, max_targets, max_history), TRAIN, num_files)


def build_evaluation(
    events: DataFrame,
    targets_of: Callable[[Split], object],
    rule: SplitRule,
    max_history: int,
    draw: "NegativeDraw",
    num_files: int,
) -> DataFrame:
    """One row per target of validation or test, with its history and negatives; one partition per file."""
    return _build(events, partial(_targets, targets_of, rule, max_history, draw), EVALUATION, num_files)


def build_latest(events: DataFrame, num_files: int) -> DataFrame:
    """One row per user with the user's whole history; one partition per file."""
    return _build(events, _latest, LATEST, num_files)


@dataclass(frozen=True)
class NegativeDraw:
    """The settings by which the negatives of validation or test are drawn."""

    population: Broadcast  # A broadcast `Population`.
    num_negatives: int
    seed: int
    salt: int  # Differs between validation and test, so that their draws are independent.
    exclude_own_items: bool
    periods: Periods

    def draw(self, bucket: Bucket, rows: SegmentRows, targets: np.ndarray, times: np.ndarray) -> Ragged:
        """The negatives of each row, as lists of `num_negatives` items; `times` are those of the targets."""
        population: Population = self.population.value
        parts = [np.zeros((0, self.num_negatives), np.int32)]
        for start in range(0, len(rows), _ROWS_PER_DRAW):
            part = slice(start, start + _ROWS_PER_DRAW)
            owner = rows.owner[part]
            keys = keyed(bucket.keys[owner], self.seed, self.salt, rows.position[part])
            owners, owner = np.unique(owner, return_inverse=True)
            own = bucket.events.items.take(owners) if self.exclude_own_items else None
            periods = self.periods.of(times[part])
            parts.append(draw_negatives(population, keys, targets[part], self.num_negatives, own, owner, periods))
        drawn = np.concatenate(parts)
        return Ragged.from_lengths(drawn.ravel(), np.full(len(rows), self.num_negatives))


def write_files(rows: DataFrame, attempt: Attempt, name: str, *, count_targets: bool = False) -> Table:
    """Writes one file per partition with one row group each, and checks the footers.

    Raises:
        DataError: a file has more than one row group, or a partition became several files.
    """
    rows.write.option("parquet.block.size", _ONE_ROW_GROUP).parquet(
        attempt.uri(name), mode="overwrite", compression=COMPRESSION
    )
    num_targets = partial(_count_targets, attempt.storage) if count_targets else None
    table = describe_table(rows.sparkSession, attempt, name, rows.schema, num_targets=num_targets)
    num_partitions = rows.rdd.getNumPartitions()
    if len(table.files) > num_partitions:
        raise DataError(
            f"{attempt.uri(name)}: Spark cut {num_partitions} partitions into {len(table.files)} files. Leave "
            "spark.sql.files.maxRecordsPerFile at 0."
        )
    for file in table.files:
        with attempt.storage.open_input(file.path) as stream:
            groups = pq.ParquetFile(stream).metadata.num_row_groups
        if groups != 1:
            raise DataError(
                f"{attempt.storage.uri(file.path)}: has {groups} row groups, not 1: "
                "lower preparation.max_targets_per_file."
            )
    return table


def _count_targets(storage: Storage, path: str) -> int:
    """Training targets in a file: its events, which the footer counts, less the events that are only context."""
    with storage.open_input(path) as stream:
        file = pq.ParquetFile(stream)
        column_names = [file.schema.column(i).path.partition(".")[0] for i in range(len(file.schema))]
        place = column_names.index(ITEM_INDICES)
        groups = [file.metadata.row_group(group) for group in range(file.metadata.num_row_groups)]
        num_events = sum(
            group.column(place).num_values for group in groups
        )  # An empty segment would count as one; none is empty.
        return num_events - (pc.sum(file.read([NUM_CONTEXT]).column(0)).as_py() or 0)


def _build(events: DataFrame, build: Build, schema: StructType, num_files: int) -> DataFrame:
    """Builds rows per bucket, deals them to files, and sorts each file, so the order does not depend on the buckets."""
    keys = routing_keys(events.sparkSession, num_files)
    names = [*schema.names, *ROUTING]
    chunks = events.select(*USER_EVENTS.names).mapInArrow(partial(_deal, build, keys, names), CHUNKS)
    return chunks.repartition(num_files, FILE_KEY).select(CHUNK).mapInArrow(partial(_assemble, schema.names), schema)


def _deal(
    build: Build, file_keys: np.ndarray, names: list[str], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """For each bucket and file, the rows that the file gets, as bytes; files get equal shares of a bucket."""
    for rows in from_arrow_rows(batches):
        bucket = Bucket.of(rows)
        if not len(bucket.keys):
            continue
        columns, sizes = build(bucket)
        files = deal_evenly(sizes, len(file_keys), int(bucket.keys[0] % np.uint64(len(file_keys))))
        order = np.argsort(files, kind="stable")
        table = pa.Table.from_arrays(columns, names=names).take(pa.array(order)).combine_chunks()
        bounds = np.searchsorted(files[order], np.arange(len(file_keys) + 1))
        filled = np.flatnonzero(np.diff(bounds))
        chunks = [to_bytes(table.slice(bounds[f], bounds[f + 1] - bounds[f]).to_batches()[0]) for f in filled]
        yield pa.RecordBatch.from_arrays(
            [pa.array(file_keys[filled]), pa.array(chunks, pa.binary())], names=CHUNKS.names
        )


def _assemble(names: list[str], batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The rows of one file in the order of user key, user and row number."""
    chunks = [from_bytes(chunk.as_buffer()) for batch in batches for chunk in batch.column(0)]
    if not chunks:
        return
    table = pa.Table.from_batches(chunks).combine_chunks()
    order = pc.sort_indices(table, sort_keys=[(key, "ascending") for key in (USER_KEY, USER, ROW)])
    for start in range(0, len(order), _ROWS_PER_BATCH):
        rows = table.select(names).take(order.slice(start, _ROWS_PER_BATCH)).combine_chunks()
        yield from rows.to_batches()


def _segments(rule: SplitRule, max_targets: int, max_history: int, bucket: Bucket) -> tuple[list[pa.Array], np.ndarray]:
    events = bucket.events
    rows = cut_segments(events.items.offsets, rule.apply(events.times).num_train, max_targets, max_history)
    items, times = bucket.slices(rows)
    return [
        bucket.names(rows),
        items.to_arrow(),
        times.to_arrow(),
        pa.array(events.first_times[rows.owner]),
        pa.array(rows.position, pa.int32()),
        *bucket.routing(rows),
    ], rows.end - rows.start - rows.position


def _targets(
    targets_of: Callable, rule: SplitRule, max_history: int, draw: NegativeDraw, bucket: Bucket
) -> tuple[list[pa.Array], np.ndarray]:
    events = bucket.events
    rows = cut_histories(events.items.offsets, targets_of(rule.apply(events.times)), max_history)
    items, times = bucket.slices(rows)
    targets, target_times = events.items.values[rows.end], events.times.values[rows.end]
    return [
        bucket.names(rows),
        pa.array(rows.position, pa.int32()),
        items.to_arrow(),
        times.to_arrow(),
        pa.array(events.first_times[rows.owner]),
        pa.array(targets),
        pa.array(target_times),
        draw.draw(bucket, rows, targets, target_times).to_arrow(),
        *bucket.routing(rows),
    ], np.ones(len(rows), np.int64)


def _latest(bucket: Bucket) -> tuple[list[pa.Array], np.ndarray]:
    offsets = bucket.events.items.offsets
    rows = SegmentRows(np.arange(len(offsets) - 1), offsets[:-1], offsets[1:], np.diff(offsets))
    items, times = bucket.slices(rows)
    return [
        bucket.names(rows),
        items.to_arrow(),
        times.to_arrow(),
        pa.array(bucket.events.first_times),
        *bucket.routing(rows),
    ], np.ones(len(rows), np.int64)
