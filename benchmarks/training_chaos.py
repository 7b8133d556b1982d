"""Breaks training in every way that we could think of, and reports how each case ended and after how long.

    python -m benchmarks.training_chaos [--launcher horovodrun|spark] [CASE ...]

Every case must end in a result or in a clear error in bounded time. Where training was cut off, it is run again and
must then end in the variables of a run that nothing disturbed. Needs two cores and about five minutes; the case of the
full disk needs the right to mount a tmpfs.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from seqrec.core.errors import SeqrecError
from seqrec.core.storage import Storage
from seqrec.models.config import ModelConfig
from seqrec.training.config import TrainingConfig
from tests.feed.prepared_data import write_prepared

ROOT = Path(__file__).parents[1]
SEED = 3
KILL_LIMIT, STOP_LIMIT = 30.0, 90.0  # Seconds from the blow to the end.


@dataclass
class Case:
    name: str
    limit: float  # Seconds from the blow to the end of the job.
    expected: str  # Part of what the screen must say.
    blow: Callable[["Job"], None] | None = None  # What happens while it runs.
    before: Callable[[Path], None] | None = None  # What is wrong before it starts.
    settings: dict[str, Any] = field(default_factory=dict)
    goes_on: bool = True  # Whether running it again must end well.


@dataclass
class Job:
    """A running job, seen from outside."""

    process: subprocess.Popen
    workdir: Path
    scratch: Path

    def worker(self, rank: int) -> psutil.Process:
        """The process of a worker, once it is there."""
        while True:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    is_worker = any("run_task" in part or "gloo_exec_fn" in part for part in child.cmdline()[:4])
                    if is_worker and child.environ().get("HOROVOD_RANK") == str(rank):
                        return child
            time.sleep(0.05)

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


def kill_at_start(job: Job) -> None:
    _kill(job, 1)


def kill_in_mid_epoch(job: Job) -> None:
    job.wait_for(lambda: job.status(1).get("epoch") == 1 and job.status(1).get("step", 0) > 3)
    _kill(job, 1)


def kill_in_validation(job: Job) -> None:
    job.wait_for(lambda: job.status(1).get("phase") == "validation")
    _kill(job, 1)


def kill_in_checkpoint(job: Job) -> None:
    job.wait_for(lambda: list(job.workdir.glob("runs/*/*/checkpoints/step-00000024.json")))
    job.wait_for(lambda: list(job.scratch.glob("seqrec-*/variables.npz")))
    _kill(job, 0)


def stop_in_mid_epoch(job: Job) -> None:
    job.wait_for(lambda: job.status(1).get("epoch") == 1 and job.status(1).get("step", 0) > 3)
    job.worker(1).send_signal(signal.SIGSTOP)


def ask_to_stop(job: Job) -> None:
    job.wait_for(lambda: job.status(0).get("epoch") == 1)
    for rank in (0, 1):
        job.worker(rank).send_signal(signal.SIGTERM)


def kill_everything(job: Job) -> None:
    job.wait_for(lambda: job.status(1).get("epoch") == 1 and job.status(1).get("step", 0) > 3)
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


SLOW_VALIDATION = {"validation_batch_size": 1}
CASES = [
    Case("a file missing", 60, "is missing", before=remove_a_file, goes_on=False),
    Case("a file truncated", 60, "bytes, the manifest lists", before=cut_a_file, goes_on=False),
    Case("a row group broken", 60, ".parquet", before=swap_row_group, goes_on=False),
    Case("fewer files than streams", 60, "does not divide the 8", settings={"num_streams": 16}, goes_on=False),
    Case("a worker killed at start", KILL_LIMIT, "Worker 1", kill_at_start),
    Case("a worker killed in mid-epoch", KILL_LIMIT, "Worker 1 on {host} (process", kill_in_mid_epoch),
    Case(
        "a worker killed in validation",
        KILL_LIMIT,
        "Worker 1 on {host} (process",
        kill_in_validation,
        settings=SLOW_VALIDATION,
    ),
    Case("worker 0 killed in a checkpoint", KILL_LIMIT, "Worker 0 on {host} (process", kill_in_checkpoint),
    Case("a worker stopped (SIGSTOP)", STOP_LIMIT, "Worker 1 on {host} (process", stop_in_mid_epoch),
    Case("workers asked to stop (SIGTERM)", KILL_LIMIT, "Stopped after step", ask_to_stop),
    Case("everything killed (SIGKILL)", KILL_LIMIT, "", kill_everything),
    Case("the disk full while saving", 90, "disk is full", before=fill_the_disk),
]


def settings_of(case: Case, launcher: str) -> TrainingConfig:
    values: dict[str, Any] = {"num_epochs": 4, "global_batch_size": 80, "num_streams": 4, "files_per_group": 1}
    values |= {"num_workers": 2, "num_threads": 1, "patience": 0, "launcher": launcher, **case.settings}
    return TrainingConfig(**values)


MODEL = ModelConfig(max_history_length=8, layer_sizes=(1000, 500))


def train(workdir: str, name: str, launcher: str) -> None:
    """The job itself, run in a process of its own."""
    from seqrec.training.stage import run_train

    case = next(case for case in CASES if case.name == name)
    try:
        with _spark(launcher):
            run_train(Storage(workdir), "toy", "run", MODEL, settings_of(case, launcher), SEED, False)
    except SeqrecError as error:
        sys.exit(f"error: {error}")


@contextlib.contextmanager
def _spark(launcher: str) -> Iterator[None]:
    if launcher != "spark":
        yield
        return
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", False)
    for key in ("spark.driver.host", "spark.driver.bindAddress"):
        builder = builder.config(key, "127.0.0.1")
    session = builder.config("spark.task.maxFailures", 1).getOrCreate()
    yield
    session.stop()


def start(case: Case, workdir: Path, launcher: str) -> Job:
    scratch = workdir / "tmp"
    scratch.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.training_chaos", "--launcher", launcher]
    command += ["--train", str(workdir), case.name]
    environment = {**os.environ, "TMPDIR": str(scratch), "PYTHONPATH": str(ROOT)}
    with (workdir / "screen").open("a") as screen:
        process = subprocess.Popen(command, stdout=screen, stderr=screen, env=environment, cwd=ROOT)
    return Job(process, workdir, scratch)


def run_case(case: Case, launcher: str, expected: dict[str, np.ndarray]) -> tuple[str, float, str]:
    """How a case ended: verdict, seconds from the blow (or the start) to the end, and what the screen said."""
    with workdir_of(case) as workdir:
        write_prepared(workdir)
        if case.before is not None:
            case.before(workdir)
        job = start(case, workdir, launcher)
        blown = time.monotonic()
        if case.blow is not None:
            case.blow(job)
            blown = time.monotonic()
        try:
            code = job.process.wait(case.limit + 120)
        except subprocess.TimeoutExpired:
            code = None
        seconds = time.monotonic() - blown
        left = _workers_left(workdir)
        screen = (workdir / "screen").read_text()
        said = next((line for line in screen.splitlines() if line.startswith("error:")), "(no error line)")
        wrong = []
        if code is None or seconds > case.limit:
            wrong.append(f"took longer than {case.limit:.0f} s")
        if code == 0:
            wrong.append("exit status 0")
        expected_words = case.expected.format(host=socket.gethostname())
        if expected_words not in said:
            wrong.append(f"'{expected_words}' not said")
        if left:
            wrong.append(f"left behind: {', '.join(left)}")
        if case.goes_on:
            wrong += _go_on(case, workdir, launcher, expected)
        return "; ".join(wrong) or "as it should", seconds, said


def _go_on(case: Case, workdir: Path, launcher: str, expected: dict[str, np.ndarray]) -> list[str]:
    """Runs the job again, with the fault gone, and compares its variables with those of an undisturbed run."""
    (workdir / "filler").unlink(missing_ok=True)
    if start(case, workdir, launcher).process.wait() != 0:
        return [f"does not go on: {(workdir / 'screen').read_text().splitlines()[-1:]}"]
    return differences(variables_of(workdir), expected)


def variables_of(workdir: Path) -> dict[str, np.ndarray]:
    newest = max(workdir.glob("runs/run/*/checkpoints/step-*.npz"))
    with np.load(newest) as stored:
        return {name: stored[name] for name in stored.files}


def differences(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> list[str]:
    # The softmax cannot see the last bias: its gradient is rounding noise.
    names = [name for name in expected if "output_bias" not in name]
    far = [n for n in names if not np.allclose(found[n], expected[n], rtol=1e-3, atol=1e-5)]
    return [f"{len(far)} variables differ from an undisturbed run's, such as {far[0]}"] if far else []


def _workers_left(workdir: Path) -> list[str]:
    """Processes of the job that are there ten seconds after its end; they are ended."""
    end = time.monotonic() + 10
    while True:
        left = {}
        for process in psutil.process_iter(["cmdline", "environ"]):
            with contextlib.suppress(psutil.Error):
                environment = process.info["environ"] or {}
                if environment.get("TMPDIR") == str(workdir / "tmp") and process.status() != psutil.STATUS_ZOMBIE:
                    left[process] = " ".join(process.info["cmdline"] or [])[:60]
        if not left or time.monotonic() > end:
            break
        time.sleep(0.5)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    return list(left.values())


@contextlib.contextmanager
def workdir_of(case: Case) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="seqrec-chaos-"))
    is_mounted = False
    if case.before is fill_the_disk:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", str(folder)], check=True)
        is_mounted = True
    try:
        yield folder
    finally:
        if is_mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--launcher", default="horovodrun", choices=["horovodrun", "spark"])
    parser.add_argument("--train", metavar="WORKDIR", help="run the job of one case itself")
    parser.add_argument("cases", nargs="*", help="only cases whose names contain one of these")
    arguments = parser.parse_args()
    if arguments.train:
        train(arguments.train, arguments.cases[0], arguments.launcher)
        return
    undisturbed = Case("undisturbed", 300, "")
    with workdir_of(undisturbed) as workdir:
        write_prepared(workdir)
        if start(CASES[0], workdir, arguments.launcher).process.wait() != 0:
            sys.exit(f"The undisturbed run failed:\n{(workdir / 'screen').read_text()}")
        expected = variables_of(workdir)
    print("| case | ended after | verdict | the screen said |\n|---|---|---|---|", flush=True)
    for case in CASES:
        if not arguments.cases or any(part in case.name for part in arguments.cases):
            verdict, seconds, said = run_case(case, arguments.launcher, expected)
            print(f"| {case.name} | {seconds:.1f} s | {verdict} | {said} |", flush=True)


if __name__ == "__main__":
    main()
