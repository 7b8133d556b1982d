"""What can happen to a training job from outside: processes killed or stopped, files damaged, a full disk.

`Job` sees a running job as an operator would: its processes and the status files of its workers.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from seqrec.core.storage import Storage
from seqrec.training.job import TrainingJob
from tests.training.small_runs import counting

RAISED = "raised"  # A file whose time says when a worker ran into its fault.


_SIGNS_OF_A_WORKER = ("run_task", "gloo_exec_fn", "seqrec.training.workers.processes")


def _rank_in(tf_config: str | None) -> str | None:
    return str(json.loads(tf_config)["task"]["index"]) if tf_config else None


@dataclass
class Job:
    """A running job, seen from outside."""

    process: subprocess.Popen
    workdir: Path
    scratch: Path

    def worker(self, rank: int) -> psutil.Process:
        """The process of a worker, once it is there."""
        while self.process.poll() is None:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    is_worker = any(sign in part for part in child.cmdline()[:4] for sign in _SIGNS_OF_A_WORKER)
                    environment = child.environ()
                    given = environment.get("HOROVOD_RANK") or _rank_in(environment.get("TF_CONFIG"))
                    if is_worker and given == str(rank):
                        return child
            time.sleep(0.05)
        raise SystemExit("The job ended before its worker could be found: train for longer.")

    def status(self, rank: int) -> dict[str, Any]:
        for path in self.scratch.glob(f"seqrec-control-*/worker-{rank}.json"):
            with contextlib.suppress(ValueError, OSError):
                return json.loads(path.read_text())
        return {}

    def wait_for(self, seen: Callable[[], Any]) -> None:
        while not seen() and self.process.poll() is None:
            time.sleep(0.002)


def _kill(job: Job, rank: int) -> None:
    job.worker(rank).send_signal(signal.SIGKILL)


def _wait_for_mid_epoch(job: Job) -> None:
    """Until worker 1 is in its second epoch or a later one: statuses come once a second, and may skip one."""
    job.wait_for(lambda: job.status(1).get("epoch", 0) >= 1 and job.status(1).get("step", 0) > 3)


def wait_for_the_fault(job: Job) -> None:
    """Until a worker has run into its own fault, see `run_worker_that_raises`."""
    job.wait_for(lambda: (job.workdir / RAISED).exists())


def kill_at_start(job: Job) -> None:
    _kill(job, 1)


def kill_in_mid_epoch(job: Job) -> None:
    _wait_for_mid_epoch(job)
    _kill(job, 1)


def kill_in_validation(job: Job) -> None:
    job.wait_for(lambda: job.status(1).get("phase") == "validation")
    _kill(job, 1)


def kill_in_checkpoint(job: Job) -> None:
    job.wait_for(lambda: list(job.workdir.glob("runs/*/*/checkpoints/step-00000024.json")))
    job.wait_for(lambda: list(job.scratch.glob("seqrec-*/variables.npz")))
    _kill(job, 0)


def stop_in_mid_epoch(job: Job) -> None:
    _wait_for_mid_epoch(job)
    job.worker(1).send_signal(signal.SIGSTOP)


def ask_to_stop(job: Job) -> None:
    job.wait_for(lambda: job.status(0).get("epoch", 0) >= 1)
    for rank in (0, 1):
        job.worker(rank).send_signal(signal.SIGTERM)


def ask_the_driver_to_stop(job: Job) -> None:
    job.wait_for(lambda: job.status(0).get("epoch", 0) >= 1)
    job.process.send_signal(signal.SIGTERM)


def kill_the_driver(job: Job) -> None:
    _wait_for_mid_epoch(job)
    job.process.kill()


def kill_everything(job: Job) -> None:
    _wait_for_mid_epoch(job)
    processes = [psutil.Process(job.process.pid), *psutil.Process(job.process.pid).children(recursive=True)]
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()


def remove_a_file(workdir: Path) -> None:
    sorted(workdir.glob("prepared/toy/*/sequences/train/*.parquet"))[5].unlink()


def cut_a_file(workdir: Path) -> None:
    path = sorted(workdir.glob("prepared/toy/*/sequences/train/*.parquet"))[5]
    os.truncate(path, path.stat().st_size // 2)


def swap_row_group(workdir: Path) -> None:
    """A file of the same size and rows whose pages are broken."""
    path = sorted(workdir.glob("prepared/toy/*/sequences/train/*.parquet"))[5]
    content = bytearray(path.read_bytes())
    content[4:400] = os.urandom(396)
    path.write_bytes(bytes(content))


def fill_the_disk(workdir: Path) -> None:
    free = shutil.disk_usage(workdir).free
    (workdir / "filler").write_bytes(b"x" * (free - 300_000))


def run_worker_that_raises(job: TrainingJob) -> Any:
    """Runs in a worker: the second one runs into a fault of the program after ten steps."""
    from seqrec.training import loop
    from seqrec.training.worker import run_worker

    def fail(trainer: Any) -> None:
        if trainer.feed.stream_ids[0] == 1:
            Storage(job.workdir).write_bytes(RAISED, b"")
            {}["a fault of the program"]

    loop._end_step = counting(loop._end_step, 10, fail)
    return run_worker(job)
