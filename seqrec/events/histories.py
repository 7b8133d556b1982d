"""Histories to recommend from: rows of `latest`, `validation`, `test` or a file of them, read in batches without Spark.

Legend of this package: B users of a batch, E events of all of them, M candidates of a user.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from seqrec.core import columns as C
from seqrec.core.batch import History
from seqrec.core.errors import DataError, reason_of
from seqrec.core.manifest import FileEntry, Manifest, digest_of
from seqrec.core.storage import Storage
from seqrec.events.ragged import Ragged, column, lists
from seqrec.events.windows import cut_whole_histories

_COLUMNS = [C.USER, C.HISTORY_ITEMS, C.HISTORY_TIMESTAMPS, C.FIRST_TIMESTAMP]
_TARGET_COLUMNS = [C.TARGET_ITEM, C.TARGET_TIMESTAMP]


@dataclass(frozen=True)
class Histories:
    """B users with their events, oldest first."""

    users: pa.Array  # string [B]
    items: Ragged  # int32, item indices.
    times: Ragged  # int64, seconds.
    first_timestamps: np.ndarray  # int64 [B], of the user's first event; the list may have lost it.
    as_of: np.ndarray  # int64 [B], the time for which items are sought.
    targets: np.ndarray | None = None  # int32 [B], what was taken at that time; only where it is known.

    def __len__(self) -> int:
        return len(self.first_timestamps)

    def take(self, rows: np.ndarray) -> "Histories":
        return Histories(
            self.users.take(pa.array(rows)),
            self.items.take(rows),
            self.times.take(rows),
            self.first_timestamps[rows],
            self.as_of[rows],
            None if self.targets is None else self.targets[rows],
        )

    def before_as_of(self) -> "Histories":
        """Without events later than the time for which items are sought; a list may become empty.

        What was taken later may then be recommended: that is how lists of a day in the past are measured.
        """
        happened = self.times.values <= self.as_of[self.times.owners]
        return (
            self if happened.all() else replace(self, items=self.items.keep(happened), times=self.times.keep(happened))
        )

    def windows(self, max_history_length: int) -> History:
        """The last events of each user as a History of one stream, arrays [1, B, L]."""
        history = cut_whole_histories(
            self.items.values,
            self.times.values,
            self.items.lengths,
            self.first_timestamps,
            self.as_of,
            max_history_length,
        )
        return History(*(array[None] for array in history))


def read_histories(
    storage: Storage, path: str, batch_size: int, as_of: int | None, with_targets: bool = False
) -> Iterator[Histories]:
    """Batches of one file, each of `batch_size` rows but the last, in the file's order.

    Args:
        as_of: the time for which items are sought; with targets each target's own time.

    Raises:
        DataError: the file cannot be read.
    """
    wanted = _COLUMNS + (_TARGET_COLUMNS if with_targets else [])
    for batch in read_batches(storage, path, wanted, batch_size):
        first = column(batch, C.FIRST_TIMESTAMP).astype(np.int64)
        times = lists(batch, C.HISTORY_TIMESTAMPS)
        if with_targets:
            moment = column(batch, C.TARGET_TIMESTAMP)
        else:
            assert as_of is not None
            moment = np.full(len(first), as_of, np.int64)
        targets = column(batch, C.TARGET_ITEM) if with_targets else None
        yield Histories(batch.column(C.USER), lists(batch, C.HISTORY_ITEMS), times, first, moment, targets)


def read_batches(storage: Storage, path: str, columns: list[str], batch_size: int) -> Iterator[pa.RecordBatch]:
    """Record batches of exactly `batch_size` rows, the last one shorter: row groups do not show."""
    with storage.open_input(path) as stream:
        try:
            held: list[pa.RecordBatch] = []
            num_held = 0
            for part in pq.ParquetFile(stream).iter_batches(batch_size, columns=columns):
                held.append(part)
                num_held += part.num_rows
                while num_held >= batch_size:
                    table = pa.Table.from_batches(held).combine_chunks()
                    yield table.slice(0, batch_size).combine_chunks().to_batches()[0]
                    held = table.slice(batch_size).to_batches()
                    num_held -= batch_size
            if num_held:
                yield pa.Table.from_batches(held).combine_chunks().to_batches()[0]
        except (OSError, pa.ArrowException, KeyError) as error:
            raise DataError(f"{storage.uri(path)}: not a readable table of histories: {reason_of(error)}.") from None


def files_digest(prepared: Manifest, histories: str) -> str:
    """Of the histories' files. Outputs are made file by file, so the same rows in other files are another input."""
    return digest_of([(file.path, file.rows) for file in prepared.table(f"sequences/{histories}").files])


def newest_timestamp(storage: Storage, files: tuple[FileEntry, ...], column_name: str) -> int:
    """The largest value in a column of lists of seconds, mostly from the files' footers; 0 where there is none."""
    newest = 0
    for entry in files:
        with storage.open_input(entry.path) as stream:
            file = pq.ParquetFile(stream)
            for number in range(file.metadata.num_row_groups):
                group = file.metadata.row_group(number)
                chunks = (group.column(i) for i in range(group.num_columns))
                statistics = next(c for c in chunks if c.path_in_schema.split(".")[0] == column_name).statistics
                if statistics is not None and statistics.has_min_max:
                    newest = max(newest, statistics.max)
                    continue
                for batch in pq.ParquetFile(stream).iter_batches(columns=[column_name], row_groups=[number]):
                    newest = max(newest, int(lists(batch, column_name).values.max(initial=0)))
    return newest
