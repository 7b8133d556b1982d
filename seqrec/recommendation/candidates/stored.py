"""Published candidates, read beside the histories that they were found for."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from seqrec.core import columns as C
from seqrec.core.errors import DataError
from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.events.histories import read_batches, read_histories
from seqrec.events.ragged import lists
from seqrec.events.rows import UserHistories
from seqrec.neighbours.config import CANDIDATES
from seqrec.neighbours.finder import Candidates


def candidate_files(prepared: Manifest, candidates: Manifest) -> list[tuple[str, str]]:
    """Each file of histories, and beside it the file of their candidates."""
    folder = f"candidates/{candidates.name}/{candidates.id}/{CANDIDATES}"
    histories = prepared.table(f"sequences/{candidates.settings['histories']}").files
    return [(file.path, f"{folder}/part-{number:05d}.parquet") for number, file in enumerate(histories)]


def read_with_candidates(
    storage: Storage, inputs: tuple[str, str], batch_size: int, as_of: int | None, with_targets: bool
) -> Iterator[tuple[UserHistories, Candidates]]:
    """Batches of histories with their candidates, row beside row.

    Args:
        inputs: an entry of `candidate_files`.
        as_of: as in `read_histories`.

    Raises:
        DataError: the two files are not of the same users.
    """
    histories = read_histories(storage, inputs[0], batch_size, as_of, with_targets)
    columns = [C.USER, C.CANDIDATE_ITEMS, C.CANDIDATE_SOURCES]
    for each, batch in zip(histories, read_batches(storage, inputs[1], columns, batch_size), strict=True):
        if not each.users.equals(batch.column(C.USER)):
            raise DataError(
                f"{storage.uri(inputs[1])}: not the users of {storage.uri(inputs[0])}. Run the job 'candidates' again "
                "(--set force=true)."
            )
        yield each, padded_candidates(batch)


def padded_candidates(batch: pa.RecordBatch) -> Candidates:
    items, sources = lists(batch, C.CANDIDATE_ITEMS), lists(batch, C.CANDIDATE_SOURCES)
    width = max(1, int(items.lengths.max(initial=0)))
    is_real = np.arange(width) < items.lengths[:, None]
    padded = Candidates(np.zeros(is_real.shape, np.int32), np.zeros(is_real.shape, np.int8))
    padded.items[is_real], padded.sources[is_real] = items.values, sources.values
    return padded
