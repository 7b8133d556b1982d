"""The index of a run: where its files lie, whether they are of the run's weights, and the search in them."""

from dataclasses import dataclass

import numpy as np

from seqrec.core.errors import DataError
from seqrec.core.local_copies import local_copy, map_array
from seqrec.core.manifest import Dataset, Manifest, check_files
from seqrec.core.storage import Storage
from seqrec.scoring.index.approximate import NearLists
from seqrec.scoring.index.exact import best_of_all, best_of_some
from seqrec.scoring.run import TrainedRun

VECTORS, LISTS = "item_vectors", "lists"  # Tables of the dataset: a .npy file, and that of an approximate index.
RUN = "run"  # Input of the index: the content of the run's weights.
# An approximate index is asked for more items than are wanted, since its own scores are rounded: so many times as many,
# and so many more.
_TIMES, _MORE = 2, 50


@dataclass(frozen=True)
class ItemIndex:
    """Finds the best items of a whole catalogue; only items that the run was trained on have a vector."""

    vectors: np.ndarray  # float32 [M, V], mapped from a file; that of item i in row i - 1.
    lists: NearLists | None = None  # None searches all vectors.
    num_searched: int = 0  # Lists searched for each state.

    @classmethod
    def open(cls, storage: Storage, run: TrainedRun) -> "ItemIndex":
        """The index of a run, its files mapped into memory, from this machine's copies where they lie elsewhere.

        Raises:
            DataError: there is none, it is of other weights than the run's, or a file is missing.
            ConfigError: it is approximate, and faiss is not installed.
        """
        manifest = index_dataset(storage, run.name).require("index")
        check_same_weights(run, manifest)
        for table in manifest.tables.values():
            check_files(storage, table, "Run the job 'index' again (--set force=true).")
        vectors = map_array(storage, manifest.table(VECTORS).files[0].path)
        if LISTS not in manifest.tables:
            return cls(vectors)
        lists = NearLists.open(local_copy(storage, manifest.table(LISTS).files[0].path))
        return cls(vectors, lists, manifest.details["num_searched"])

    def search(self, states: np.ndarray, k: int, excluded: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The k best items of each state, the best first; equal scores: the lower item first.

        A row gets fewer than k where the catalogue, or what is left of it, is smaller: the rest of it is padding.

        Args:
            states: float32 [B, V], as `RunScorer.states` gives them.
            excluded: int32 [B, E], items that a row must not get (its own, say); 0 excludes nothing.
        Returns: items int32 [B, k], 0 as padding, and logits float32 [B, k], there the lowest float.

        Raises:
            DataError: a state is not finite.
        """
        if not np.isfinite(states).all():
            raise DataError("a state is not all finite numbers: train the run again.")
        if self.lists is None:
            return best_of_all(states, self.vectors, k, excluded)
        wanted = _TIMES * k + _MORE + (0 if excluded is None else excluded.shape[1])
        found = self.lists.find(states, min(wanted, len(self.vectors)), self.num_searched)
        return best_of_some(states, self.vectors, found, k, excluded)


def index_dataset(storage: Storage, run: str) -> Dataset:
    """The dataset `runs/<run>/index`."""
    return Dataset(storage, "runs", f"{run}/index")


def check_same_weights(run: TrainedRun, index: Manifest) -> None:
    """
    Raises:
        DataError: the index was made from other weights than the run has.
    """
    made_from = index.inputs[RUN]
    if made_from != run.manifest.content:
        raise DataError(
            f"the index of run '{run.name}' was made from other weights ({made_from}) than the run has "
            f"({run.manifest.content}): run the job 'index' again."
        )
