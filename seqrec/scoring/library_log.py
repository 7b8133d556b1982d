"""Where what libraries say goes: a log beside the screen, so that the last line on the screen is ours.

TensorFlow, absl and Horovod's launcher write to standard error past Python's logging, dozens of lines for one fault.
"""

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import TextIO

LOG_VARIABLE = "SEQREC_LOG"  # The file; unset: libraries write to the screen.


def name_log(job: str) -> None:
    """Names a log for this process and all that it starts, unless the environment names one already."""
    folder = os.path.join(tempfile.gettempdir(), f"seqrec-logs-{os.getuid()}")
    with contextlib.suppress(OSError):  # Without a place to write, libraries write to the screen.
        os.makedirs(folder, mode=0o700, exist_ok=True)
        path = os.path.join(folder, f"{job}-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.log")
        os.environ.setdefault(LOG_VARIABLE, path)


@contextlib.contextmanager
def opened_log() -> Iterator[TextIO | None]:
    """Yields the log, open for appending; None if there is none, as on another machine than the one that named it."""
    path = os.environ.get(LOG_VARIABLE)
    log = None
    if path and os.path.isdir(os.path.dirname(path)):
        with contextlib.suppress(OSError):
            log = open(path, "a", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
    try:
        yield log
    finally:
        if log is not None:
            log.close()


@contextlib.contextmanager
def native_errors_in_log() -> Iterator[None]:
    """Context in which what native code of this process writes to standard error goes to the log."""
    with opened_log() as log:
        if log is None:
            yield
            return
        sys.stderr.flush()
        screen = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(screen, 2)
            os.close(screen)


def end_of_screen() -> None:
    """Sends all that this process still writes to standard error to the log: what was printed last stays last."""
    with opened_log() as log:
        if log is not None:
            sys.stderr.flush()
            os.dup2(log.fileno(), 2)


def log_with_content() -> str | None:
    """The path of the log, if libraries have written to it."""
    path = os.environ.get(LOG_VARIABLE)
    return path if path and os.path.exists(path) and os.path.getsize(path) else None
