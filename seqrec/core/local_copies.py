"""Arrays in files that every worker of a machine maps into memory, from one copy on its disk."""

import hashlib
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from seqrec.core.columns import SECONDS_PER_DAY
from seqrec.core.storage import Storage, scratch_folder

_COPY_SECONDS = SECONDS_PER_DAY  # A copy on a node's disk that no job has used for so many seconds is deleted.


def save_array(storage: Storage, path: str, values: np.ndarray) -> None:
    """Writes an array as a .npy file."""
    with scratch_folder() as scratch:
        local = scratch / "array.npy"
        np.save(local, values, allow_pickle=False)
        storage.upload(local, path)


def map_array(storage: Storage, path: str) -> np.ndarray:
    """The array of a .npy file, mapped for reading; an empty array is read, since it cannot be mapped."""
    local = local_copy(storage, path)
    values: np.ndarray = np.load(local, allow_pickle=False)[:0] if _is_empty(local) else np.load(local, mmap_mode="r")
    return values


def local_copy(storage: Storage, path: str) -> Path:
    """A local path of the file `path`: on a local disk or mount the file itself, else a copy for all workers here."""
    local = storage.local(path)
    if local is not None:
        return local
    folder = Path(tempfile.gettempdir()) / f"seqrec-copies-{os.getuid()}"
    stored = storage.look_up(path)
    # The same address may hold another file later: after a workdir was deleted, attempts are numbered from 1 again.
    version = f"{storage.uri(path)} {stored.size} {stored.modified}"
    copy = folder / f"{hashlib.sha256(version.encode()).hexdigest()[:24]}{Path(path).suffix}"
    if copy.exists():
        os.utime(copy)
        return copy
    _delete_unused(folder)
    aside = copy.with_suffix(f".{os.getpid()}")
    storage.download(path, aside)
    aside.replace(copy)  # In one step, so that no worker sees half a file.
    return copy


def _delete_unused(folder: Path) -> None:
    """Deletes copies that no job has used lately; a process that has one mapped can still read it."""
    for copy in folder.glob("*"):
        try:
            if time.time() - copy.stat().st_mtime > _COPY_SECONDS:
                copy.unlink()
        except FileNotFoundError:  # Another worker was faster.
            continue


def _is_empty(path: Path) -> bool:
    with path.open("rb") as stream:
        np.lib.format.read_magic(stream)
        shape, _, _ = np.lib.format.read_array_header_1_0(stream)
    return 0 in shape
