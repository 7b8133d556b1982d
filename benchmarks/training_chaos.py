"""Breaks training in every way that we could think of, and reports how each case ended and after how long.

    python -m benchmarks.training_chaos [--launcher horovodrun|spark|processes] [CASE ...]

Every case must end in a result or in a clear error in bounded time. Where training was cut off, it is run again and
must then end in the variables of a run that nothing disturbed. Needs two cores and about five minutes; the case of the
full disk needs the right to mount a tmpfs.
"""

import argparse
import contextlib
import os
import re
import shutil
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

from benchmarks import training_faults as faults
from seqrec.core.errors import SeqrecError
from seqrec.core.storage import Storage
from seqrec.models.config import ModelConfig
from seqrec.training.config import TrainingConfig
from seqrec.training.job import TrainingJob
from tests.feed.prepared_data import write_prepared

ROOT = Path(__file__).parents[1]
SEED = 3
KILL_LIMIT, STOP_LIMIT = 30.0, 90.0  # Seconds from the blow to the end.


@dataclass
class Case:
    name: str
    limit: float  # Seconds from the blow to the end of the job.
    expected: str  # A pattern in the line that says why it ended; HOST stands for this machine.
    blow: Callable[[faults.Job], None] | None = None  # What happens while it runs.
    before: Callable[[Path], None] | None = None  # What is wrong before it starts.
    settings: dict[str, Any] = field(default_factory=dict)
    worker: Callable[[TrainingJob], Any] | None = None  # What workers run instead of `run_worker`.
    traceback: str = ""  # What must be on the screen too.
    goes_on: bool = True  # Whether running it again must end well.


# The worker that was the cause, by rank, host and process; what it did last and when; and who only followed.
CULPRIT = r"Worker 1 on HOST \(process \d+\) .*Last seen in ({}) of epoch \d+, step \d+ of 24, last heartbeat \d+ s ago"
CULPRIT += r"\. Worker 0 only followed\."
TRAINING = "training|validation|checkpoint"  # A worker keeps running while its status is read and the blow falls.
FIRST_CULPRIT = r"Worker 0 on HOST \(process \d+\) .* Worker 1 only followed\."
SLOW_VALIDATION = {"validation_batch_size": 1}
CASES = [
    Case("a file missing", 60, "is missing", before=faults.remove_a_file, goes_on=False),
    Case("a file truncated", 60, "bytes, the manifest lists", before=faults.cut_a_file, goes_on=False),
    Case("a row group broken", 60, ".parquet", before=faults.swap_row_group, goes_on=False),
    Case("fewer files than streams", 60, "does not divide the 8", settings={"num_streams": 16}, goes_on=False),
    Case(
        "a worker raises",
        KILL_LIMIT,
        "Worker 1 on HOST failed in training of epoch 1, step 10 of 24: .* Worker 0 only followed",
        faults.wait_for_the_fault,
        worker=faults.run_worker_that_raises,
        traceback='{}["a fault of the program"]',
    ),
    Case("a worker killed at start", KILL_LIMIT, "Worker 1", faults.kill_at_start),
    Case("a worker killed in mid-epoch", KILL_LIMIT, CULPRIT.format(TRAINING), faults.kill_in_mid_epoch),
    Case(
        "a worker killed in validation",
        KILL_LIMIT,
        CULPRIT.format("validation"),
        faults.kill_in_validation,
        settings=SLOW_VALIDATION,
    ),
    Case("worker 0 killed in a checkpoint", KILL_LIMIT, FIRST_CULPRIT, faults.kill_in_checkpoint),
    Case("a worker stopped (SIGSTOP)", STOP_LIMIT, CULPRIT.format(TRAINING), faults.stop_in_mid_epoch),
    Case("workers asked to stop (SIGTERM)", KILL_LIMIT, "Stopped after step", faults.ask_to_stop),
    Case("the job asked to stop (SIGTERM)", KILL_LIMIT, "Stopped after step", faults.ask_the_driver_to_stop),
    Case("the driver killed (SIGKILL)", KILL_LIMIT, "", faults.kill_the_driver),
    Case("everything killed (SIGKILL)", KILL_LIMIT, "", faults.kill_everything),
    Case("the disk full while saving", 90, "disk is full", before=faults.fill_the_disk),
]


def settings_of(case: Case, launcher: str) -> TrainingConfig:
    values: dict[str, Any] = {"num_epochs": 16, "global_batch_size": 80, "num_streams": 4, "files_per_group": 1}
    values |= {"num_workers": 2, "num_threads": 1, "patience": 0, "launcher": launcher, **case.settings}
    values["exchange"] = "tensorflow" if launcher == "processes" else "horovod"
    return TrainingConfig(**values)


MODEL = ModelConfig(max_history_length=8, layer_sizes=(1000, 500))


def train(workdir: str, name: str, launcher: str) -> None:
    """The job itself, run in a process of its own."""
    from seqrec.training import stage

    case = next(case for case in CASES if case.name == name)
    first_time = not (Path(workdir) / faults.RAISED).exists()
    if case.worker is not None and first_time:
        stage.run_worker = case.worker
    try:
        with _spark(launcher):
            stage.run_train(Storage(workdir), "toy", "run", MODEL, settings_of(case, launcher), SEED, False)
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


def start(case: Case, workdir: Path, launcher: str) -> faults.Job:
    scratch = scratch_of(case, workdir)
    scratch.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.training_chaos", "--launcher", launcher]
    command += ["--train", str(workdir), case.name]
    environment = {**os.environ, "TMPDIR": str(scratch), "PYTHONPATH": str(ROOT)}
    with (workdir / "screen").open("a") as screen:
        process = subprocess.Popen(command, stdout=screen, stderr=screen, env=environment, cwd=ROOT)
    return faults.Job(process, workdir, scratch)


def scratch_of(case: Case, workdir: Path) -> Path:
    """The temporary folder: on another disk than the one that is full."""
    return workdir.with_name(f"{workdir.name}-tmp") if case.before is faults.fill_the_disk else workdir / "tmp"


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
        left = _workers_left(job.scratch)
        screen = (workdir / "screen").read_text()
        said = next((line for line in screen.splitlines() if line.startswith("error:")), "(no error line)")
        wrong = []
        if code is None or seconds > case.limit:
            wrong.append(f"took longer than {case.limit:.0f} s")
        if code == 0:
            wrong.append("exit status 0")
        if not re.search(case.expected.replace("HOST", re.escape(socket.gethostname())), said):
            wrong.append(f"'{case.expected}' not said")
        if case.traceback not in screen:
            wrong.append(f"'{case.traceback}' is not on the screen")
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


def _workers_left(scratch: Path) -> list[str]:
    """Processes of the job that are there ten seconds after its end; they are ended."""
    end = time.monotonic() + 10
    while True:
        left = {}
        for process in psutil.process_iter(["cmdline", "environ"]):
            with contextlib.suppress(psutil.Error):
                environment = process.info["environ"] or {}
                if environment.get("TMPDIR") == str(scratch) and process.status() != psutil.STATUS_ZOMBIE:
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
    if case.before is faults.fill_the_disk:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", str(folder)], check=True)
        is_mounted = True
    try:
        yield folder
    finally:
        if is_mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)
        shutil.rmtree(scratch_of(case, folder), ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--launcher", default="horovodrun", choices=["horovodrun", "spark", "processes"])
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
