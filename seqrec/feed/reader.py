"""Reading sequence files through Petastorm, which only this module uses.

It uses only the features of Petastorm 0.12.1 that were found to lose no rows: the dummy pool, one pass, a new reader
for every group of files, no filters, and none of its shuffling. A `TransformSpec` turns a row group into one row of
flat arrays, because lists of unequal length cannot be collated. The rows and targets of every pass are compared with
the manifest. Petastorm reads local files only, so other files are copied to scratch first and deleted afterwards.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from seqrec.core import columns as C
from seqrec.core.errors import DataError, reason_of
from seqrec.core.manifest import FileEntry
from seqrec.core.storage import Storage, scratch_folder
from seqrec.events.ragged import Ragged
from seqrec.events.rows import TargetRows
from seqrec.events.windows import Segments

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Petastorm imports deprecated modules, and its version is pinned.
    from petastorm import make_batch_reader
    from petastorm.transform import TransformSpec

warnings.filterwarnings("ignore", category=FutureWarning, module=r"petastorm\..*")

_NOT_IN_URLS = set("#?")  # These characters end the path of a URL; files with them in their names are read by a link.
_LENGTHS = "lengths"  # Name of the flat column that holds the length of each row's lists.


class Columns(NamedTuple):
    """Columns to read, by name, with the NumPy type of their values."""

    lists: Mapping[str, Any]  # Lists, which have one length within a row.
    scalars: Mapping[str, Any]
    matrices: Mapping[str, Any]  # Lists, which have one length in all rows.

    @property
    def dtypes(self) -> dict[str, Any]:
        return {**self.lists, **self.scalars, **self.matrices}


def read_segments(storage: Storage, files: Sequence[FileEntry], scratch: str | None = None) -> Segments:
    """All segments of `files`, in a fixed order.

    Args:
        scratch: local folder for copies of remote files; the system's temporary folder if None.

    Raises:
        DataError: a file is missing, cut off or broken, or its columns, rows or targets are not those that the
            manifest lists.
    """
    flat = _read(
        storage,
        files,
        scratch,
        Columns(
            lists={C.ITEM_INDICES: np.int32, C.TIMESTAMPS: np.int64},
            scalars={C.FIRST_TIMESTAMP: np.int64, C.NUM_CONTEXT: np.int32},
            matrices={},
        ),
    )
    items = Ragged.from_lengths(flat[C.ITEM_INDICES], flat[_LENGTHS])
    segments = Segments(items, flat[C.TIMESTAMPS], flat[C.FIRST_TIMESTAMP], flat[C.NUM_CONTEXT])
    found = int(np.maximum(items.lengths - segments.num_context, 0).sum())
    listed = sum(file.targets or 0 for file in files)
    if found != listed:
        raise DataError(
            f"{_names(storage, files)}: {found} training targets read, the manifest lists {listed}. "
            "Prepare the data again (--set force=true)."
        )
    return segments


def read_target_rows(storage: Storage, files: Sequence[FileEntry], scratch: str | None = None) -> TargetRows:
    """All rows of validation or test `files`, in a fixed order; raises as `read_segments`."""
    flat = _read(
        storage,
        files,
        scratch,
        Columns(
            lists={C.HISTORY_ITEMS: np.int32, C.HISTORY_TIMESTAMPS: np.int64},
            scalars={C.FIRST_TIMESTAMP: np.int64, C.TARGET_ITEM: np.int32, C.TARGET_TIMESTAMP: np.int64},
            matrices={C.NEGATIVE_ITEMS: np.int32},
        ),
    )
    return TargetRows(
        items=Ragged.from_lengths(flat[C.HISTORY_ITEMS], flat[_LENGTHS]),
        timestamps=flat[C.HISTORY_TIMESTAMPS],
        first_timestamps=flat[C.FIRST_TIMESTAMP],
        as_of=flat[C.TARGET_TIMESTAMP],
        target_items=flat[C.TARGET_ITEM],
        negative_items=flat[C.NEGATIVE_ITEMS].reshape(len(flat[_LENGTHS]), -1),
    )


def _read(
    storage: Storage,
    files: Sequence[FileEntry],
    scratch: str | None,
    columns: Columns,
) -> dict[str, np.ndarray]:
    """Flat columns of all files by name, and the column `_LENGTHS`."""
    dtypes = columns.dtypes
    transform = TransformSpec(
        lambda frame: _flatten(frame, columns),
        edit_fields=[(name, dtype, (None,), False) for name, dtype in {**dtypes, _LENGTHS: np.int64}.items()],
    )
    with _local_copies(storage, files, scratch) as paths:
        for file, path in zip(files, paths, strict=True):
            _check_file(storage.uri(file.path), file, path, columns)
        try:
            with make_batch_reader(
                [f"file://{path}" for path in paths],  # Petastorm expects the path without percent-encoding.
                schema_fields=[f"^{name}$" for name in dtypes],
                reader_pool_type="dummy",
                shuffle_row_groups=False,
                num_epochs=1,
                transform_spec=transform,
            ) as reader:
                groups = list(reader)
        except (OSError, pa.ArrowException, RuntimeError, ValueError) as error:
            raise DataError(f"{_names(storage, files)}: {reason_of(error)}.") from error
    flat = {name: np.concatenate([getattr(group, name)[0] for group in groups]) for name in [*dtypes, _LENGTHS]}
    rows, listed = len(flat[_LENGTHS]), sum(file.rows for file in files)
    if rows != listed:
        raise DataError(
            f"{_names(storage, files)}: {rows} rows read, the manifest lists {listed}. "
            "Prepare the data again (--set force=true)."
        )
    return flat


def _flatten(frame: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """One row that holds a whole row group: each column is one flat array."""
    if not len(frame):
        raise DataError("a row group without rows")
    for name in [*columns.lists, *columns.matrices]:
        if frame[name].isna().any():
            raise DataError(f"{name} holds nulls in place of lists. Prepare the data again (--set force=true).")
    lengths = [frame[name].map(len).to_numpy(np.int64) for name in columns.lists]
    if any((other != lengths[0]).any() for other in lengths[1:]):
        raise DataError(f"{' and '.join(columns.lists)} differ in length within a row")
    for name in columns.matrices:
        if frame[name].map(len).nunique() != 1:
            raise DataError(f"{name} differs in length between rows")
    flat = {name: np.concatenate(frame[name].to_list()) for name in [*columns.lists, *columns.matrices]}
    flat |= {name: frame[name].to_numpy() for name in columns.scalars}
    for name, dtype in columns.dtypes.items():
        if flat[name].dtype != dtype:  # A null turns whole numbers into floats, which a cast makes -2147483648.
            raise DataError(f"{name} holds nulls or {flat[name].dtype}, expected {np.dtype(dtype).name}")
    flat[_LENGTHS] = lengths[0]
    return pd.DataFrame({name: [values] for name, values in flat.items()})


def _check_file(where: str, file: FileEntry, path: Path, columns: Columns) -> None:
    """Checks the size, rows and columns of one file, so that an error names the file.

    Petastorm would drop columns of unknown types with only a warning.
    """
    size = path.stat().st_size if path.exists() else None
    if size != file.size:
        state = "is missing" if size is None else f"has {size} bytes, the manifest lists {file.size}"
        raise DataError(f"{where}: {state}. Prepare the data again (--set force=true).")
    try:
        stored = pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{where}: {reason_of(error)}. Prepare the data again (--set force=true).") from None
    if stored.metadata.num_rows != file.rows:
        raise DataError(
            f"{where}: {stored.metadata.num_rows} rows in the file, the manifest lists {file.rows}. "
            "Prepare the data again (--set force=true)."
        )
    schema = stored.schema_arrow
    for name, dtype in columns.dtypes.items():
        found: Any = schema.field(name).type if name in schema.names else "not there"
        is_list = isinstance(found, pa.ListType)
        value = found.value_type if is_list else found
        if value != pa.from_numpy_dtype(dtype) or is_list == (name in columns.scalars):
            kind = np.dtype(dtype).name if name in columns.scalars else f"list<{np.dtype(dtype).name}>"
            raise DataError(f"{where}: column {name} is {found}, expected {kind}.")


@contextmanager
def _local_copies(storage: Storage, files: Sequence[FileEntry], scratch: str | None) -> Iterator[list[Path]]:
    """The local paths at which Petastorm reads `files`: the files themselves, or copies that are deleted afterwards."""
    paths = [storage.local(file.path) for file in files]
    local = [path for path in paths if path is not None and not _NOT_IN_URLS & set(str(path))]
    if len(local) == len(files):
        yield local
        return
    with scratch_folder(scratch) as folder:
        copies = [folder / f"{number:05d}-{Path(file.path).name}" for number, file in enumerate(files)]
        for file, path, copy in zip(files, paths, copies, strict=True):
            if path is not None:
                copy.symlink_to(path)
            else:
                storage.download(file.path, copy)
        yield copies


def _names(storage: Storage, files: Sequence[FileEntry]) -> str:
    more = f" and {len(files) - 1} more files" if len(files) > 1 else ""
    return f"{storage.uri(files[0].path)}{more}"
