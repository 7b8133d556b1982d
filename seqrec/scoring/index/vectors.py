"""Writes the vectors of all items of a retrieval model, in memory that does not grow with the catalogue."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from seqrec.core.errors import DataError
from seqrec.models.contract import RetrievalModel

_ITEMS_AT_ONCE = 65_536


def write_vectors(model: RetrievalModel, num_items: int, path: Path) -> None:
    """Writes the vectors of the items 1 to `num_items` as a .npy file, float32 [M, V], block by block.

    Raises:
        DataError: a vector is not finite.
    """
    width = int(model.item_vectors(tf.constant([1])).shape[1])
    vectors = np.lib.format.open_memmap(path, "w+", np.float32, (num_items, width))
    for start in range(0, num_items, _ITEMS_AT_ONCE):
        stop = min(start + _ITEMS_AT_ONCE, num_items)
        block = model.item_vectors(tf.range(start + 1, stop + 1)).numpy()
        if not np.isfinite(block).all():
            raise DataError("the vectors of some items are not finite numbers: train the run again.")
        vectors[start:stop] = block
    vectors.flush()
