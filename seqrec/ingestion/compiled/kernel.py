"""The compiled reader of lines, `lines.c`: built where it is first needed, handed to every task, and called.

A machine without a C compiler has none; then Spark reads every line by the exact rules, and the tables are the same.
"""

import ctypes
import functools
import hashlib
import logging
import os
import shutil
import socket
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa

from seqrec.core.columns import GROUP, ITEM, LINE_HASH, RATING, TIMESTAMP, USER, VERIFIED, VOTES
from seqrec.core.errors import DataError
from seqrec.core.storage import scratch_folder
from seqrec.ingestion.compiled.clean_line import HELPFUL, MAX_COLUMNS, SECOND_ITEM, CleanLine

_LOG = logging.getLogger(__name__)

SCHEMA = pa.schema(
    [
        pa.field(USER, pa.string(), nullable=False),
        pa.field(ITEM, pa.string(), nullable=False),
        pa.field(RATING, pa.float32()),
        pa.field(TIMESTAMP, pa.int64(), nullable=False),
        pa.field(VERIFIED, pa.bool_()),
        pa.field(VOTES, pa.int32()),
        pa.field(GROUP, pa.string()),
        pa.field(LINE_HASH, pa.int64(), nullable=False),
    ]
)
_FOLDER = Path(__file__).parent
_SOURCE = _FOLDER / "lines.c"
_OPTIONS = ("-std=gnu11", "-O3", "-shared", "-fPIC", "-fvisibility=hidden")
# The numbers and sizes of rows.h.
_KINDS = {USER: 0, ITEM: 1, RATING: 2, TIMESTAMP: 3, VERIFIED: 4, VOTES: 5, HELPFUL: 6, SECOND_ITEM: 7}
_SKIPPED, _REFUSED = 8, 9
_MAX_ID_BYTES = 128
_MAX_ROWS = 1 << 19  # Rows of a row group: some tens of megabytes; pages that are not used take no memory.
_MAX_DOUBTFUL = 1 << 14


class _Layout(ctypes.Structure):
    _fields_ = [
        ("first_second", ctypes.c_int64),
        ("last_second", ctypes.c_int64),
        ("units_per_second", ctypes.c_int64),
        ("max_line_bytes", ctypes.c_int64),
        ("num_columns", ctypes.c_int64),
        ("columns", ctypes.c_int32 * MAX_COLUMNS),
        ("separator", ctypes.c_int32),
        ("num_keys", ctypes.c_int32),
        ("keys", ctypes.POINTER(ctypes.c_char_p)),
        ("kinds", ctypes.POINTER(ctypes.c_int32)),
    ]


class _Rows(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("max_rows", "max_doubtful", "num_rows", "num_blank", "num_doubtful")),
        *((name, ctypes.c_void_p) for name in ("user_ends", "item_ends", "users", "items", "ratings", "has_rating")),
        *((name, ctypes.c_void_p) for name in ("times", "verified", "has_verified", "votes", "has_votes", "hashes")),
        ("doubtful", ctypes.c_void_p),
    ]


class LineReader:
    """Lines become rows of `reviews` in arrays of its own. Its calls do not hold Python's lock, so threads run at once.

    Lines are added until `is_full`; then `taken` gives the rows, and after `clear` there is room for new ones.
    """

    def __init__(self, library: bytes, line: CleanLine, group: str | None, max_rows: int = _MAX_ROWS):
        """
        Args:
            library: the shared library that `compiled_library` gives.
            group: the column `group` of all rows.
        """
        self._functions = _loaded(library)
        self._layout = _layout_of(line)
        self._group = None if group is None else group.encode()
        self._arrays = _arrays_for(max_rows)
        self._rows = _Rows(
            max_rows=max_rows,
            max_doubtful=_MAX_DOUBTFUL,
            **{name: array.ctypes.data for name, array in self._arrays.items()},
        )

    @property
    def num_rows(self) -> int:
        return self._rows.num_rows

    @property
    def is_full(self) -> bool:
        return self._rows.num_rows == self._rows.max_rows

    def add(self, content: np.ndarray) -> int:
        """Adds lines; returns how many bytes of them were read: fewer than there are where rows or doubtful are full.

        Args:
            content: uint8 [N], whole lines, of which the last may lack its newline.
        """
        self._rows.num_doubtful = 0
        layout, rows = ctypes.byref(self._layout), ctypes.byref(self._rows)
        return self._functions.seqrec_read_lines(content.ctypes.data, len(content), layout, rows)

    def doubtful(self) -> list[list[int]]:
        """Start and end of each line of the last call of `add` that the exact rules must judge, newlines left out."""
        return self._arrays["doubtful"][: self._rows.num_doubtful].tolist()

    def taken(self) -> tuple[pa.RecordBatch, int, int]:
        """The rows, valid until `clear`; the sum of their hashes as `tables/digest.py` has it, modulo 2^64; the number
        of blank lines."""
        digest = self._functions.seqrec_digest(ctypes.byref(self._rows), self._group, len(self._group or b""))
        return self._batch(), digest, self._rows.num_blank

    def clear(self) -> None:
        """Makes room for new rows, once those that were taken are written."""
        self._rows.num_rows = self._rows.num_blank = 0
        for name in ("has_rating", "verified", "has_verified", "has_votes"):
            self._arrays[name][:] = 0

    def _batch(self) -> pa.RecordBatch:
        rows = self._rows.num_rows
        buffers = {name: pa.py_buffer(array) for name, array in self._arrays.items()}

        def values(kind: pa.DataType, validity: str | None, name: str) -> pa.Array:
            return pa.Array.from_buffers(kind, rows, [validity and buffers[validity], buffers[name]])

        if self._group is None:
            group = pa.nulls(rows, pa.string())
        else:
            group = pa.repeat(pa.scalar(self._group.decode(), pa.string()), rows)
        columns = [
            pa.StringArray.from_buffers(rows, buffers["user_ends"], buffers["users"]),
            pa.StringArray.from_buffers(rows, buffers["item_ends"], buffers["items"]),
            values(pa.float32(), "has_rating", "ratings"),
            values(pa.int64(), None, "times"),
            values(pa.bool_(), "has_verified", "verified"),
            values(pa.int32(), "has_votes", "votes"),
            group,
            values(pa.int64(), None, "hashes"),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def last_newline(library: bytes, content: np.ndarray) -> int:
    """The place of the last newline of uint8 [N]; -1 if there is none."""
    return _loaded(library).seqrec_last_newline(content.ctypes.data, len(content))


@functools.cache
def compiled_library() -> bytes | None:
    """The reader as a shared library for this kind of machine; None if it cannot be built or loaded here.

    It is built once for a user and kept below XDG_CACHE_HOME, by default ~/.cache.
    """
    compiler = next((found for name in (os.environ.get("CC"), "cc", "gcc", "clang") if (found := _found(name))), None)
    if compiler is None:
        _LOG.warning("no C compiler is here, so lines are read several times slower. Install gcc or clang.")
        return None
    sources = [path.read_bytes() for path in sorted(_FOLDER.glob("*.[ch]"))]
    key = hashlib.sha256(b"\0".join([*sources, compiler.encode(), *map(str.encode, _OPTIONS)])).hexdigest()[:16]
    kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "seqrec", f"lines-{key}.so")
    try:
        library: bytes | None = kept.read_bytes()
    except OSError:
        library = _built(compiler)
    if library is None:
        return None
    try:
        _loaded(library)
    except DataError as error:
        _LOG.warning("lines are read several times slower: %s", error)
        return None
    _keep(library, kept)
    return library


