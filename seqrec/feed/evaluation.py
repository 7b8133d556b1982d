"""Batches of validation or test rows, spread over the workers.

Legend: B rows of a batch, L padded history length, N candidates (the target and its negatives).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from seqrec.core.batch import CatalogueBatch, EvalBatch, History
from seqrec.core.errors import DataError
from seqrec.core.manifest import FileEntry
from seqrec.core.storage import Storage
from seqrec.events.rows import TargetRows
from seqrec.feed.reader import read_target_rows


@dataclass(frozen=True, kw_only=True)
class EvaluationFeed:
    """The rows of a validation or test table, each on exactly one worker.

    The rows are cut into n consecutive parts in the manifest's order; worker r of n takes part r, and reads only the
    files that hold it.
    """

    storage: Storage
    files: Sequence[FileEntry]
    batch_size: int
    max_history_length: int
    worker_rank: int = 0
    num_workers: int = 1
    max_rows: int | None = None  # How many rows of the table are used, from the first on; None uses all.
    scratch: str | None = None  # Local folder for copies of remote files.

    @property
    def num_rows(self) -> int:
        """Number of rows of all workers together."""
        total = sum(file.rows for file in self.files)
        return total if self.max_rows is None else min(total, self.max_rows)

    @property
    def own_rows(self) -> range:
        """Numbers of this worker's rows."""
        return range(
            self.num_rows * self.worker_rank // self.num_workers,
            self.num_rows * (self.worker_rank + 1) // self.num_workers,
        )

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
        first = 0
        held: list[TargetRows] = []
        num_held = 0
        width = None
        for file in self.files:
            start, stop = max(self.own_rows.start, first), min(self.own_rows.stop, first + file.rows)
            if start < stop:
                rows = read_target_rows(self.storage, [file], self.scratch)
                width = width or rows.negative_items.shape[1]
                if rows.negative_items.shape[1] != width:
                    raise DataError(
                        f"{self.storage.uri(file.path)}: {rows.negative_items.shape[1]} negatives a row, other files "
                        f"have {width}. Prepare the data again (--set force=true)."
                    )
                held.append(rows.slice(start - first, stop - first))
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
