"""Reading sequence files, by the library that `feed.reader` names.

Each library has a module in `readers/`, which is imported when it first reads. Whichever it is, the rows and targets of
every pass are compared with the manifest. Files that are not local are copied to scratch first and deleted afterwards:
Petastorm reads local files only.
"""

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from seqrec.core import columns as C
from seqrec.core.errors import ConfigError, DataError, reason_of
from seqrec.core.manifest import FileEntry
from seqrec.core.storage import Storage, scratch_folder
from seqrec.events.ragged import Ragged
from seqrec.events.rows import TargetRows
from seqrec.events.windows import Segments
from seqrec.feed.config import PETASTORM
from seqrec.feed.readers.flat_columns import LENGTHS, Columns, FlatColumns

_MODULES = {PETASTORM: "seqrec.feed.readers.by_petastorm", "pyarrow": "seqrec.feed.readers.by_pyarrow"}
_NOT_IN_URLS = set("#?")  # These characters end the path of a URL; files with them in their names are read by a link.


def read_segments(
    storage: Storage, files: Sequence[FileEntry], scratch: str | None = None, reader: str = PETASTORM
) -> Segments:
    """All segments of `files`, in a fixed order.

    Args:
        scratch: local folder for copies of remote files; the system's temporary folder if None.
        reader: see `FeedConfig`.

    Raises:
        ConfigError: the reader is not installed.
        DataError: a file is missing, cut off or broken, or its columns, rows or targets are not those that the
            manifest lists.
    """
    flat = _read(
        storage,
        files,
        scratch,
        reader,
        Columns(
            lists={C.ITEM_INDICES: np.int32, C.TIMESTAMPS: np.int64},
            scalars={C.FIRST_TIMESTAMP: np.int64, C.NUM_CONTEXT: np.int32},
            matrices={},
        ),
    )
    items = Ragged.from_lengths(flat[C.ITEM_INDICES], flat[LENGTHS])
    segments = Segments(items, flat[C.TIMESTAMPS], flat[C.FIRST_TIMESTAMP], flat[C.NUM_CONTEXT])
    found = int(np.maximum(items.lengths - segments.num_context, 0).sum())
    listed = sum(file.targets or 0 for file in files)
    if found != listed:
        raise DataError(
            f"{_names(storage, files)}: {found} training targets read, the manifest lists {listed}. "
            "Prepare the data again (--set force=true)."
        )
    return segments


def read_target_rows(
    storage: Storage, files: Sequence[FileEntry], scratch: str | None = None, reader: str = PETASTORM
) -> TargetRows:
    """All rows of validation or test `files`, in a fixed order; raises as `read_segments`."""
    flat = _read(
        storage,
        files,
        scratch,
        reader,
        Columns(
            lists={C.HISTORY_ITEMS: np.int32, C.HISTORY_TIMESTAMPS: np.int64},
            scalars={C.FIRST_TIMESTAMP: np.int64, C.TARGET_ITEM: np.int32, C.TARGET_TIMESTAMP: np.int64},
            matrices={C.NEGATIVE_ITEMS: np.int32},
        ),
    )
    return TargetRows(
        items=Ragged.from_lengths(flat[C.HISTORY_ITEMS], flat[LENGTHS]),
        timestamps=flat[C.HISTORY_TIMESTAMPS],
        first_timestamps=flat[C.FIRST_TIMESTAMP],
        as_of=flat[C.TARGET_TIMESTAMP],
        target_items=flat[C.TARGET_ITEM],
        negative_items=flat[C.NEGATIVE_ITEMS].reshape(len(flat[LENGTHS]), -1),
    )


def _read(
    storage: Storage,
    files: Sequence[FileEntry],
    scratch: str | None,
    reader: str,
    columns: Columns,
) -> FlatColumns:
    """Flat columns of all files."""
    read_row_groups = _function_of(reader)
    with _local_copies(storage, files, scratch) as paths:
        for file, path in zip(files, paths, strict=True):
            _check_file(storage.uri(file.path), file, path, columns)
        try:
            groups = read_row_groups(paths, columns)
        except (OSError, pa.ArrowException, RuntimeError, ValueError) as error:
            raise DataError(f"{_names(storage, files)}: {reason_of(error)}.") from error
    flat = {name: np.concatenate([group[name] for group in groups]) for name in [*columns.dtypes, LENGTHS]}
    rows, listed = len(flat[LENGTHS]), sum(file.rows for file in files)
    if rows != listed:
        raise DataError(
            f"{_names(storage, files)}: {rows} rows read, the manifest lists {listed}. "
            "Prepare the data again (--set force=true)."
        )
    return flat


def _function_of(reader: str) -> Callable[[Sequence[Path], Columns], list[FlatColumns]]:
    """The function `read_row_groups` of a reader."""
    try:
        function: Callable[[Sequence[Path], Columns], list[FlatColumns]] = importlib.import_module(
            _MODULES[reader]
        ).read_row_groups
    except ImportError as error:
        if reader != PETASTORM:
            raise
        raise ConfigError(
            f"feed.reader is petastorm, which cannot be imported: {error}. Set feed.reader=pyarrow."
        ) from error
    return function


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
    """The local paths at which `files` are read: the files themselves, or copies that are deleted afterwards."""
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
