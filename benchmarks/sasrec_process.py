"""This project's side of `sasrec_beside_others.py`: steps of SASRec over prepared sequences, with the real feed.

    python benchmarks/sasrec_process.py WORKDIR NAME BATCH MATMUL

"train 2" times two steps, from the files to the updated weights, and counts the targets that were trained on.
"""

import sys
import time
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from seqrec.core.manifest import Dataset
from seqrec.core.storage import Storage
from seqrec.events.vocabulary import read_vocabulary
from seqrec.feed.prefetching import prefetched
from seqrec.feed.runs import RunFeed
from seqrec.models.config import ModelConfig
from seqrec.models.registry import build_model
from seqrec.training.checks import TRAIN, layout_of
from seqrec.training.config import TrainingConfig
from seqrec.training.objectives.config import LossConfig
from seqrec.training.objectives.registry import build_objective
from seqrec.training.optimizer_config import OptimizerConfig
from seqrec.training.optimizers import build_optimizer
from seqrec.training.train_step import TrainStep
from seqrec.training.workers.exchange import Workers

LENGTH, SEED, BATCHES_AHEAD = 50, 1, 4
# The published model: no bias for distance, no sum of earlier events.
PUBLISHED = {"distance_bias": False, "num_earlier_events": 0}


def main(workdir: str, name: str, batch: str, matmul: str) -> None:
    storage = Storage(workdir)
    prepared = Dataset(storage, "prepared", name).require("prepare")
    vocabulary = read_vocabulary(storage, prepared)
    model_config = ModelConfig(
        name="sasrec", item_dim=64, category_dim=0, max_history_length=LENGTH, options={"sasrec": PUBLISHED}
    )
    config = TrainingConfig(
        num_streams=8,
        global_batch_size=int(batch),
        loss=LossConfig(options={"full_softmax": {"matmul_dtype": matmul}}),
        optimizer=OptimizerConfig(name="dense_adam"),
    )
    model = build_model(model_config, vocabulary, SEED)
    optimizer = build_optimizer(config.optimizer, model.trained_variables)
    train_count = vocabulary.train_count[: vocabulary.num_trained_items + 1]
    objective = build_objective(config.loss, "sasrec", train_count)
    step = TrainStep(model, optimizer, objective, Workers(), config, SEED, range(config.num_streams))
    feed = RunFeed(
        storage,
        prepared.table(TRAIN).files,
        layout_of(config, SEED),
        worker_rank=0,
        max_history_length=LENGTH,
    )
    steps = _steps(feed, step)
    print("ready", flush=True)
    for line in sys.stdin:
        number = int(line.split()[1])
        start, used = time.perf_counter(), time.process_time()
        done = sum(next(steps) for _ in range(number))
        print(done, time.perf_counter() - start, time.process_time() - used, flush=True)


def _steps(feed: RunFeed, step: TrainStep) -> Iterator[int]:
    """Trains a step, and yields the number of its targets."""
    number = epoch = 0
    while True:
        for batch in prefetched(feed.batches(epoch), BATCHES_AHEAD):
            outcome = step(tf.nest.map_structure(tf.convert_to_tensor, batch), number, False)
            assert np.isfinite(float(outcome.loss))
            number += 1
            yield np.count_nonzero(batch.target_items)
        epoch += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
