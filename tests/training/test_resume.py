"""Runs that are cut off and go on, in processes of their own."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqrec.core.errors import TrainingError
from seqrec.core.manifest import Dataset, Manifest
from seqrec.core.storage import Storage
from tests.training.small_runs import ask_to_stop, counting, differing, newest_checkpoint
from tests.training.workers.test_exchange import BLIND

ROOT = Path(__file__).parents[2]
Train = Callable[..., Manifest]

_SCRIPT = """
import sys
from seqrec.core.storage import Storage
from seqrec.training.stage import run_train
from tests.training.small_runs import SEED, small_model, small_training
training = small_training(num_epochs=4, checkpoint_every_steps=5)
run_train(Storage(sys.argv[1]), "toy", sys.argv[2], small_model(), training, SEED, False)
"""


def start(storage: Storage, run: str) -> subprocess.Popen:
    command = [sys.executable, "-c", _SCRIPT, storage.root, run]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for_step(storage: Storage, run: str, step: int, process: subprocess.Popen) -> None:
    folder = storage.local(f"runs/{run}")
    assert folder is not None
    while process.poll() is None:
        steps = [int(path.stem.removeprefix("step-")) for path in folder.glob("*/checkpoints/step-*.json")]
        if max(steps, default=0) >= step:
            return
        time.sleep(0.01)


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(20, id="before an epoch's end"),
        pytest.param(10, id="in mid-epoch", marks=pytest.mark.slow),
        pytest.param(24, id="after an epoch's end", marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_goes_on_to_the_same_bits(
    prepared: tuple[Storage, Manifest], finished: Manifest, step: int
) -> None:
    storage, run = prepared[0], f"killed-{step}"
    process = start(storage, run)
    wait_for_step(storage, run, step, process)
    time.sleep(random.uniform(0.0, 0.2))
    process.kill()
    process.wait()
    assert Dataset(storage, "runs", run).manifest() is None

    again = start(storage, run)
    output = again.communicate()[0]

    assert again.returncode == 0, output
    manifest = Dataset(storage, "runs", run).require("train")
    assert not differing(newest_checkpoint(storage, manifest), newest_checkpoint(storage, finished))
    assert manifest.content == finished.content


def test_sigterm_saves_and_ends(prepared: tuple[Storage, Manifest]) -> None:
    storage = prepared[0]
    process = start(storage, "asked")
    wait_for_step(storage, "asked", 5, process)

    process.send_signal(signal.SIGTERM)

    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert "Stopped after step" in output.splitlines()[-1]


@pytest.mark.slow
def test_two_fresh_processes_under_load_agree(prepared: tuple[Storage, Manifest]) -> None:
    storage = prepared[0]
    load = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    try:
        processes = [start(storage, f"fresh-{number}") for number in range(2)]
        outputs = [process.communicate()[0] for process in processes]
    finally:
        for process in load:
            process.kill()

    assert [process.returncode for process in processes] == [0, 0], outputs
    runs = [newest_checkpoint(storage, Dataset(storage, "runs", f"fresh-{n}").require("train")) for n in range(2)]
    assert not differing(*runs)


def _run_worker_until(job: Any, num_steps: int, happen: Callable[[Any], None]) -> Any:
    """A worker to which something happens once it has done `num_steps` steps."""
    from seqrec.training import loop
    from seqrec.training.worker import run_worker

    loop._end_step = counting(loop._end_step, num_steps, happen)
    return run_worker(job)


def _run_worker_and_stop(job: Any) -> Any:
    """A worker that is asked to stop after 37 steps, in mid-epoch."""
    return _run_worker_until(job, 36, ask_to_stop)


@pytest.mark.slow
@pytest.mark.parametrize("workers_after", [1, 4])
def test_two_workers_go_on_as_one_or_as_four(
    train: Train,
    prepared: tuple[Storage, Manifest],
    finished: Manifest,
    monkeypatch: pytest.MonkeyPatch,
    workers_after: int,
) -> None:
    from seqrec.training import stage

    with monkeypatch.context() as patched:
        patched.setattr(stage, "run_worker", _run_worker_and_stop)
        with pytest.raises(TrainingError, match="Stopped after step 13 of epoch 2"):
            train(num_epochs=4, num_workers=2, launcher="horovodrun")

    resumed = train(num_epochs=4, num_workers=workers_after, launcher="auto" if workers_after == 1 else "horovodrun")

    one, other = newest_checkpoint(prepared[0], finished), newest_checkpoint(prepared[0], resumed)
    for name in set(one) - BLIND:
        np.testing.assert_allclose(other[name], one[name], rtol=1e-3, atol=1e-5, err_msg=name)


def _run_worker_that_raises(job: Any) -> Any:
    """Worker 1 runs into a fault of ours after ten steps."""

    def fail(trainer: Any) -> None:
        if trainer.feed.stream_ids[0] == 1:
            {}["nothing of that name"]

    return _run_worker_until(job, 10, fail)


@pytest.mark.slow
def test_a_worker_that_raises_shows_its_traceback(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    from seqrec.training import stage

    monkeypatch.setattr(stage, "run_worker", _run_worker_that_raises)

    with pytest.raises(TrainingError) as raised:
        train(num_workers=2, launcher="horovodrun")

    text = str(raised.value)
    assert text.startswith("Worker 1 on ")
    assert "failed in training of epoch 1, step 10 of 24: 'nothing of that name'. Worker 0 only followed." in text
    assert '{}["nothing of that name"]' in text


def _run_worker_that_hangs(job: Any) -> Any:
    """Worker 1 sleeps for ever after ten steps."""

    def hang(trainer: Any) -> None:
        if trainer.feed.stream_ids[0] == 1:
            Storage(job.workdir).write_bytes("hangs", b"")
            time.sleep(10_000)

    return _run_worker_until(job, 10, hang)


@pytest.mark.slow
def test_a_worker_that_hangs_is_named_in_bounded_time(
    train: Train, prepared: tuple[Storage, Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    from seqrec.training import stage

    monkeypatch.setattr(stage, "run_worker", _run_worker_that_hangs)

    with pytest.raises(TrainingError, match=r"Worker 1 on .* has made no progress for 20 s.*Worker 0 only followed"):
        train(num_workers=2, launcher="horovodrun", hang_timeout=20)

    (hangs,) = [file for file in prepared[0].list_files("") if file.path == "hangs"]
    assert time.time() - hangs.modified < 90


def _run_worker_that_hangs_at_the_end(job: Any) -> Any:
    """Worker 0, which alone writes a log, sleeps for ever at that of the last epoch; the other is done by then."""
    from seqrec.training.reporting.tensorboard import ScalarLog
    from seqrec.training.worker import run_worker

    ScalarLog.publish = lambda _: time.sleep(10_000)  # type: ignore[method-assign]
    return run_worker(job)


@pytest.mark.slow
def test_a_worker_that_hangs_when_the_others_are_done_is_named(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    from seqrec.training import stage

    monkeypatch.setattr(stage, "run_worker", _run_worker_that_hangs_at_the_end)

    with pytest.raises(TrainingError, match=r"Worker 0 on .* has made no progress for 15 s.*heartbeat \d+ s ago\.$"):
        train(num_workers=2, num_epochs=1, launcher="horovodrun", hang_timeout=15)
