"""Who writes an attempt, so that a second job on the same machine is refused instead of deleting its files.

Of a writer on another machine nothing is known: there `Attempt.publish` notices what is gone.
"""

import json
import os
import socket

import psutil

from seqrec.core.errors import DataError
from seqrec.core.storage import Storage

_MARK = "_begun"
_CLOCK_SECONDS = 2.0  # By which two readings of one process' start may differ.


def mark_writer(storage: Storage, attempt: str, stage: str) -> None:
    """Puts this process' name into the folder `attempt`, which is there from now on."""
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
    """Whether that very process is there, and not another that got its number."""
    try:
        process = psutil.Process(int(mark["process"]))
        is_same = abs(process.create_time() - mark["started"]) < _CLOCK_SECONDS
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
