"""Finding raw files: one file, a folder, a glob, or a list of these, on any storage."""

import fnmatch
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs

from seqrec.core.errors import DataError, StorageError
from seqrec.core.storage import Storage, explain, open_file_system

HIDDEN = ("_", ".")  # Spark skips files whose names begin so, even if they are named: markers, unfinished files.
_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class RawFile:
    """A file of raw lines. Two files are the same if their `uri`, `size` and `modified` are."""

    uri: str  # Address under which Spark finds it.
    size: int  # Size in bytes, as it lies on disk.
    modified: float  # Time of the last change, in seconds since 1970.

    @property
    def name(self) -> str:
        return self.uri.rpartition("/")[2]

    @property
    def display(self) -> str:
        """The path as a person writes it, for messages."""
        return self.uri.removeprefix("file://")

    def open(self) -> Any:
        """A seekable pyarrow file for reading."""
        folder, _, name = self.uri.rpartition("/")
        return Storage(folder).open_input(name)


def find_raw_files(patterns: list[str], setting: str) -> list[RawFile]:
    """The files that `patterns` name, each once, sorted by address.

    Names that start with `_` or `.` are skipped in folders and globs. In a glob `**` is any number of folders.

    Args:
        setting: the setting that the patterns come from, for the error.

    Raises:
        DataError: a pattern finds nothing, or a file that Spark would skip or cannot read.
    """
    found: dict[str, RawFile] = {}
    for pattern in patterns:
        _check_link(Path(pattern.removeprefix("file://")), setting)
        files = _find(pattern, setting)
        if not files:
            raise DataError(
                f"{setting}: '{pattern}' finds no file. Check the path; relative paths start at {Path.cwd()}."
            )
        if files[0].name.startswith("._"):
            raise DataError(
                f"{setting}: '{pattern}': macOS keeps its notes on a file under such a name, no lines. "
                f"Name the file itself: {files[0].name.removeprefix('._')}."
            )
        if files[0].name.startswith(HIDDEN):
            raise DataError(f"{setting}: '{pattern}': Spark reads no file that begins with '_' or '.'. Rename it.")
        for file in files:
            # Hadoop takes the name of such a file's checksum for an address.
            if file.uri.startswith("file:") and ":" in file.name:
                raise DataError(
                    f"{setting}: '{file.display}': Spark reads no local file with ':' in its name. Rename it."
                )
        found.update((file.uri, file) for file in files)
    return [found[uri] for uri in sorted(found)]


def _find(pattern: str, setting: str) -> list[RawFile]:
    whole = _information(pattern)
    if whole.type == pafs.FileType.File:
        folder, _, name = _address(pattern).rpartition("/")
        return [RawFile(f"{folder}/{name}", whole.size, (whole.mtime_ns or 0) / 1e9)]
    if whole.type == pafs.FileType.Directory:
        return _below(pattern.rstrip("/"), None, setting)
    if not _GLOB.search(pattern):
        return []
    segments = pattern.split("/")
    first = next(number for number, segment in enumerate(segments) if _GLOB.search(segment))
    folder = "/".join(segments[:first]) or ("/" if pattern.startswith("/") else ".")
    return _below(folder, segments[first:], setting)


def _below(folder: str, segments: list[str] | None, setting: str) -> list[RawFile]:
    """Files below `folder`: all of them, or those whose path matches `segments`, one pattern per folder."""
    storage = Storage(folder)
    files = []
    local = storage.local()
    # A listing leaves out links that lead nowhere, and with them the lines that somebody counts on.
    for path in _links_below(local) if local is not None else []:
        if segments is None or _fits(path.split("/"), segments):
            _check_link(Path(f"{local}/{path}"), setting)
    for stored in storage.list_files(""):
        parts = stored.path.split("/")
        if any(part.startswith(HIDDEN) for part in parts):
            continue
        if segments is None or _fits(parts, segments):
            files.append(RawFile(storage.uri(stored.path), stored.size, stored.modified))
    return files


def _links_below(folder: Path) -> list[str]:
    """Paths of the links below a folder, relative to it."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(HIDDEN)]
        paths = [Path(parent, name) for name in names if not name.startswith(HIDDEN)]
        found += [path.relative_to(folder).as_posix() for path in paths if path.is_symlink()]
    return found


def _check_link(path: Path, setting: str) -> None:
    """Refuses a link to a file that is not there, as git-annex leaves for a file that it has not fetched."""
    if not path.is_symlink() or path.exists():
        return
    target = os.readlink(path)
    raise DataError(
        f"{setting}: '{path}': links to {target}, which is not there. Put the file there "
        f"(git annex get {path.name}, if git-annex keeps it), or delete the link."
    )


def _fits(parts: list[str], segments: list[str]) -> bool:
    """Whether each part of a path matches its pattern; `**` matches any number of parts, also none."""
    if not segments:
        return not parts
    first, *others = segments
    if first == "**":
        return any(_fits(parts[skipped:], others) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], first) and _fits(parts[1:], others)


def _address(pattern: str) -> str:
    return Storage(pattern).uri()


def _information(pattern: str) -> pafs.FileInfo:
    local = Storage(pattern).local()
    try:
        if local is not None:
            return pafs.LocalFileSystem().get_file_info(str(local))
        filesystem, path = open_file_system(pattern)
        return filesystem.get_file_info(path)
    except OSError as error:
        raise StorageError(f"{pattern}: cannot look up: {explain(error)}") from None
