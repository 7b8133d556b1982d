"""A finished run, as the evaluation needs it."""

from dataclasses import dataclass

from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset, Manifest
from seqrec.core.storage import Storage
from seqrec.evaluation.config import EvaluationConfig
from seqrec.evaluation.rankings.model_ranking import ModelRanking
from seqrec.events.vocabulary import ITEMS, read_vocabulary
from seqrec.models.config import ModelConfig, read_model_config


@dataclass(frozen=True)
class TrainedRun:
    name: str
    manifest: Manifest
    config: ModelConfig
    ranking: ModelRanking

    @property
    def path(self) -> str:
        """The run's files, relative to the workdir."""
        return f"runs/{self.name}/{self.manifest.id}"


def read_run(storage: Storage, name: str, prepared: Manifest, config: EvaluationConfig) -> TrainedRun:
    """A run whose vocabulary is that of the prepared data.

    Raises:
        DataError: it is not there, or its item indices mean other items.
    """
    manifest = Dataset(storage, "runs", name).require("train")
    own, others = manifest.table(ITEMS).content, prepared.table(ITEMS).content
    if own != others:
        raise DataError(
            f"run '{name}' was trained with another vocabulary ({own}) than the prepared data '{prepared.name}' has "
            f"({others}): prepare the data with --set preparation.vocabulary={name}, or train again."
        )
    path = f"runs/{name}/{manifest.id}"
    model = read_model_config(storage, f"{path}/config.yaml")
    ranking = ModelRanking(
        root=storage.root,
        weights=f"{path}/weights.npz",
        config=model,
        vocabulary=read_vocabulary(storage, manifest),
        batch_size=config.batch_size,
        num_threads=config.tensorflow_threads,
    )
    return TrainedRun(name, manifest, model, ranking)
