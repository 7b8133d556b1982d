"""Lists of items for each key (an item or a category), as arrays in files that every worker maps into memory.

A table of n keys is three .npy files: `offsets` int64 [n + 1], and, for the entries of key i at offsets[i] to
offsets[i + 1], `items` int32 and `weights` float32, the heaviest first. Mapped, it takes no memory of its own: the
pages that are read are shared by all workers of a machine, so a catalogue of millions needs no join and no broadcast.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from seqrec.core.local_copies import map_array, save_array
from seqrec.core.storage import Storage, scratch_folder

_PARTS = ("offsets", "items", "weights")


@dataclass(frozen=True)
class NeighbourTable:
    """The three arrays; see the top of this file."""

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
    """Writes a table without ever holding it in memory.

    Args:
        parts: (keys, items, weights) of consecutive entries, ordered by key over all parts.
        num_keys: keys are 0 .. num_keys - 1.
        size: entries of all parts together.
    """
    counts = np.zeros(num_keys, np.int64)
    with scratch_folder() as scratch:
        items = np.lib.format.open_memmap(scratch / "items.npy", "w+", np.int32, (size,))
        weights = np.lib.format.open_memmap(scratch / "weights.npy", "w+", np.float32, (size,))
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
            storage.upload(scratch / f"{part}.npy", f"{folder}/{part}.npy")
    save_array(storage, f"{folder}/offsets.npy", np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))
