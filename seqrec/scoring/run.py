"""A finished run, as recommendations and exports need it."""

from dataclasses import dataclass

from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset, Manifest
from seqrec.core.storage import Storage
from seqrec.events.vocabulary import ITEMS
from seqrec.models.config import ModelConfig, read_model_config


@dataclass(frozen=True)
class TrainedRun:
    """Small enough to travel to workers; weights and vocabulary stay in their files."""

    manifest: Manifest
    config: ModelConfig

    @property
    def path(self) -> str:
        """The run's files, relative to the workdir."""
        return f"runs/{self.manifest.name}/{self.manifest.id}"

    @property
    def weights(self) -> str:
        return f"{self.path}/weights.npz"


def read_run(storage: Storage, name: str) -> TrainedRun:
    """
    Raises:
        DataError: the run is not there, not finished, or has no settings of its model.
    """
    manifest = Dataset(storage, "runs", name).require("train")
    return TrainedRun(manifest, read_model_config(storage, f"runs/{name}/{manifest.id}/config.yaml"))


def check_same_vocabulary(run: TrainedRun, prepared: Manifest) -> None:
    """
    Raises:
        DataError: the item indices of the run and of the prepared data mean other items.
    """
    own, others = run.manifest.table(ITEMS).content, prepared.table(ITEMS).content
    if own != others:
        raise DataError(
            f"run '{run.manifest.name}' was trained with another vocabulary ({own}) than the prepared data "
            f"'{prepared.name}' has ({others}): prepare the data with --set preparation.vocabulary="
            f"{run.manifest.name}, or train again."
        )
