"""Training batches of windows with a list of items beside each target: candidates to tell the target from.

Legend: S streams of this worker, B examples of a stream in a step, M items of a list, T targets.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from seqrec.core import columns as C
from seqrec.core.batch import History, ListedBatch
from seqrec.core.errors import DataError, reason_of
from seqrec.core.manifest import FileEntry
from seqrec.core.storage import Storage
from seqrec.events.ragged import Ragged, lists, ranges
from seqrec.events.windows import Segments, WindowEvents, build_events, cut_examples
from seqrec.feed.config import PETASTORM
from seqrec.feed.layout import Layout
from seqrec.feed.streams import Arrays, TrainingFeed


class ListedEvents(NamedTuple):
    """The events of a group, and the list of each of its targets."""

    windows: WindowEvents
    listed: Ragged  # int32, the items of T lists, in the order of `windows.targets`.


class ListedFeed(TrainingFeed[ListedBatch]):
    """The batches of `WindowFeed`, each example with its list.

    Args:
        list_files: beside each of `files` the file with the lists of its targets, in order.
        list_length: M; of longer lists the first items are used.
    """

    def __init__(
        self,
        storage: Storage,
        files: Sequence[FileEntry],
        layout: Layout,
        *,
        worker_rank: int,
        max_history_length: int,
        list_files: Sequence[FileEntry],
        list_length: int,
        scratch: str | None = None,
        reader: str = PETASTORM,
    ):
        super().__init__(
            storage,
            files,
            layout,
            worker_rank=worker_rank,
            max_history_length=max_history_length,
            scratch=scratch,
            reader=reader,
        )
        self._lists_of = {file.path: beside for file, beside in zip(files, list_files, strict=True)}
        self._list_length = list_length

    def _lay_out(self, segments: Segments, files: Sequence[FileEntry]) -> tuple[ListedEvents, np.ndarray]:
        windows = build_events(segments, self._max_history_length)
        read = [read_lists(self._storage, self._lists_of[file.path]) for file in files]
        targets = np.concatenate([each[0] for each in read])
        if not np.array_equal(targets, windows.items[windows.targets]):
            raise DataError(
                f"{self._storage.uri(self._lists_of[files[0].path].path)}: lists of other targets than those of "
                "sequences/train. Run the job 'candidates' with candidates.histories=train again."
            )
        values = np.concatenate([each[1].values for each in read])
        lengths = np.concatenate([each[1].lengths for each in read])
        return ListedEvents(windows, Ragged.from_lengths(values, lengths)), windows.targets

    def _cut(self, events: ListedEvents, examples: np.ndarray) -> Arrays:
        numbers = np.searchsorted(events.windows.targets, examples)
        lengths = np.minimum(events.listed.lengths[numbers], self._list_length)
        listed = np.zeros((len(examples), self._list_length), np.int32)
        is_listed = np.arange(self._list_length) < lengths[:, None]
        listed[is_listed] = events.listed.values[ranges(events.listed.offsets[numbers], lengths)]
        history, target_item = cut_examples(events.windows, examples, self._max_history_length)
        return *history, target_item, listed

    def _batch(self, arrays: Arrays) -> ListedBatch:
        *history, target_item, listed = arrays
        return ListedBatch(History(*history), target_item, listed)


def read_lists(storage: Storage, file: FileEntry) -> tuple[np.ndarray, Ragged]:
    """The targets of a file of training lists, int32 [T], and their lists, int32.

    Raises:
        DataError: the file cannot be read, or has other rows than the manifest lists.
    """
    try:
        with storage.open_input(file.path) as stream:
            table = pq.ParquetFile(stream).read([C.TARGET_ITEM, C.CANDIDATE_ITEMS]).combine_chunks()
    except (OSError, pa.ArrowException, KeyError) as error:
        raise DataError(
            f"{storage.uri(file.path)}: not a readable table of lists: {reason_of(error)}. Run the job 'candidates' "
            "with candidates.histories=train again."
        ) from None
    if table.num_rows != file.rows:
        raise DataError(
            f"{storage.uri(file.path)}: {table.num_rows} rows, the manifest lists {file.rows}. Run the job "
            "'candidates' with candidates.histories=train again."
        )
    if not table.num_rows:
        return np.zeros(0, np.int32), Ragged.from_lengths(np.zeros(0, np.int32), np.zeros(0, np.int64))
    return table.column(C.TARGET_ITEM).to_numpy(), lists(table, C.CANDIDATE_ITEMS)
