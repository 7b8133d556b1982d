"""The item vectors of a retrieval run on disk, each of length 1, and near lists of them; memory holds one block."""

from pathlib import Path
from typing import Any

import numpy as np

from seqrec.core.storage import Storage, scratch_folder
from seqrec.scoring.index.approximate import write_lists
from seqrec.scoring.loaded_model import read_model
from seqrec.scoring.run import TrainedRun
from seqrec.scoring.scorer import run_scorer
from seqrec.scoring.tensorflow_process import quieten_tensorflow

_ROWS = 1 << 16
_PAIRS_AT_ONCE = 400_000


def write_item_vectors(storage: Storage, run: TrainedRun, path: str, near_lists: str | None, num_threads: int) -> None:
    """Writes float32 [M, V] to `path`, and to `near_lists` an approximate index, unless they are there already.

    Raises:
        DataError: a vector is not finite.
        ConfigError: an index is wanted, and faiss is not installed.
    """
    if storage.exists(path) and (near_lists is None or storage.exists(near_lists)):
        return
    quieten_tensorflow()
    from seqrec.scoring.index.vectors import write_vectors

    stored = run_scorer(storage, run, _PAIRS_AT_ONCE, num_threads).stored
    model: Any = read_model(stored)
    with scratch_folder() as scratch:
        local = scratch / "vectors.npy"
        write_vectors(model, stored.vocabulary.num_trained_items, local)
        del model  # Its table may take gigabytes.
        to_unit_length(local)
        if near_lists is not None:
            lists = scratch / "vectors.faiss"
            write_lists(np.load(local, mmap_mode="r"), lists, None, num_threads)
            storage.upload(lists, near_lists)
        storage.upload(local, path)


def to_unit_length(path: Path) -> None:
    """Divides each row of an array in a file by its length; a row of zeros stays."""
    vectors = np.load(path, mmap_mode="r+")
    for start in range(0, len(vectors), _ROWS):
        block = vectors[start : start + _ROWS]
        block /= np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-12)
    vectors.flush()
