"""Reading row groups by pyarrow alone, of any version: for stacks on which Petastorm does not run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from seqrec.events.ragged import column
from seqrec.feed.readers.flat_columns import Columns, FlatColumns, FlatLists, flat_columns


def read_row_groups(paths: Sequence[Path], columns: Columns) -> list[FlatColumns]:
    """The row groups of local files, in order, one after the other; raises as `flat_columns`."""
    groups = []
    for path in paths:
        with pq.ParquetFile(path) as file:
            for number in range(file.num_row_groups):
                # One thread, as of Petastorm's: the feed itself reads ahead, and training needs the other cores.
                table = file.read_row_group(number, columns=list(columns.dtypes), use_threads=False)
                groups.append(_flat(table.combine_chunks(), columns))
    return groups


def _flat(table: pa.Table, columns: Columns) -> FlatColumns:
    def lists_of(name: str) -> FlatLists | None:
        lists = table.column(name).chunk(0)
        if lists.null_count:
            return None
        lengths = np.diff(lists.offsets.to_numpy()).astype(np.int64)
        return FlatLists(lengths, lists.flatten().to_numpy(zero_copy_only=False))

    return flat_columns(columns, table.num_rows, lists_of, lambda name: column(table, name))
