"""A finished run: its manifest and the settings of its model."""

from dataclasses import dataclass

from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset, Manifest
from seqrec.core.storage import Storage
from seqrec.events.vocabulary import ITEMS
from seqrec.models.config import ModelConfig, read_model_config
from seqrec.scoring.run_files import CONFIG, WEIGHTS


@dataclass(frozen=True)
class TrainedRun:
    """Small enough to travel to workers; weights and vocabulary stay in their files."""

    manifest: Manifest
    config: ModelConfig

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def path(self) -> str:
        """The folder of the run's files, relative to the workdir."""
        return f"runs/{self.manifest.name}/{self.manifest.id}"

    @property
    def weights(self) -> str:
        """The file of the best weights, relative to the workdir."""
        return f"{self.path}/{WEIGHTS}"


def read_run(storage: Storage, name: str, prepared: Manifest | None = None) -> TrainedRun:
    """The newest finished run of that name.

    Args:
        prepared: data that the run is to score; its item indices must refer to the same items.

    Raises:
        DataError: the run is not there, not finished, has no settings of its model, or has another vocabulary.
    """
    manifest = Dataset(storage, "runs", name).require("train")
    run = TrainedRun(manifest, read_model_config(storage, f"runs/{name}/{manifest.id}/{CONFIG}"))
    if prepared is not None:
        check_same_vocabulary(run, prepared)
    return run


def check_same_vocabulary(run: TrainedRun, prepared: Manifest) -> None:
    """
    Raises:
        DataError: the item indices of the run and of the prepared data refer to different items.
    """
    own, others = run.manifest.table(ITEMS).content, prepared.table(ITEMS).content
    if own != others:
        raise DataError(
            f"run '{run.name}' was trained with another vocabulary ({own}) than the prepared data '{prepared.name}' "
            f"has ({others}): prepare the data with --set preparation.vocabulary={run.name}, or train again."
        )
