"""Training batches of runs of events: each example is a part of a user's events, with a target after nearly each.

Legend: S streams of this worker, B runs of a stream in a step, L padded length.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from seqrec.core.batch import EventRuns, RunBatch
from seqrec.core.columns import ITEM_INDICES, NUM_CONTEXT
from seqrec.core.errors import DataError, reason_of
from seqrec.core.manifest import FileEntry
from seqrec.core.storage import Storage
from seqrec.events.ragged import column, lists
from seqrec.events.runs import RunEvents, build_runs, cut_runs, num_runs_of
from seqrec.events.windows import Segments
from seqrec.feed.config import PETASTORM
from seqrec.feed.layout import Layout
from seqrec.feed.streams import Arrays, TrainingFeed

_SMALLEST_WIDTH = 8
_FILES_AT_ONCE = 4  # Files that are counted at the same time.


class RunFeed(TrainingFeed[RunBatch]):
    """Batches of runs, with every training target once per epoch but those of the runs left over.

    Within a stream's share the longest runs come first (with gradient accumulation, within each part of the share). All
    arrays are cut to the smallest of `run_widths` that holds the worker's longest run, so workers may have different
    widths in the same step, but nothing except padding depends on the number of workers.

    Args:
        max_history_length: the most events that a run reads.
        num_runs: runs in each file, where they are counted already; None counts them now.

    Raises:
        SeqrecError: a file cannot be counted (see `count_runs`).
    """

    def __init__(
        self,
        storage: Storage,
        files: Sequence[FileEntry],
        layout: Layout,
        *,
        worker_rank: int,
        max_history_length: int,
        num_runs: Sequence[int] | None = None,
        scratch: str | None = None,
        reader: str = PETASTORM,
    ):
        if num_runs is None:
            num_runs = count_runs(storage, files, max_history_length)
        super().__init__(
            storage,
            files,
            layout,
            worker_rank=worker_rank,
            max_history_length=max_history_length,
            num_runs=num_runs,
            scratch=scratch,
            reader=reader,
        )
        self._widths = run_widths(max_history_length)

    def _lay_out(self, segments: Segments, files: Sequence[FileEntry]) -> tuple[RunEvents, np.ndarray]:
        events = build_runs(segments, self._max_history_length)
        return events, np.arange(len(events.starts))

    def _cut(self, events: RunEvents, examples: np.ndarray) -> Arrays:
        runs, targets = cut_runs(events, examples, self._max_history_length)
        return *runs, targets

    def _batch(self, arrays: Arrays) -> RunBatch:
        items, length, seconds, targets = arrays
        order = self._order(length)
        width = next(width for width in self._widths if width >= length.max())

        def ordered(values: np.ndarray) -> np.ndarray:
            return np.take_along_axis(values[:, :, :width], order[:, :, None], axis=1)

        length = np.take_along_axis(length, order, axis=1)
        return RunBatch(EventRuns(ordered(items), length, ordered(seconds)), ordered(targets))

    def _order(self, length: np.ndarray) -> np.ndarray:
        """int64 [S, B]: the longest runs first, dealt one by one to the parts that a step works on in turn."""
        longest_first = np.argsort(-length, axis=1, kind="stable")
        num_streams, num_parts = len(length), self._layout.num_parts
        return longest_first.reshape(num_streams, -1, num_parts).transpose(0, 2, 1).reshape(num_streams, -1)


def run_widths(max_history_length: int) -> tuple[int, ...]:
    """The lengths that batches are padded to, ascending: powers of two from 8 on, then the longest run's length.

    They are few, so that a graph is traced only a few times.
    """
    widths = []
    width = _SMALLEST_WIDTH
    while width < max_history_length:
        widths.append(width)
        width *= 2
    return (*widths, max_history_length)


def count_runs(storage: Storage, files: Sequence[FileEntry], max_history_length: int) -> list[int]:
    """The runs in each file of `sequences/train`, for `plan_epoch`.

    They depend on `max_history_length`, a setting of training, so the manifest cannot hold them. The driver therefore
    reads the items of all files once before training, and sends the numbers to the workers.

    Raises:
        StorageError: a file is missing.
        DataError: a file is broken, or does not have the targets that the manifest lists.
    """
    with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
        return list(pool.map(partial(_count_file, storage, max_history_length), files))


def _count_file(storage: Storage, max_history_length: int, file: FileEntry) -> int:
    try:
        with storage.open_input(file.path) as stream:
            table = pq.read_table(stream, columns=[ITEM_INDICES, NUM_CONTEXT]).combine_chunks()
        if not len(table):
            return 0
        lengths, num_context = lists(table, ITEM_INDICES).lengths, column(table, NUM_CONTEXT)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise DataError(
            f"{storage.uri(file.path)}: {reason_of(error)}. Prepare the data again (--set force=true)."
        ) from None
    found = int(np.maximum(lengths - num_context, 0).sum())
    if found != (file.targets or 0):
        raise DataError(
            f"{storage.uri(file.path)}: {found} training targets read, the manifest lists {file.targets}. "
            "Prepare the data again (--set force=true)."
        )
    return int(num_runs_of(lengths, num_context, max_history_length).sum())
