"""Small files through which workers and driver talk: one status per worker, and one word from the driver to all.

A worker's file is its heartbeat: rank, host, epoch, step, what it is doing and, at the end, how it ended. The driver
shows progress from worker 0's file. When workers end badly it finds the cause in all of them (`StatusBoard`).
"""

import json
import os
import threading
import traceback
from dataclasses import asdict, dataclass, field

from seqrec.core.errors import SeqrecError, first_line
from seqrec.core.storage import Storage

BEAT_SECONDS = 1.0
STOP, ABORT = "stop", "abort"  # What the driver may ask of the workers.
RUNNING, DONE, STOPPED, FAILED, FOLLOWED = "running", "done", "stopped", "failed", "followed"
# The word "horovod" alone would not do: it is in the paths of every traceback of a worker that horovodrun has started.
_SIGNS_OF_AN_EXCHANGE = (
    *("Horovod", "horovod_all", "horovod_broadcast", "gloo/transport", "Connection closed by peer"),
    "Collective ops is aborted",
)


@dataclass
class WorkerStatus:
    """What one worker is doing, or how it ended."""

    rank: int
    host: str
    pid: int
    phase: str = "starting"  # What the worker is doing: reading, training, validation, checkpoint.
    epoch: int = 0  # The epoch it is in; 0 is the first.
    step: int = 0  # Steps done in this epoch.
    steps: int = 0  # Steps that this epoch has.
    progress: dict[str, float] = field(default_factory=dict)  # Figures beside the progress bar, by name.
    lines: list[str] = field(default_factory=list)  # Lines for the screen, such as one for each finished epoch.
    in_step: bool = False  # True inside an update, where a worker waits for the others.
    num_ticks: int = 0  # Grows with every sign of progress.
    beats: int = 0  # Grows with every write of the file.
    state: str = RUNNING
    was_signalled: bool = False  # True once this worker itself has received SIGTERM.
    error_class: str = ""  # Class name of the error that ended the worker.
    error: str = ""  # The error's first line.
    traceback: str = ""


class StatusWriter:
    """Writes a worker's status every second from a thread, and reads the driver's word.

    A failure to write does not fail the worker: on a full disk the worker's own screen shows the reason.
    """

    def __init__(self, control: Storage, status: WorkerStatus):
        self.status = status
        self.stop_requested = threading.Event()
        self._control = control
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def stop_at_signal(self) -> None:
        """Asks for a stop after the current step, because of a signal that only this worker has received."""
        self.status.was_signalled = True
        self.stop_requested.set()

    def tick(self) -> None:
        """Notes a sign of progress."""
        self.status.num_ticks += 1

    def end(self, state: str, error: BaseException | None = None) -> None:
        """Writes how the worker ended; nothing is written after it."""
        self._ended.set()
        self._thread.join()
        self.status.state = state
        if error is not None:
            self.status.error_class = type(error).__name__
            self.status.error = first_line(error)
            self.status.traceback = "".join(traceback.format_exception(error))
        self._write()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            self._write()
            word = read_word(self._control)
            if word == STOP:
                self.stop_requested.set()
            elif word == ABORT:
                # The driver has given up on the job. The main thread may hang in native code: only this ends it.
                os._exit(1)

    def _write(self) -> None:
        with self._lock:
            self.status.beats += 1
            content = json.dumps(asdict(self.status)).encode()
            try:
                self._control.write_bytes(f"worker-{self.status.rank}.json", content)
            except SeqrecError:
                return


def read_statuses(control: Storage, num_workers: int) -> list[WorkerStatus | None]:
    """The status of every worker by rank; None for a worker that has not written one."""
    statuses: list[WorkerStatus | None] = []
    for rank in range(num_workers):
        try:
            statuses.append(WorkerStatus(**json.loads(control.read_bytes(f"worker-{rank}.json"))))
        except (SeqrecError, ValueError, TypeError):
            statuses.append(None)
    return statuses


def write_word(control: Storage, word: str) -> None:
    """Asks all workers to stop or to abort; "" takes the word back."""
    control.write_bytes("word", word.encode())


def read_word(control: Storage) -> str:
    """The driver's word; "" if there is none, or it cannot be read."""
    try:
        return control.read_bytes("word").decode() if control.exists("word") else ""
    except SeqrecError:
        return ""


def is_followed(error: BaseException) -> bool:
    """Whether an error only shows that another worker has gone."""
    names = {kind.__name__ for kind in type(error).__mro__}
    text = str(error)
    # Inside a traced step it comes out as an error of the graph, in Horovod's or in Gloo's words.
    return "HorovodInternalError" in names or any(sign in text for sign in _SIGNS_OF_AN_EXCHANGE)
