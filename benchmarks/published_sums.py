"""The sum of the logits of several runs of one data set, ranked over the whole catalogue, beside each run alone.

    python -m benchmarks.published_sums WORKDIR NAME SPLIT RUN [RUN ...]

Runs of retrieval models that differ in their seed, over `prepared/<NAME>`; SPLIT is validation or test. The sum is one
product too: of the states side by side and the items' vectors side by side. So it is a retrieval model of that width,
and needs one index. The protocol is that of `evaluate` with `protocol: full`.
"""

import sys

import numpy as np
import tensorflow as tf

from seqrec.core.batch import EventRuns
from seqrec.core.manifest import Dataset, Manifest
from seqrec.core.metrics import measure_catalogue_ranks
from seqrec.core.storage import Storage
from seqrec.events.vocabulary import read_vocabulary
from seqrec.feed.evaluation import EvaluationFeed
from seqrec.models.config import ModelConfig
from seqrec.models.contract import RetrievalModel
from seqrec.models.layers.training_context import TrainingContext
from seqrec.scoring.catalogue_ranks import CatalogueRanker
from seqrec.scoring.loaded_model import StoredModel, read_model

CUTOFF, LENGTH = 10, 50


class SideBySide(RetrievalModel):
    """States and item vectors of several models side by side, so that logits add up."""

    def __init__(self, models: list[RetrievalModel]) -> None:
        super().__init__("side_by_side")
        self.models, self.embedding, self.config = models, models[0].embedding, models[0].config

    @staticmethod
    def check_settings(config: ModelConfig, options: object) -> None:
        pass

    def encode_positions(self, runs: EventRuns, training: TrainingContext | None = None) -> tf.Tensor:
        return tf.concat([model.encode_positions(runs, training) for model in self.models], axis=1)

    def item_vectors(self, items: tf.Tensor | None = None) -> tf.Tensor:
        return tf.concat([model.item_vectors(items) for model in self.models], axis=-1)


def main(workdir: str, name: str, split: str, *runs: str) -> None:
    storage = Storage(workdir)
    prepared = Dataset(storage, "prepared", name).require("prepare")
    models = [load(storage, prepared, run) for run in runs]
    print(f"| {split} | hit rate@10 | NDCG@10 | MRR |\n|---|---|---|---|", flush=True)
    for run, model in zip(runs, models, strict=True):
        print(f"| {run} | {shown(storage, prepared, split, model)} |", flush=True)
    if len(runs) > 1:
        print(f"| sum of {len(runs)} | {shown(storage, prepared, split, SideBySide(models))} |", flush=True)


def load(storage: Storage, prepared: Manifest, run: str) -> RetrievalModel:
    manifest = Dataset(storage, "runs", run).require("train")
    config = ModelConfig(**{**manifest.details["model"]})
    path = f"runs/{run}/{manifest.id}/{manifest.details['weights']}"
    model = read_model(StoredModel(storage.root, path, config, read_vocabulary(storage, prepared), 1))
    assert isinstance(model, RetrievalModel)
    return model


def shown(storage: Storage, prepared: Manifest, split: str, model: RetrievalModel) -> str:
    ranker = CatalogueRanker(model, prepared.details["num_items"])
    feed = EvaluationFeed(
        storage=storage,
        files=prepared.table(f"sequences/{split}").files,
        batch_size=ranker.batch_size,
        max_history_length=LENGTH,
    )
    vectors = ranker.item_vectors()
    ranks = [ranker.ranks(batch, vectors).numpy()[0, :rows] for batch, rows in feed.catalogue_batches()]
    values = measure_catalogue_ranks(np.concatenate(ranks), CUTOFF)
    return " | ".join(f"{values[f'catalogue_{each}']:.4f}" for each in (f"hit_rate@{CUTOFF}", f"ndcg@{CUTOFF}", "mrr"))


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    main(*sys.argv[1:])
