"""Starts workers as processes of this machine, for exchanges that bring no launcher of their own.

`python -m seqrec.training.workers.processes MODULE:FUNCTION JOB.json RESULT.json` is one worker. `TF_CONFIG` gives its
rank and the addresses of all.
"""

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seqrec.core.config import load_section, plain
from seqrec.scoring.library_log import opened_log
from seqrec.scoring.tensorflow_process import QUIET
from seqrec.training.job import TrainingJob, TrainingState
from seqrec.training.workers.launchers import Callbacks, signals_of_a_driver

_LOOK_SECONDS = 0.1
_ROOT = Path(__file__).parents[3]


def launch_processes(
    worker: Callable[[TrainingJob], TrainingState], job: TrainingJob, num_workers: int, callbacks: Callbacks
) -> TrainingState:
    """Runs `worker(job)`, a function of a module, in processes of this machine; returns worker 0's result.

    Raises:
        RuntimeError: a process ended with an exit code other than 0, or was ended because another one had.
    """
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(num_workers)]
    with tempfile.TemporaryDirectory(prefix="seqrec-workers-") as name, _handled_signals(callbacks):
        folder = Path(name)
        (folder / "job.json").write_text(json.dumps(plain(job)))
        with opened_log() as log:
            processes = [
                subprocess.Popen(
                    [
                        *(sys.executable, "-m", __name__, _name_of(worker)),
                        *(str(folder / "job.json"), str(folder / f"result-{rank}.json")),
                    ],
                    env=_environment(addresses, rank),
                    stderr=log or None,
                    start_new_session=True,  # A Ctrl-C reaches the driver alone, which asks them to stop.
                )
                for rank in range(num_workers)
            ]
        try:
            codes = _wait(processes, callbacks)
        finally:
            for process in processes:
                process.kill()
                process.wait()
        if any(codes):
            rank = next(rank for rank, code in enumerate(codes) if code)
            raise RuntimeError(f"Process name: {rank}\nExit code: {codes[rank]}")
        return TrainingState(**json.loads((folder / "result-0.json").read_text()))


def _name_of(worker: Callable[..., Any]) -> str:
    """The name by which another process imports a function, also of the module that this process runs as a script."""
    module = worker.__module__
    spec = getattr(sys.modules[module], "__spec__", None)
    return f"{spec.name if spec is not None else module}:{worker.__qualname__}"


def _wait(processes: list[subprocess.Popen], callbacks: Callbacks) -> list[int]:
    """The exit codes of all, once all have ended, or those that are left were ended because the caller said so."""
    noted = False
    while any(process.poll() is None for process in processes) and not callbacks.end_now.is_set():
        if not noted and any(process.poll() for process in processes):
            callbacks.note_failure()
            noted = True
        time.sleep(_LOOK_SECONDS)
    return [-int(signal.SIGKILL) if process.poll() is None else process.returncode for process in processes]


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _environment(addresses: list[str], rank: int) -> dict[str, str]:
    cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}}
    path = [str(_ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    own = {"TF_CONFIG": json.dumps(cluster), "PYTHONPATH": os.pathsep.join(dict.fromkeys(path))}
    return {**QUIET, **os.environ, **own}


@contextmanager
def _handled_signals(callbacks: Callbacks) -> Iterator[None]:
    """Context in which a first signal to the driver asks for a stop, and a second one ends the workers."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Only the main thread may set handlers.
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signals_of_a_driver(callbacks)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_with_parent() -> None:
    """Ends this process when the one that started it has ended: nobody would read the outcome."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def main(worker: str, job: str, result: str) -> None:
    end_with_parent()
    module, _, function = worker.partition(":")
    run: Callable[[TrainingJob], Any] = getattr(importlib.import_module(module), function)
    state = run(load_section(TrainingJob, json.loads(Path(job).read_text()), job))
    Path(result).write_text(json.dumps(plain(state)))


if __name__ == "__main__":
    main(*sys.argv[1:])
