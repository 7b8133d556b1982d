"""When items were taken: the days of all events, by item, so that events before any day can be counted."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql.types import LongType, StructField, StructType

from seqrec.core.columns import ITEM_INDICES, NUM_CONTEXT, SECONDS_PER_DAY, TIMESTAMPS
from seqrec.core.errors import DataError
from seqrec.core.local_copies import map_array
from seqrec.core.manifest import Attempt
from seqrec.core.storage import Storage, scratch_folder
from seqrec.events.ragged import column, lists

EVENT_DAYS = "event_days.npy"
_DAY_BITS = 20
_LAST_DAY = (1 << _DAY_BITS) - 1
_KEY = "key"
_KEYS = StructType([StructField(_KEY, LongType(), nullable=False)])
NEVER = -1


@dataclass(frozen=True)
class EventDays:
    """The events of each item in order of time."""

    keys: np.ndarray  # int64 [events], ascending: item << 20 | days since 1970; mapped from a file.

    @classmethod
    def open(cls, storage: Storage, folder: str) -> "EventDays":
        """
        Raises:
            DataError: the candidates were made by an earlier version.
        """
        path = f"{folder}/{EVENT_DAYS}"
        if not storage.exists(path):
            raise DataError(
                f"{storage.uri(path)}: not there; the candidates were made by an earlier version. "
                "Run the job 'candidates' again with --set force=true."
            )
        return cls(map_array(storage, path))

    def num_before(self, items: np.ndarray, days: np.ndarray) -> np.ndarray:
        """int64 [n]: events of each item on an earlier day than `days`, both [n]."""
        items = items.astype(np.int64) << _DAY_BITS
        start = np.searchsorted(self.keys, items)
        return np.searchsorted(self.keys, items | np.clip(days, 0, _LAST_DAY)) - start

    def first_and_last_before(self, items: np.ndarray, days: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """int64 [n] each: the days of an item's first and last event on an earlier day than `days`; NEVER without."""
        items = items.astype(np.int64) << _DAY_BITS
        start = np.searchsorted(self.keys, items)
        end = np.searchsorted(self.keys, items | np.clip(days, 0, _LAST_DAY))
        if not len(self.keys):
            return np.full(len(items), NEVER), np.full(len(items), NEVER)
        first = self.keys[np.minimum(start, len(self.keys) - 1)] & _LAST_DAY
        last = self.keys[np.maximum(end - 1, 0)] & _LAST_DAY
        return np.where(end > start, first, NEVER), np.where(end > start, last, NEVER)


def write_event_days(events: DataFrame, attempt: Attempt, folder: str) -> None:
    """Sorted by Spark; the driver then copies the keys into one file, a row group at a time.

    Args:
        events: rows of ITEM_INDICES and TIMESTAMPS; events before place NUM_CONTEXT do not count.
    """
    storage, scratch = attempt.storage, f"{attempt.path}/scratch/event_days"
    keys = events.select(ITEM_INDICES, TIMESTAMPS, NUM_CONTEXT).mapInArrow(_keys_of, _KEYS)
    ordered = keys.repartitionByRange(_KEY).sortWithinPartitions(_KEY)
    ordered.write.parquet(attempt.uri("scratch/event_days"), mode="overwrite", compression="zstd")
    files = [file.path for file in storage.list_files(scratch) if file.path.endswith(".parquet")]
    size = 0
    for path in files:
        with storage.open_input(path) as stream:
            size += pq.ParquetFile(stream).metadata.num_rows
    with scratch_folder() as local:
        array = np.lib.format.open_memmap(local / EVENT_DAYS, "w+", np.int64, (size,))
        done = 0
        for path in files:
            with storage.open_input(path) as stream:
                for batch in pq.ParquetFile(stream).iter_batches(1 << 18):
                    array[done : done + batch.num_rows] = column(batch, _KEY)
                    done += batch.num_rows
        array.flush()
        storage.upload(local / EVENT_DAYS, f"{attempt.path}/{folder}/{EVENT_DAYS}")
    storage.delete(scratch)


def event_keys(items: np.ndarray, timestamps: np.ndarray) -> np.ndarray:
    """int64 [n]: the key of each event, see `EventDays`; not sorted."""
    days = np.clip(timestamps // SECONDS_PER_DAY, 0, _LAST_DAY)
    return items.astype(np.int64) << _DAY_BITS | days


def _keys_of(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        items, times = lists(batch, ITEM_INDICES), lists(batch, TIMESTAMPS).values
        place = np.arange(len(items.values)) - np.repeat(items.offsets[:-1], items.lengths)
        is_own = place >= np.repeat(column(batch, NUM_CONTEXT), items.lengths)
        yield pa.RecordBatch.from_pydict({_KEY: event_keys(items.values[is_own], times[is_own])})