def _built(compiler: str) -> bytes | None:
    with scratch_folder() as folder:
        target = folder / "lines.so"
        done = subprocess.run([compiler, *_OPTIONS, "-o", str(target), str(_SOURCE)], capture_output=True, text=True)
        if done.returncode:
            _LOG.warning("%s cannot build %s: %s. Set CC to gcc or clang.", compiler, _SOURCE, done.stderr[:300])
            return None
        return target.read_bytes()


def _found(name: str | None) -> str | None:
    return shutil.which(name) if name else None


def _keep(library: bytes, path: Path) -> None:
    """Keeps the library for other processes of this user, whole or not at all; it works without, too."""
    if path.is_file():
        return
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}")
        part.write_bytes(library)
        part.replace(path)
    except OSError as error:
        _LOG.debug("%s cannot be kept: %s", path, error)


_LOADED: dict[bytes, ctypes.CDLL] = {}


def _loaded(library: bytes) -> ctypes.CDLL:
    """The functions of the library, which a process loads once.

    Raises:
        DataError: this machine cannot load it: another processor or C library, or programs may not run from TMPDIR.
    """
    if library not in _LOADED:
        with scratch_folder() as folder:  # Once it is loaded the file is not needed any more.
            path = folder / "lines.so"
            path.write_bytes(library)
            try:
                functions = ctypes.CDLL(str(path))
            except OSError as error:
                raise DataError(
                    f"{socket.gethostname()} cannot load the compiled reader of lines: {error}. Set "
                    "ingestion.compiled=false."
                ) from None
        address, number = ctypes.c_void_p, ctypes.c_int64
        for name, arguments, result in (
            ("seqrec_read_lines", [address, number, address, address], number),
            ("seqrec_last_newline", [address, number], number),
            ("seqrec_digest", [address, ctypes.c_char_p, number], ctypes.c_uint64),
        ):
            function = getattr(functions, name)
            function.argtypes, function.restype = arguments, result
        _LOADED[library] = functions
    return _LOADED[library]


def _arrays_for(max_rows: int) -> dict[str, np.ndarray]:
    """Arrays for `max_rows` rows; see `Rows` in rows.h."""

    def bits() -> np.ndarray:
        return np.zeros(max_rows // 8 + 1, np.uint8)

    return {
        "user_ends": np.zeros(max_rows + 1, np.int32),
        "item_ends": np.zeros(max_rows + 1, np.int32),
        "users": np.empty(max_rows * _MAX_ID_BYTES, np.uint8),
        "items": np.empty(max_rows * _MAX_ID_BYTES, np.uint8),
        "ratings": np.empty(max_rows, np.float32),
        "has_rating": bits(),
        "times": np.empty(max_rows, np.int64),
        "verified": bits(),
        "has_verified": bits(),
        "votes": np.empty(max_rows, np.int32),
        "has_votes": bits(),
        "hashes": np.empty(max_rows, np.int64),
        "doubtful": np.empty((_MAX_DOUBTFUL, 2), np.int64),
    }


def _layout_of(line: CleanLine) -> _Layout:
    keys = [name.encode() for name in [*line.fields, *line.refused]]
    kinds = [_KINDS[column] for column in line.fields.values()] + [_REFUSED] * len(line.refused)
    columns = [_KINDS.get(name, _SKIPPED) for name in line.columns]
    layout = _Layout(
        first_second=line.first_second,
        last_second=line.last_second,
        units_per_second=line.units_per_second,
        max_line_bytes=line.max_line_bytes,
        num_columns=len(columns),
        columns=(ctypes.c_int32 * MAX_COLUMNS)(*columns),
        separator=ord(line.separator),
        num_keys=len(keys),
    )
    layout.keys = (ctypes.c_char_p * len(keys))(*keys)
    layout.kinds = (ctypes.c_int32 * len(kinds))(*kinds)
    return layout
