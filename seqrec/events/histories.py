"""Files of histories, read in batches without Spark: rows of `latest`, `validation`, `test`, or files of that form."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from seqrec.core import columns as C
from seqrec.core.errors import DataError, reason_of
from seqrec.core.manifest import FileEntry, Manifest, digest_of
from seqrec.core.storage import Storage
from seqrec.events.ragged import Ragged, column, lists
from seqrec.events.rows import UserHistories

_COLUMNS = [C.USER, C.HISTORY_ITEMS, C.HISTORY_TIMESTAMPS, C.FIRST_TIMESTAMP]
_TARGET_COLUMNS = [C.TARGET_ITEM, C.TARGET_TIMESTAMP]


def read_histories(
    storage: Storage, path: str, batch_size: int, as_of: int | None, with_targets: bool = False
) -> Iterator[UserHistories]:
    """Batches of one file in the file's order; all but the last have `batch_size` rows.

    Args:
        as_of: the time in seconds for which items are sought; with targets, each target's own time counts instead.

    Raises:
        DataError: the file cannot be read.
    """
    wanted = _COLUMNS + (_TARGET_COLUMNS if with_targets else [])
    for batch in read_batches(storage, path, wanted, batch_size):
        first = column(batch, C.FIRST_TIMESTAMP).astype(np.int64)
        if with_targets:
            moments = column(batch, C.TARGET_TIMESTAMP)
        else:
            assert as_of is not None
            moments = np.full(len(first), as_of, np.int64)
        items, timestamps = events_of(batch)
        yield UserHistories(
            items=items,
            timestamps=timestamps,
            first_timestamps=first,
            as_of=moments,
            users=batch.column(C.USER),
            target_items=column(batch, C.TARGET_ITEM) if with_targets else None,
        )


def events_of(batch: pa.RecordBatch) -> tuple[Ragged, np.ndarray]:
    """Items and timestamps of the histories in a batch with the columns of `sequences/test`.

    Raises:
        DataError: a history has not one timestamp for each item.
    """
    items, times = lists(batch, C.HISTORY_ITEMS), lists(batch, C.HISTORY_TIMESTAMPS)
    if not np.array_equal(items.offsets, times.offsets):
        raise DataError("a history has not as many timestamps as items")
    return items, times.values


def read_batches(storage: Storage, path: str, columns: list[str], batch_size: int) -> Iterator[pa.RecordBatch]:
    """Record batches of exactly `batch_size` rows, only the last one shorter, whatever row groups the file has.

    Raises:
        DataError: the file cannot be read.
    """
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
    """Digest of the list of history files. Outputs are made file by file, so other files are another input, even with
    the same rows.
    """
    return digest_of([(file.path, file.rows) for file in prepared.table(f"sequences/{histories}").files])


def are_found_in(candidates: Manifest, prepared: Manifest, histories: str) -> bool:
    """Whether candidates were found for the histories that the prepared data hold now."""
    found_in = (candidates.inputs["prepared"], candidates.inputs.get("files"))
    return found_in == (prepared.content, files_digest(prepared, histories))


def newest_timestamp(storage: Storage, files: tuple[FileEntry, ...], column_name: str) -> int:
    """The largest value in a column of lists of seconds, mostly from the files' footers; 0 if there is no value."""
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
