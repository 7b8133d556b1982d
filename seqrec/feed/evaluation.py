"""Batches of validation or test rows, spread over the workers.

Legend: B rows of a batch, L padded history length, N candidates (the target and its negatives).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from seqrec.core.batch import CatalogueBatch, EvalBatch, History
from seqrec.core.errors import DataError
from seqrec.core.keyed_random import keyed
from seqrec.core.manifest import FileEntry
from seqrec.core.storage import Storage
from seqrec.events.rows import TargetRows
from seqrec.feed.config import PETASTORM
from seqrec.feed.reader import read_target_rows

_SALT = 51  # Sets these draws apart from others of the same seed.


@dataclass(frozen=True)
class RowSample:
    """A number of rows, drawn by seed and by their number in the table: a larger sample holds every smaller one."""

    size: int
    seed: int

    def of(self, num_rows: int) -> np.ndarray:
        """Numbers of the rows that are drawn of `num_rows`, int64 [size], ascending; all if there are fewer."""
        if self.size >= num_rows:
            return np.arange(num_rows)
        return np.sort(np.argpartition(keyed(np.arange(num_rows), self.seed, _SALT), self.size)[: self.size])


@dataclass(frozen=True, kw_only=True)
class EvaluationFeed:
    """The rows of a validation or test table, each on exactly one worker.

    The rows are cut into batches in the manifest's order, and the batches into n consecutive parts; worker r of n takes
    part r, and reads only the files that hold it. So batches, and what a model makes of them, depend on no worker.
    """

    storage: Storage
    files: Sequence[FileEntry]
    batch_size: int
    max_history_length: int
    worker_rank: int = 0
    num_workers: int = 1
    max_rows: int | None = None  # How many rows of the table are used, from the first on; None uses all.
    sample: RowSample | None = None  # Use only a sample of these rows.
    scratch: str | None = None  # Local folder for copies of remote files.
    reader: str = PETASTORM  # See `FeedConfig`.

    @property
    def own_rows(self) -> np.ndarray:
        """Numbers of this worker's rows in the table, int64, ascending."""
        total = sum(file.rows for file in self.files)
        num_rows = total if self.max_rows is None else min(total, self.max_rows)
        numbers = np.arange(num_rows) if self.sample is None else self.sample.of(num_rows)
        num_batches = -(-len(numbers) // self.batch_size)
        first, end = (num_batches * rank // self.num_workers for rank in (self.worker_rank, self.worker_rank + 1))
        return numbers[first * self.batch_size : end * self.batch_size]

    def batches(self) -> Iterator[tuple[EvalBatch, int]]:
        """Batches of arrays [1, B, ...], each with its number of real rows.

        The last batch is filled up to B with empty histories and candidates 0, so that all batches have one shape.

        Raises:
            DataError: a file is not what the manifest says, or rows differ in their number of negatives.
        """
        for rows in self._row_batches():
            yield EvalBatch(self._history(rows), self._filled(rows.candidates[None])), len(rows)

    def catalogue_batches(self) -> Iterator[tuple[CatalogueBatch, int]]:
        """As `batches`, with everything that the user has in place of candidates; E is a power of two."""
        for rows in self._row_batches():
            width = 1 << int(rows.lengths.max(initial=1) - 1).bit_length()
            own = np.zeros((len(rows), width), np.int32)
            own[np.arange(width) < rows.lengths[:, None]] = rows.items.values
            batch = CatalogueBatch(self._history(rows), self._filled(rows.target_items[None]), self._filled(own[None]))
            yield batch, len(rows)

    def _row_batches(self) -> Iterator[TargetRows]:
        own_rows, first = self.own_rows, 0
        held: list[TargetRows] = []
        num_held = 0
        width = None
        for file in self.files:
            start, stop = np.searchsorted(own_rows, [first, first + file.rows])
            if start < stop:
                rows = read_target_rows(self.storage, [file], self.scratch, self.reader)
                width = width or rows.negative_items.shape[1]
                if rows.negative_items.shape[1] != width:
                    raise DataError(
                        f"{self.storage.uri(file.path)}: {rows.negative_items.shape[1]} negatives a row, other files "
                        f"have {width}. Prepare the data again (--set force=true)."
                    )
                held.append(rows.take(own_rows[start:stop] - first))
                num_held += stop - start
            while num_held >= self.batch_size:
                together = TargetRows.concatenate(held)
                yield together.slice(0, self.batch_size)
                held = [together.slice(self.batch_size, num_held)]
                num_held -= self.batch_size
            first += file.rows
        if num_held:
            yield TargetRows.concatenate(held)

    def _history(self, rows: TargetRows) -> History:
        return History(*map(self._filled, rows.windows(self.max_history_length)))

    def _filled(self, values: np.ndarray) -> np.ndarray:
        """The array [1, rows, ...] with zeros up to B rows."""
        missing = self.batch_size - values.shape[1]
        return np.pad(values, [(0, 0), (0, missing)] + [(0, 0)] * (values.ndim - 2))
