"""Reading row groups through Petastorm, which only this module uses.

It uses only the features of Petastorm 0.12.1 that were found to lose no rows: the dummy pool, one pass, a new reader
for every group of files, no filters, and none of its shuffling. A `TransformSpec` turns a row group into one row of
flat arrays, because lists of unequal length cannot be collated.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from seqrec.feed.readers.flat_columns import LENGTHS, Columns, FlatColumns, FlatLists, flat_columns

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Petastorm imports deprecated modules, and its version is pinned.
    from petastorm import make_batch_reader
    from petastorm.transform import TransformSpec

warnings.filterwarnings("ignore", category=FutureWarning, module=r"petastorm\..*")


def read_row_groups(paths: Sequence[Path], columns: Columns) -> list[FlatColumns]:
    """The row groups of local files, in order, one after the other; raises as `flat_columns`."""
    dtypes = {**columns.dtypes, LENGTHS: np.int64}
    transform = TransformSpec(
        lambda frame: _one_row(frame, columns),
        edit_fields=[(name, dtype, (None,), False) for name, dtype in dtypes.items()],
    )
    with make_batch_reader(
        [f"file://{path}" for path in paths],  # Petastorm expects the path without percent-encoding.
        schema_fields=[f"^{name}$" for name in columns.dtypes],
        reader_pool_type="dummy",
        shuffle_row_groups=False,
        num_epochs=1,
        transform_spec=transform,
    ) as reader:
        return [{name: getattr(group, name)[0] for name in dtypes} for group in reader]


def _one_row(frame: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """One row that holds a whole row group: each column is one flat array."""

    def lists_of(name: str) -> FlatLists | None:
        if frame[name].isna().any():
            return None
        return FlatLists(frame[name].map(len).to_numpy(np.int64), np.concatenate(frame[name].to_list()))

    flat = flat_columns(columns, len(frame), lists_of, lambda name: frame[name].to_numpy())
    return pd.DataFrame({name: [values] for name, values in flat.items()})
