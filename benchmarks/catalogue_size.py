"""Step time and memory as the catalogue grows, with the row-sparse and with the dense Adam.

    python benchmarks/catalogue_size.py [MODEL] [NUM_ITEMS[xWIDTH] ...]

Each size runs in a process of its own. Ranking models: 400 positives, 1+4 uniform negatives, random histories of 8
events. Retrieval models, WIDTH (default 64): 512 users with 8 events each, all of them with a target, shared_softmax
with its default 512 negatives a stream, half of them drawn by popularity. History length 50. The dense Adam is left
out where its table would be larger than a million rows.
"""

import multiprocessing
import resource
import statistics
import sys
import time
from typing import Any

ROWS_FOR_DENSE = 1_000_000
HISTORY, EVENTS, STEPS = 50, 8, 40
BATCHES = {"ranking": 400, "retrieval": 512}
DRAWS = {"shared_softmax": {"uniform_share": 0.25, "popularity_share": 0.5, "in_batch_share": 0.25}}


def measure(model_name: str, num_items: int, width: int, optimizer_name: str) -> tuple[float, float, float]:
    """Median step in milliseconds, processor time a step in milliseconds, and peak resident memory in GiB."""
    import numpy as np

    from seqrec.events.vocabulary import Vocabulary
    from seqrec.models.config import ModelConfig
    from seqrec.models.registry import build_model, family_of
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
    family = family_of(model_name)
    batch_size, is_retrieval = BATCHES[family], family == "retrieval"
    widths = {"item_dim": width, "category_dim": 0} if is_retrieval else {}
    model = build_model(ModelConfig(name=model_name, **widths), vocabulary, seed=1)
    losses = {
        "ranking": LossConfig(negatives="uniform"),
        "retrieval": LossConfig(name="shared_softmax", options=DRAWS),
    }
    config = TrainingConfig(
        loss=losses[family],
        optimizer=OptimizerConfig(name=optimizer_name),
        num_streams=1,
        global_batch_size=batch_size,
    )
    optimizer = build_optimizer(config.optimizer, model.trained_variables)
    objective = build_objective(config.loss, model_name, np.ones(num_items + 1, np.int64))
    step = TrainStep(model, optimizer, objective, Workers(), config, 1, range(1))

    seconds = []
    for number in range(STEPS + 3):
        examples = _runs(rng, batch_size, num_items) if is_retrieval else _windows(rng, batch_size, num_items)
        start, used = time.perf_counter(), time.process_time()
        float(step(examples, number, False).loss)
        seconds.append((time.perf_counter() - start, time.process_time() - used))
    walls, processors = zip(*seconds[3:], strict=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return statistics.median(walls) * 1e3, statistics.median(processors) * 1e3, peak


def _windows(rng: Any, batch_size: int, num_items: int) -> Any:
    import numpy as np
    import tensorflow as tf

    from seqrec.core.batch import History, TrainBatch

    items = np.zeros([1, batch_size, HISTORY], np.int32)
    items[..., :EVENTS] = rng.integers(1, num_items + 1, [1, batch_size, EVENTS])
    times = tf.zeros(items.shape)
    history = History(tf.constant(items), tf.fill([1, batch_size], EVENTS), times, times)
    return TrainBatch(history, tf.constant(rng.integers(1, num_items + 1, [1, batch_size]).astype(np.int32)))


def _runs(rng: Any, batch_size: int, num_items: int) -> Any:
    import numpy as np
    import tensorflow as tf

    from seqrec.core.batch import EventRuns, RunBatch

    items = np.zeros([1, batch_size, HISTORY + 1], np.int32)
    items[..., : EVENTS + 1] = rng.integers(1, num_items + 1, [1, batch_size, EVENTS + 1])
    inputs = items[..., :-1].copy()
    inputs[..., EVENTS:] = 0
    runs = EventRuns(tf.constant(inputs), tf.fill([1, batch_size], EVENTS), tf.zeros(inputs.shape))
    return RunBatch(runs, tf.constant(items[..., 1:]))


def main(model_name: str = "a2svd", *sizes: str) -> None:
    print("| model | items | optimizer | ms/step, median | processor ms/step | peak resident GiB |")
    print("|---|---|---|---|---|---|")
    for size in sizes or ("20000", "15500000"):
        num_items, width = (int(number) for number in f"{size}x64".split("x")[:2])
        for optimizer in ("row_sparse_adam", "dense_adam"):
            if optimizer == "dense_adam" and num_items > ROWS_FOR_DENSE:
                continue
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                wall, processor, peak = pool.apply(measure, (model_name, num_items, width, optimizer))
            print(
                f"| {model_name} | {size} | {optimizer} | {wall:.1f} | {processor:.1f} | {peak:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
