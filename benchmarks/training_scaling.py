"""What two workers reach together, beside two independent runs of one thread each on the same two cores.

    python -m benchmarks.training_scaling [--models sli_rec a2svd] [--global-batch-size 1600] [--rounds 2]
        [--exchange tensorflow]

Both sides are measured in turn, launch, tracing and validation excluded: examples a second over all epochs but the
first, from `history.csv`. Also the share of the time that the loop waited for data, and the processor time that all
processes of a side took for a thousand examples, which other work on the machine hardly changes: where two workers
take no more of it than independent runs, all that can slow them down is waiting for each other.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqrec.core.storage import Storage
from seqrec.models.config import ModelConfig
from seqrec.training.config import TrainingConfig
from seqrec.training.job import TrainingJob
from tests.feed.prepared_data import write_prepared

ROOT = Path(__file__).parents[1]


def train(workdir: str, run: str, model: str, exchange: str, num_workers: int, batch: int, num_epochs: int) -> None:
    from seqrec.training import stage

    stage.run_worker = run_and_note_processor_time
    training = TrainingConfig(
        num_epochs=num_epochs,
        global_batch_size=batch,
        num_streams=8,
        num_workers=num_workers,
        num_threads=1,
        patience=0,
        max_validation_rows=100,
        resume="never",
        launcher="in_process" if num_workers == 1 else {"horovod": "horovodrun", "tensorflow": "processes"}[exchange],
        exchange="tensorflow" if exchange == "tensorflow" else "horovod",
    )
    stage.run_train(Storage(workdir), "toy", run, ModelConfig(name=model), training, 1, True)


def run_and_note_processor_time(job: TrainingJob) -> Any:
    """Runs as a worker and leaves the seconds of processor time that it had used at the end of each epoch."""
    from seqrec.training.worker import run_worker

    seconds: list[float] = []
    state = run_worker(job, lambda _: seconds.append(time.process_time()))
    path = Path(job.workdir.removeprefix("file:")) / f"{job.attempt_path.split('/')[1]}-{os.getpid()}.seconds"
    path.write_text(json.dumps(seconds))
    return state


def processor_time(workdir: Path, run: str) -> float:
    """Seconds that all workers of a run took for all epochs but the first, validation included."""
    notes = [json.loads(path.read_text()) for path in workdir.glob(f"{run}-*.seconds")]
    return sum(seconds[-1] - seconds[0] for seconds in notes)


def examples_of(workdir: Path, run: str, batch: int) -> int:
    return sum(batch * int(row["steps"]) for row in rows_of(workdir, run))


def start(
    workdir: Path, run: str, model: str, exchange: str, num_workers: int, batch: int, num_epochs: int
) -> subprocess.Popen:
    command = [sys.executable, "-m", "benchmarks.training_scaling", "--train", str(workdir), run, model, exchange]
    command += [str(num_workers), str(batch), str(num_epochs)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL)


def rows_of(workdir: Path, run: str) -> list[dict[str, str]]:
    (path,) = workdir.glob(f"runs/{run}/*/history.csv")
    with path.open() as stream:
        return list(csv.DictReader(stream))[1:]  # The first epoch is also tracing.


def speed(workdir: Path, run: str, batch: int) -> tuple[float, float]:
    """Examples a second and share of waiting, over all epochs but the first."""
    rows = rows_of(workdir, run)
    seconds = [batch * int(row["steps"]) / float(row["examples_per_second"]) for row in rows]
    examples = sum(batch * int(row["steps"]) for row in rows)
    waited = sum(float(row["wait_share"]) * s for row, s in zip(rows, seconds, strict=True))
    return examples / sum(seconds), waited / sum(seconds)


@dataclass
class Round:
    alone: float  # Examples a second of two independent runs side by side.
    together: float  # And of two workers.
    waited: float  # Their share of waiting for data.
    alone_processor: float  # Seconds of processor time for a thousand examples.
    together_processor: float


def measure(workdir: Path, model: str, exchange: str, batch: int, num_epochs: int, number: int) -> Round:
    names = [f"alone-{model}-{number}-{side}" for side in "ab"]
    processes = [start(workdir, name, model, exchange, 1, batch, num_epochs) for name in names]
    if any([process.wait() for process in processes]):
        sys.exit("an independent run failed")
    together = f"together-{model}-{number}"
    if start(workdir, together, model, exchange, 2, batch, num_epochs).wait():
        sys.exit("the run of two workers failed")
    speed_together, waited = speed(workdir, together, batch)
    return Round(
        alone=sum(speed(workdir, name, batch)[0] for name in names),
        together=speed_together,
        waited=waited,
        alone_processor=1000
        * sum(processor_time(workdir, name) for name in names)
        / sum(examples_of(workdir, name, batch) for name in names),
        together_processor=1000 * processor_time(workdir, together) / examples_of(workdir, together, batch),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["sli_rec", "a2svd"])
    parser.add_argument("--global-batch-size", type=int, default=1600)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--exchange", choices=("horovod", "tensorflow"), default="horovod")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--users", type=int, default=6_000)
    parser.add_argument("--train", nargs=7, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        workdir, run, model, exchange, *numbers = arguments.train
        train(workdir, run, model, exchange, *map(int, numbers))
        return
    with tempfile.TemporaryDirectory(prefix="seqrec-scaling-") as folder:
        workdir = Path(folder)
        write_prepared(workdir, num_users=arguments.users, num_items=20_000, num_events=(5, 25))
        batch = arguments.global_batch_size
        print(
            f"load before: {os.getloadavg()[0]:.1f}; global batch {batch}, 8 streams, one thread a worker, "
            f"exchange by {arguments.exchange}\n"
        )
        print(
            "| model | round | two independent runs, examples/s | two workers | ratio | waiting for data "
            "| processor seconds per 1,000 examples, independent | two workers | ratio |"
        )
        print("|---|---|---|---|---|---|---|---|---|")
        for model in arguments.models:
            for number in range(arguments.rounds):
                found = measure(workdir, model, arguments.exchange, batch, arguments.epochs, number)
                print(
                    f"| {model} | {number + 1} | {found.alone:,.0f} | {found.together:,.0f} "
                    f"| {found.together / found.alone:.2f} | {found.waited:.1%} | {found.alone_processor:.3f} "
                    f"| {found.together_processor:.3f} | {found.alone_processor / found.together_processor:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
