"""The candidates of training targets that a run draws negatives from. No TensorFlow here."""

from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset, FileEntry, Manifest
from seqrec.core.storage import Storage
from seqrec.events.histories import are_found_in
from seqrec.neighbours.config import CANDIDATES, TRAINING, candidates_name


def read_target_lists(storage: Storage, prepared: Manifest) -> Manifest:
    """`candidates/<name>-train`, found for the training targets as they are prepared now.

    Raises:
        DataError: it is not there, or was found for other training data.
    """
    name = candidates_name(prepared.name, TRAINING)
    manifest = Dataset(storage, CANDIDATES, name).manifest()
    if manifest is None:
        raise DataError(
            f"training.loss.candidates_share: candidates '{name}' are not there or not finished. Run the job "
            "'candidates' with candidates.histories=train first, or set training.loss.candidates_share=0."
        )
    if not are_found_in(manifest, prepared, TRAINING):
        raise DataError(
            f"candidates '{name}' are not of the data as prepared now. Run the job 'candidates' with "
            "candidates.histories=train again."
        )
    return manifest


def list_files(lists: Manifest) -> tuple[FileEntry, ...]:
    """The files of lists: the n-th lies beside the n-th file of training events."""
    return tuple(sorted(lists.table(CANDIDATES).files, key=lambda file: file.path))


def list_length(lists: Manifest) -> int:
    """The most items of a list."""
    return int(lists.settings["max_candidates"])
