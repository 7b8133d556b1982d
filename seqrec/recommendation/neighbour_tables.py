"""Lists of items by key (an item, or a category), as arrays in files that every worker maps into memory.

A table of n keys is three .npy files: `offsets` int64 [n + 1], and, for the entries of key i at offsets[i] to
offsets[i + 1], `items` int32 and `weights` float32, the heaviest first. Mapped, it takes no memory of its own: the
pages that are read are shared by all workers of a machine, so a catalogue of millions needs no join and no broadcast.
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seqrec.core.storage import Storage

_PARTS = ("offsets", "items", "weights")
_COPY_SECONDS = 86_400.0  # A copy on a node's disk that no job has asked for in that time is deleted.


@dataclass(frozen=True)
class NeighbourTable:
    offsets: np.ndarray
    items: np.ndarray
    weights: np.ndarray

    @classmethod
    def open(cls, storage: Storage, folder: str) -> "NeighbourTable":
        return cls(*(map_array(storage, f"{folder}/{part}.npy") for part in _PARTS))

    def save(self, storage: Storage, folder: str) -> None:
        for part in _PARTS:
            save_array(storage, f"{folder}/{part}.npy", getattr(self, part))


def write_neighbours(
    storage: Storage, folder: str, parts: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]], num_keys: int, size: int
) -> None:
    """Writes a table without ever holding it.

    Args:
        parts: (keys, items, weights) of consecutive entries, ordered by key over all parts.
        num_keys: keys are 0 .. num_keys - 1.
        size: entries of all parts together.
    """
    counts = np.zeros(num_keys, np.int64)
    with tempfile.TemporaryDirectory(prefix="seqrec-") as scratch:
        items = np.lib.format.open_memmap(Path(scratch) / "items.npy", "w+", np.int32, (size,))
        weights = np.lib.format.open_memmap(Path(scratch) / "weights.npy", "w+", np.float32, (size,))
        done, last_key = 0, -1
        for keys, part_items, part_weights in parts:
            if not len(keys):
                continue
            assert keys[0] >= last_key, "the parts are not ordered by key"
            last_key = keys[-1]
            counts += np.bincount(keys, minlength=num_keys)
            items[done : done + len(keys)] = part_items
            weights[done : done + len(keys)] = part_weights
            done += len(keys)
        assert done == size, f"{done} entries, expected {size}"
        items.flush()
        weights.flush()
        for part in ("items", "weights"):
            storage.upload(Path(scratch) / f"{part}.npy", f"{folder}/{part}.npy")
    save_array(storage, f"{folder}/offsets.npy", np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))


def save_array(storage: Storage, path: str, values: np.ndarray) -> None:
    with tempfile.TemporaryDirectory(prefix="seqrec-") as scratch:
        local = Path(scratch) / "array.npy"
        np.save(local, values, allow_pickle=False)
        storage.upload(local, path)


def map_array(storage: Storage, path: str) -> np.ndarray:
    """The array of a .npy file, mapped for reading; an empty one is read, since nothing cannot be mapped."""
    local = local_copy(storage, path)
    values: np.ndarray = np.load(local, allow_pickle=False)[:0] if _is_empty(local) else np.load(local, mmap_mode="r")
    return values


def local_copy(storage: Storage, path: str) -> Path:
    """Where `path` can be mapped: itself on a local disk or mount, else one copy for all workers of this machine."""
    local = storage.local(path)
    if local is not None:
        return local
    folder = Path(tempfile.gettempdir()) / f"seqrec-copies-{os.getuid()}"
    stored = storage.look_up(path)
    # The same address may hold another file later: where a workdir was deleted, attempts are numbered from 1 again.
    version = f"{storage.uri(path)} {stored.size} {stored.modified}"
    copy = folder / f"{hashlib.sha256(version.encode()).hexdigest()[:24]}{Path(path).suffix}"
    if copy.exists():
        os.utime(copy)
        return copy
    _delete_unused(folder)
    aside = copy.with_suffix(f".{os.getpid()}")
    storage.download(path, aside)
    aside.replace(copy)  # Whole for all workers at once.
    return copy


def _delete_unused(folder: Path) -> None:
    """Deletes copies that no job has asked for lately; whoever has one mapped keeps what it reads."""
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
