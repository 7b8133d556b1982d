"""Marks which process writes an attempt, so that a second job on the same machine is refused.

Otherwise it would delete the files of the first. Nothing is known about a writer on another machine: its files may be
deleted, and then `Attempt.publish` finds that they are gone.
"""

import json
import os
import socket

import psutil

from seqrec.core.errors import DataError
from seqrec.core.storage import Storage

_MARK = "_begun"
_CLOCK_SECONDS = 2.0  # Two readings of the start of one process may differ by this much.


def mark_writer(storage: Storage, attempt: str, stage: str) -> None:
    """Writes into the folder `attempt` that this process writes it; makes the folder."""
    started = psutil.Process().create_time()
    mark = {"stage": stage, "host": socket.gethostname(), "process": os.getpid(), "started": started}
    storage.write_bytes(f"{attempt}/{_MARK}", json.dumps(mark).encode())


def refuse_other_writer(storage: Storage, attempt: str) -> None:
    """
    Raises:
        DataError: another process of this machine is writing the folder `attempt`.
    """
    path = f"{attempt}/{_MARK}"
    if not storage.exists(path):
        return
    mark = json.loads(storage.read_bytes(path))
    if mark["host"] == socket.gethostname() and mark["process"] != os.getpid() and _runs(mark):
        raise DataError(
            f"{storage.uri(attempt)}: the job '{mark['stage']}' is writing it, as process {mark['process']}. "
            "Wait for it, or stop it first."
        )


def _runs(mark: dict[str, float]) -> bool:
    """Whether the marked process still runs, and its number has not been given to another."""
    try:
        process = psutil.Process(int(mark["process"]))
        is_same = abs(process.create_time() - mark["started"]) < _CLOCK_SECONDS
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
