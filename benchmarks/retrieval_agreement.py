"""SASRec on real data: 1, 2 and 4 workers agree, and a killed run resumes to the same bits.

    python -m benchmarks.retrieval_agreement WORKDIR [NAME]

WORKDIR holds `prepared/<NAME>` (default beauty, see published_protocol.py); runs are written there and begin with
`agreement-`. Compares the batches and the drawn negatives of every step of an epoch, then all variables after steps 1,
10 and 100 of one epoch, optimizer slots included; then kills a run with SIGKILL after step 50, resumes it, and
compares it with the one that nothing disturbed, bit for bit.
"""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from seqrec.core.manifest import Dataset, Manifest
from seqrec.core.storage import Storage
from seqrec.events.vocabulary import read_vocabulary
from seqrec.feed.runs import RunFeed
from seqrec.models.config import ModelConfig
from seqrec.models.layers.training_context import TrainingContext
from seqrec.training.checks import TRAIN, layout_of
from seqrec.training.config import TrainingConfig
from seqrec.training.objectives.config import LossConfig
from seqrec.training.objectives.item_draws import ItemDraws, Shares
from seqrec.training.optimizer_config import OptimizerConfig
from seqrec.training.stage import run_train

SEED, WORKERS, STEPS, KILLED_AT, LENGTH = 1, (1, 2, 4), (1, 10, 100), 50, 50
SHARES = Shares(uniform=0.25, popularity=0.5, in_batch=0.25)
NUM_DRAWN = 512


def training(num_workers: int, every_steps: int) -> TrainingConfig:
    options = {f"{source}_share": share for source, share in SHARES._asdict().items()}
    return TrainingConfig(
        num_epochs=1,
        global_batch_size=200,
        num_streams=8,
        num_workers=num_workers,
        num_threads=1,
        launcher="in_process" if num_workers == 1 else "horovodrun",
        loss=LossConfig(name="shared_softmax", options={"shared_softmax": {"num_negatives": NUM_DRAWN, **options}}),
        optimizer=OptimizerConfig(learning_rate=1.0e-3),
        checkpoint_every_steps=every_steps,
        keep_last=1_000,
        hang_timeout=600,
        start_timeout=1_800,
    )


def main(workdir: str, name: str = "beauty") -> None:
    storage = Storage(workdir)
    prepared = Dataset(storage, "prepared", name).require("prepare")
    compare_batches(storage, prepared)
    runs = {number: f"agreement-{number}-workers" for number in WORKERS}
    for number, run in runs.items():
        train(workdir, name, run, number, 1)
    for step in STEPS:
        alone = checkpoint(storage, runs[1], step)
        for number in WORKERS[1:]:
            other = checkpoint(storage, runs[number], step)
            apart = max(float(np.abs(alone[each] - other[each]).max()) for each in alone)
            largest = max(float(np.abs(alone[each]).max()) for each in alone if not each.startswith("optimizer/num"))
            print(f"variables after step {step}, 1 and {number} workers: at most {apart:.1e} apart ({largest:.1e})")
    compare_killed(workdir, name)


def compare_batches(storage: Storage, prepared: Manifest) -> None:
    """Every step of the first epoch: the streams of 2 and 4 workers, side by side, are those of one."""
    vocabulary = read_vocabulary(storage, prepared)
    draws = ItemDraws(SHARES, vocabulary.train_count[: vocabulary.num_trained_items + 1], 0.75)
    feeds = {
        number: [
            RunFeed(
                storage,
                prepared.table(TRAIN).files,
                replace(layout_of(training(1, 0), SEED), num_workers=number),
                worker_rank=rank,
                max_history_length=LENGTH,
            )
            for rank in range(number)
        ]
        for number in WORKERS
    }
    num_steps = 0
    every = {number: [feed.batches(0) for feed in of_number] for number, of_number in feeds.items()}
    while batches := {number: [next(each, None) for each in of_number] for number, of_number in every.items()}:
        if batches[1][0] is None:
            break
        seen = {number: by_stream(feeds[number], batches[number], draws, num_steps) for number in WORKERS}
        for number in WORKERS[1:]:
            for one, other in zip(seen[1], seen[number], strict=True):
                assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True)), (num_steps, number)
        num_steps += 1
    print(f"batches and negatives of {num_steps} steps are the same for {WORKERS} workers")


def by_stream(feeds: list[RunFeed], batches: list, draws: ItemDraws, step: int) -> list[tuple[np.ndarray, ...]]:
    """Items, lengths, targets and drawn negatives of each stream, in the order of the streams."""
    found = {}
    for feed, batch in zip(feeds, batches, strict=True):
        keys = TrainingContext(SEED, tf.constant(step, tf.int64), tf.constant(feed.stream_ids)).keys("negatives")
        for place, stream in enumerate(feed.stream_ids):
            real = np.arange(batch.runs.items.shape[2]) < batch.runs.length[place][:, None]
            targets = batch.target_items[place][real]
            trained = tf.constant(targets[targets > 0], tf.int32)
            negatives = draws.draw([NUM_DRAWN], trained, keys[place]).numpy()
            found[stream] = (batch.runs.items[place][real], batch.runs.length[place], targets, negatives)
    return [found[stream] for stream in sorted(found)]


def compare_killed(workdir: str, name: str) -> None:
    storage, run = Storage(workdir), "agreement-killed"
    command = [sys.executable, "-m", "benchmarks.retrieval_agreement", "--train", workdir, name, run, "1", "50"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    folder = Path(workdir) / "runs" / run
    while not list(folder.glob(f"*/checkpoints/step-{KILLED_AT:08d}.json")):
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.05)
    process.kill()
    print(f"killed after step {KILLED_AT}, exit status {process.wait()}")
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    alone, again = (checkpoint(storage, each, STEPS[-1]) for each in ("agreement-1-workers", run))
    differing = [each for each in alone if alone[each].tobytes() != again[each].tobytes()]
    print(f"{STEPS[-1]} steps and {KILLED_AT}, SIGKILL, {KILLED_AT}: {len(differing)} of {len(alone)} variables differ")


def train(workdir: str, name: str, run: str, num_workers: int, every_steps: int) -> None:
    model = ModelConfig(name="sasrec", item_dim=64, category_dim=0, max_history_length=LENGTH)
    run_train(Storage(workdir), name, run, model, training(num_workers, every_steps), SEED, False)


def checkpoint(storage: Storage, run: str, step: int) -> dict[str, np.ndarray]:
    manifest = Dataset(storage, "runs", run).require("train")
    local = storage.local(f"runs/{run}/{manifest.id}/checkpoints/step-{step:08d}.npz")
    with np.load(str(local)) as stored:
        return {each: stored[each] for each in stored.files}


if __name__ == "__main__":
    if sys.argv[1] == "--train":
        train(*sys.argv[2:5], int(sys.argv[5]), int(sys.argv[6]))
    else:
        main(*sys.argv[1:])
