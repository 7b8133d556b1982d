"""This project's side of the speed benchmarks: the same protocol and the same data as `reference_process.py`.

    python benchmarks/seqrec_process.py MODEL REVIEWS FULL COMPATIBILITY NUM_STREAMS

"train 20" times 20 steps of 400 positives, from cutting the windows (in a thread of its own, as `train` does) to the
updated weights; "score 20" times 20 batches of 400 groups of 1+49.
"""

import sys
import time
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from beauty_sequences import Sequences, cut_windows, read_sequences

from seqrec.core.batch import History, TrainBatch
from seqrec.events.vocabulary import Vocabulary
from seqrec.feed.prefetching import prefetched
from seqrec.models.config import ModelConfig
from seqrec.models.contract import SequenceModel
from seqrec.models.registry import build_model
from seqrec.training.config import TrainingConfig
from seqrec.training.objectives.registry import build_objective
from seqrec.training.optimizers import build_optimizer
from seqrec.training.train_step import TrainStep
from seqrec.training.workers.exchange import Workers

BATCH, HISTORY, NUM_TEST_NEGATIVES = 400, 50, 49
BATCHES_AHEAD = 4


def main(model_name: str, reviews: str, full: str, compatibility: str, num_streams: str) -> None:
    sequences = read_sequences(reviews)
    category = np.concatenate([[0], np.ones(sequences.num_items)]).astype(np.int32)
    vocabulary = Vocabulary(
        num_trained_items=sequences.num_items,
        num_categories=1,
        item_category=category,
        train_count=np.ones(len(category), np.int64),
    )
    model = build_model(ModelConfig(name=model_name, compatibility=compatibility), vocabulary, seed=1)
    work = {
        "train": train_worker(model, sequences, full == "full", int(num_streams)),
        "score": score_worker(model, sequences, full == "full"),
    }
    for kind in work:
        next(work[kind])
    print("ready", flush=True)
    for line in sys.stdin:
        kind, number = line.split()
        start, used = time.perf_counter(), time.process_time()
        done = sum(next(work[kind]) for _ in range(int(number)))
        print(done, time.perf_counter() - start, time.process_time() - used, flush=True)


def train_worker(model: SequenceModel, sequences: Sequences, full: bool, num_streams: int) -> Iterator[int]:
    """Trains a batch, and yields the number of positives."""
    train_count = np.bincount(sequences.items[sequences.train_targets], minlength=sequences.num_items + 1)
    config = TrainingConfig(num_streams=num_streams, global_batch_size=BATCH)
    optimizer = build_optimizer(config.optimizer, model.trained_variables)
    objective = build_objective(config.loss, model.config.name, train_count)
    step = TrainStep(model, optimizer, objective, Workers(), config, 1, range(num_streams))
    for number, batch in enumerate(prefetched(_train_batches(sequences, full, num_streams), BATCHES_AHEAD)):
        assert np.isfinite(float(step(batch, number, False).loss))
        yield BATCH


def _train_batches(sequences: Sequences, full: bool, num_streams: int) -> Iterator[TrainBatch]:
    rng = np.random.default_rng(1)
    while True:
        order = rng.permutation(sequences.train_targets)
        for start in range(0, len(order) - BATCH + 1, BATCH):
            yield TrainBatch(*_batch(sequences, order[start : start + BATCH], full, num_streams))


def score_worker(model: SequenceModel, sequences: Sequences, full: bool) -> Iterator[int]:
    """Scores a batch of groups, and yields their number."""
    targets = sequences.test_targets[:BATCH]
    negatives = np.random.default_rng(2).integers(1, sequences.num_items + 1, [1, BATCH, NUM_TEST_NEGATIVES])
    score = tf.function(
        lambda history, candidates: model.score(model.encode(history), candidates),
        input_signature=(_signature(1)[0], tf.TensorSpec([1, None, 1 + NUM_TEST_NEGATIVES], tf.int32)),
    )
    while True:
        history, target = _batch(sequences, targets, full, 1)
        candidates = np.concatenate([target.numpy()[..., None], negatives], axis=2).astype(np.int32)
        score(history, tf.constant(candidates)).numpy()
        yield BATCH


def _signature(num_streams: int) -> tuple[History, tf.TensorSpec]:
    shape, times = [num_streams, None], tf.TensorSpec([num_streams, None, HISTORY])
    items = tf.TensorSpec([num_streams, None, HISTORY], tf.int32)
    return History(items, tf.TensorSpec(shape, tf.int32), times, times), tf.TensorSpec(shape, tf.int32)


def _batch(sequences: Sequences, targets: np.ndarray, full: bool, num_streams: int) -> tuple[History, tf.Tensor]:
    windows = cut_windows(sequences, targets, HISTORY, full)
    *parts, target = (tf.constant(part.reshape(num_streams, -1, *part.shape[1:])) for part in windows)
    return History(*parts), target


if __name__ == "__main__":
    main(*sys.argv[1:])
