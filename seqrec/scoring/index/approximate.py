"""An approximate index by faiss: vectors in lists around centres, of which only those near a state are searched.

It holds each vector in one byte a value, and finds more items than are wanted; their exact vectors then decide.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seqrec.core.errors import ConfigError, DataError, reason_of

_VECTORS_AT_ONCE = 250_000
_VECTORS_PER_LIST = 40  # Sampled vectors that centres are fitted to, for each list.
_FEW_LISTS = 4096  # Up to so many a vector's nearest centre is found by comparing all.


@dataclass(frozen=True)
class NearLists:
    """An index on disk, mapped into memory; its pages are shared by all processes of a machine."""

    index: Any  # faiss.IndexIVFScalarQuantizer

    @classmethod
    def open(cls, path: Path) -> "NearLists":
        """
        Raises:
            ConfigError: faiss is not installed.
            DataError: the file is not an index.
        """
        faiss = import_faiss()
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise DataError(f"{path}: not a readable index: {reason_of(error)}. Run the job 'index' again.") from None
        index.parallel_mode = 0
        return cls(index)

    @property
    def num_lists(self) -> int:
        return int(self.index.nlist)

    def find(self, states: np.ndarray, num_items: int, num_searched: int) -> np.ndarray:
        """The items with the largest products in the `num_searched` lists nearest to each state.

        Args:
            states: float32 [B, V].
        Returns: int32 [B, num_items], the best first as far as their bytes show, 0 where there are fewer.
        """
        faiss = import_faiss()
        nearest = None
        if self.num_lists > _FEW_LISTS:  # The centres are searched along a graph, with room to spare.
            nearest = faiss.SearchParametersHNSW(efSearch=2 * num_searched)
        chosen = faiss.SearchParametersIVF(nprobe=num_searched, quantizer_params=nearest)
        _, rows = self.index.search(np.ascontiguousarray(states, np.float32), num_items, params=chosen)
        return (rows + 1).astype(np.int32)  # faiss gives -1 where there are fewer.


def write_lists(vectors: np.ndarray, path: Path, num_lists: int | None, num_threads: int) -> None:
    """Builds an index of float32 [M, V] and writes it; vectors are read in blocks.

    Raises:
        ConfigError: faiss is not installed.
    """
    faiss = import_faiss()
    faiss.omp_set_num_threads(num_threads)
    num_lists = min(num_lists or default_num_lists(len(vectors)), len(vectors))
    centres = "" if num_lists <= _FEW_LISTS else "_HNSW32"
    index = faiss.index_factory(vectors.shape[1], f"IVF{num_lists}{centres},SQ8", faiss.METRIC_INNER_PRODUCT)
    index.cp.niter, index.cp.min_points_per_centroid = 5, 1
    num_fitted = min(len(vectors), _VECTORS_PER_LIST * num_lists)
    fitted = np.linspace(0, len(vectors) - 1, num_fitted).astype(np.int64)  # Popular and rare items alike.
    index.train(np.ascontiguousarray(vectors[fitted]))
    for start in range(0, len(vectors), _VECTORS_AT_ONCE):
        index.add(np.ascontiguousarray(vectors[start : start + _VECTORS_AT_ONCE]))
    faiss.write_index(index, str(path))


def default_num_lists(num_items: int) -> int:
    """A power of two near 4 times the root of the number of items, with some 40 items or more in a list."""
    wanted = max(1.0, min(4 * np.sqrt(num_items), num_items / _VECTORS_PER_LIST))
    return int(2 ** np.floor(np.log2(wanted) + 0.5))


def import_faiss() -> Any:
    """
    Raises:
        ConfigError: it is not installed.
    """
    try:
        import faiss
    except ImportError:
        raise ConfigError(
            "index.kind: approximate needs the package faiss-cpu, which is not installed: "
            "pip install 'seqrec[index]', or set index.kind=exact."
        ) from None
    return faiss
