"""Step time and memory as the catalogue grows, with the row-sparse and with the dense Adam.

    python benchmarks/catalogue_size.py [MODEL] [NUM_ITEMS ...]

Each size runs in a process of its own: 400 positives, 1+4 uniform negatives, random histories of 8 events, history
length 50. The dense Adam is left out where its table would be larger than a million rows.
"""

import multiprocessing
import resource
import statistics
import sys
import time

ROWS_FOR_DENSE = 1_000_000
BATCH, HISTORY, EVENTS, STEPS = 400, 50, 8, 40


def measure(model_name: str, num_items: int, optimizer_name: str) -> tuple[float, float, float]:
    """Median step in milliseconds, processor time a step in milliseconds, and peak resident memory in GiB."""
    import numpy as np
    import tensorflow as tf

    from seqrec.core.batch import History, TrainBatch
    from seqrec.events.vocabulary import Vocabulary
    from seqrec.models.config import ModelConfig
    from seqrec.models.registry import build_model
    from seqrec.training.config import TrainingConfig
    from seqrec.training.objectives.config import LossConfig
    from seqrec.training.objectives.registry import build_objective
    from seqrec.training.optimizer_config import OptimizerConfig
    from seqrec.training.optimizers import build_optimizer
    from seqrec.training.train_step import TrainStep
    from seqrec.training.workers.exchange import Workers

    rng = np.random.default_rng(1)
    category = rng.integers(0, 501, num_items + 1).astype(np.int32)
    category[0] = 0
    vocabulary = Vocabulary(
        num_trained_items=num_items,
        num_categories=500,
        item_category=category,
        train_count=np.ones(num_items + 1, np.int64),
    )
    model = build_model(ModelConfig(name=model_name), vocabulary, seed=1)
    config = TrainingConfig(
        loss=LossConfig(negatives="uniform"),
        optimizer=OptimizerConfig(name=optimizer_name),
        num_streams=1,
        global_batch_size=BATCH,
    )
    optimizer = build_optimizer(config.optimizer, model.trained_variables)
    objective = build_objective(config.loss, model_name, np.ones(num_items + 1, np.int64))
    step = TrainStep(model, optimizer, objective, Workers(), config, 1, range(1))

    def batch() -> TrainBatch:
        items = np.zeros([1, BATCH, HISTORY], np.int32)
        items[..., :EVENTS] = rng.integers(1, num_items + 1, [1, BATCH, EVENTS])
        times = tf.zeros(items.shape)
        history = History(tf.constant(items), tf.fill([1, BATCH], EVENTS), times, times)
        return TrainBatch(history, tf.constant(rng.integers(1, num_items + 1, [1, BATCH]).astype(np.int32)))

    seconds = []
    for number in range(STEPS + 3):
        examples = batch()
        start, used = time.perf_counter(), time.process_time()
        float(step(examples, number, False).loss)
        seconds.append((time.perf_counter() - start, time.process_time() - used))
    walls, processors = zip(*seconds[3:], strict=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return statistics.median(walls) * 1e3, statistics.median(processors) * 1e3, peak


def main(model_name: str = "a2svd", *sizes: str) -> None:
    print("| model | items | optimizer | ms/step, median | processor ms/step | peak resident GiB |")
    print("|---|---|---|---|---|---|")
    for num_items in map(int, sizes or ("20000", "15500000")):
        for optimizer in ("row_sparse_adam", "dense_adam"):
            if optimizer == "dense_adam" and num_items > ROWS_FOR_DENSE:
                continue
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                wall, processor, peak = pool.apply(measure, (model_name, num_items, optimizer))
            print(
                f"| {model_name} | {num_items:,} | {optimizer} | {wall:.1f} | {processor:.1f} | {peak:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
