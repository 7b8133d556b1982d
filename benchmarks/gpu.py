"""What a training step costs on a GPU, or on a CPU, in an environment of NumPy and TensorFlow alone.

    python benchmarks/gpu.py [FILE] [--models a2svd,sli_rec,gru,sasrec,gru4rec] [--batches 400,6400,51200] [--seconds 3]

FILE holds batches of the real feed, made beforehand by `gpu_batches.py`; without it they are drawn. It prints the
device, for each model the loss of a first step beside that of the CPU, and for each size of batch, compiled or not, and
each precision: targets a second, milliseconds a step, graphs traced, the device's peak memory, and the bytes a second
that the feed must bring. Nothing of Spark, Petastorm or Horovod is imported.
"""

import argparse
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

ROOT = Path(__file__).parents[1]
LENGTH, STREAMS, SEED, NUM_DRAWN = 50, 8, 1, 4


def main(arguments: list[str]) -> None:
    options = parsed(arguments)
    stand_in_for_missing_packages()
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    print(f"TensorFlow {tf.__version__}, NumPy {np.__version__}, Python {sys.version.split()[0]}")
    print(f"devices: {', '.join(map(describe, tf.config.list_physical_devices()))}\n")
    source = Stored(options.file) if options.file else Drawn()
    models = options.models.split(",")
    print("| model | loss, first step | on the CPU | difference |\n|---|---|---|---|")
    for name in models:
        print_first_losses(name, source)
    print("\n| model | targets | jit | precision | targets/s | ms/step | graphs | peak MB | feed MB/s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in models:
        for size in map(int, options.batches.split(",")):
            for jit in ("off", "on"):
                for mixed in (False, True):
                    print_speed(name, source, size, jit, mixed, options.seconds)


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", help="batches made by gpu_batches.py")
    parser.add_argument("--models", default="a2svd,sli_rec,gru,sasrec,gru4rec")
    parser.add_argument("--batches", default="400,6400,51200", help="targets of a batch")
    parser.add_argument("--seconds", type=float, default=3.0, help="time of a measurement")
    return parser.parse_args(arguments)


def stand_in_for_missing_packages() -> None:
    """Lets the models be imported where packages are missing that only reading files and configs needs."""
    sys.path.insert(0, str(ROOT))
    for name in ("pyarrow", "pyarrow.fs", "pyarrow.parquet", "pyarrow.dataset", "yaml", "pydantic"):
        try:
            __import__(name)
        except ImportError:
            module = types.ModuleType(name)
            module.__getattr__ = lambda attribute: type(attribute, (), {})  # type: ignore[method-assign]
            sys.modules[name] = module


def describe(device: Any) -> str:
    details = tf.config.experimental.get_device_details(device) if device.device_type == "GPU" else {}
    return f"{device.name} {details.get('device_name', '')}".strip()


def is_retrieval(name: str) -> bool:
    return name in ("sasrec", "gru4rec")


class Drawn:
    """Batches like those of a real log: eight events a history on average, 50 at most."""

    def __init__(self, num_items: int = 20_000) -> None:
        rng = np.random.default_rng(SEED)
        self.item_category = np.r_[0, rng.integers(1, 51, num_items)].astype(np.int32)
        self.train_count = np.r_[0, rng.integers(1, 50, num_items)].astype(np.int64)
        self.num_trained_items, self.num_categories = num_items, 50

    def batches(self, name: str, size: int) -> list[Any]:
        from seqrec.core.batch import EventRuns, History, RunBatch, TrainBatch

        rng = np.random.default_rng(SEED)
        made = []
        for _ in range(NUM_DRAWN):
            share = max(1, size // STREAMS // (8 if is_retrieval(name) else 1))
            length = np.minimum(rng.geometric(1 / 8, (STREAMS, share)), LENGTH).astype(np.int32)
            real = np.arange(LENGTH) < length[..., None]
            items = np.where(real, self._items(rng, real.shape), 0).astype(np.int32)
            times = np.sort(rng.random(real.shape) * 1e8, axis=-1)
            if is_retrieval(name):
                gaps = np.where(real, np.diff(times, axis=-1, prepend=times[..., :1]), 0).astype(np.float32)
                targets = np.where(real, self._items(rng, real.shape), 0).astype(np.int32)
                made.append(RunBatch(EventRuns(items, length, gaps), targets))
            else:
                to_target = np.where(real, 1e8 - times, 0).astype(np.float32)
                from_first = np.where(real, times - times[..., :1], 0).astype(np.float32)
                targets = self._items(rng, length.shape)
                made.append(TrainBatch(History(items, length, to_target, from_first), targets))
        return made

    def _items(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.integers(1, self.num_trained_items + 1, shape).astype(np.int32)


class Stored:
    """Batches of the feed, cut or repeated to the size that is asked for."""

    def __init__(self, path: str) -> None:
        self._arrays = np.load(path, allow_pickle=False)
        self.num_trained_items = int(self._arrays["num_trained_items"])
        self.num_categories = int(self._arrays["num_categories"])
        self.item_category, self.train_count = self._arrays["item_category"], self._arrays["train_count"]

    def batches(self, name: str, size: int) -> list[Any]:
        from seqrec.core.batch import EventRuns, History, RunBatch, TrainBatch

        retrieval = is_retrieval(name)
        kind, inner, outer = ("runs", EventRuns, RunBatch) if retrieval else ("windows", History, TrainBatch)
        share = max(1, size // STREAMS // (8 if retrieval else 1))
        made = []
        while f"{kind}/{len(made)}/target" in self._arrays:
            prefix = f"{kind}/{len(made)}/"
            fields = [self._sized(self._arrays[prefix + field], share) for field in inner._fields]
            made.append(outer(inner(*fields), self._sized(self._arrays[prefix + "target"], share)))
        return made

    def _sized(self, values: np.ndarray, share: int) -> np.ndarray:
        return np.take(values, np.arange(share) % values.shape[1], axis=1)


def build_step(name: str, source: Any, size: int, jit: str, mixed: bool) -> Any:
    from seqrec.events.vocabulary import Vocabulary
    from seqrec.models.config import ModelConfig
    from seqrec.models.registry import _model_class
    from seqrec.training.config import TrainingConfig
    from seqrec.training.objectives.full_softmax import FullSoftmax, FullSoftmaxOptions
    from seqrec.training.objectives.sampled_softmax import SampledSoftmax
    from seqrec.training.optimizer_config import OptimizerConfig
    from seqrec.training.optimizers import build_optimizer
    from seqrec.training.train_step import TrainStep
    from seqrec.training.workers.exchange import Workers

    vocabulary = Vocabulary(
        num_trained_items=source.num_trained_items,
        num_categories=source.num_categories,
        item_category=source.item_category,
        train_count=source.train_count,
    )
    chosen = _model_class(name)
    model = chosen(ModelConfig(name=name, mixed_precision=mixed), chosen.options_class(), vocabulary, SEED)
    optimizer_name = "dense_adam" if is_retrieval(name) else "row_sparse_adam"
    config = TrainingConfig(
        global_batch_size=max(STREAMS, size),
        num_streams=STREAMS,
        jit=jit,
        optimizer=OptimizerConfig(name=optimizer_name),
    )
    counts = source.train_count[: source.num_trained_items + 1]
    if is_retrieval(name):
        # On a GPU larger blocks of logits are faster; bfloat16 products only where they are asked for.
        precision = FullSoftmaxOptions(block_mb=256, matmul_dtype="bfloat16" if mixed else "float32")
        objective: Any = FullSoftmax(config.loss, precision, counts)
    else:
        objective = SampledSoftmax(config.loss, None, counts)
    optimizer = build_optimizer(config.optimizer, model.trained_variables)
    return TrainStep(model, optimizer, objective, Workers(), config, SEED, range(STREAMS))


def print_first_losses(name: str, source: Any) -> None:
    batch = source.batches(name, 400)[0]
    loss = float(build_step(name, source, 400, "auto", False)(batch, 0, False).loss)
    with tf.device("/CPU:0"):
        on_cpu = float(build_step(name, source, 400, "off", False)(batch, 0, False).loss)
    print(f"| {name} | {loss:.6f} | {on_cpu:.6f} | {abs(loss - on_cpu):.1e} |", flush=True)


def print_speed(name: str, source: Any, size: int, jit: str, mixed: bool, seconds: float) -> None:
    batches = source.batches(name, size)
    step = build_step(name, source, size, jit, mixed)
    row = f"| {name} | {size:,} | {jit} | {'bfloat16' if mixed else 'float32'} | "
    try:
        for number, batch in enumerate(batches):  # Every shape is traced before the clock starts.
            float(step(batch, number, False).loss)
        targets, steps, spent = timed(step, batches, seconds)
    except tf.errors.ResourceExhaustedError:
        print(f"{row}out of memory | | | | |", flush=True)
        return
    bytes_per_step = sum(values.nbytes for values in tf.nest.flatten(batches[0]))
    print(
        f"{row}{targets / spent:,.0f} | {1e3 * spent / steps:.2f} | {step.num_graphs} | {peak_megabytes()} | "
        f"{bytes_per_step * steps / spent / 1e6:,.0f} |",
        flush=True,
    )


def timed(step: Any, batches: list[Any], seconds: float) -> tuple[int, int, float]:
    """Targets, steps and seconds of training; the outcome is read once, at the end."""
    targets = [int(np.count_nonzero(batch[-1])) for batch in batches]
    began, done, steps = time.perf_counter(), 0, 0
    for number in cycle_for(len(batches), began, seconds):
        outcome = step(batches[number], steps + len(batches), False)
        done, steps = done + targets[number], steps + 1
    float(outcome.loss)
    return done, steps, time.perf_counter() - began


def cycle_for(count: int, began: float, seconds: float) -> Iterator[int]:
    number = 0
    while number < 3 or time.perf_counter() - began < seconds:
        yield number % count
        number += 1


def peak_megabytes() -> str:
    if not tf.config.list_physical_devices("GPU"):
        return "-"
    peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    tf.config.experimental.reset_memory_stats("GPU:0")
    return f"{peak / 1e6:,.0f}"


if __name__ == "__main__":
    main(sys.argv[1:])
