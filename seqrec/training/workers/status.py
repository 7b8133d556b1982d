"""What each worker is doing, in one small file per worker that the driver reads; and the driver's word to them.

A worker's file is its heartbeat: rank, host, epoch, step, what it is doing, and in the end how it ended. The driver
shows progress from worker 0's, and when workers end badly tells from all of them which one was the cause.
"""

import json
import os
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from seqrec.core.errors import SeqrecError, first_line
from seqrec.core.storage import Storage

BEAT_SECONDS = 1.0
STOP, ABORT = "stop", "abort"  # What the driver may ask of the workers.
RUNNING, DONE, STOPPED, FAILED, FOLLOWED = "running", "done", "stopped", "failed", "followed"


@dataclass
class WorkerStatus:
    rank: int
    host: str
    pid: int
    phase: str = "starting"  # What the worker is doing: reading, training, validation, checkpoint.
    epoch: int = 0
    step: int = 0  # Of the epoch.
    steps: int = 0  # In the epoch.
    progress: dict[str, float] = field(default_factory=dict)  # Figures of the progress bar.
    lines: list[str] = field(default_factory=list)  # One for each finished epoch, for the screen.
    in_step: bool = False  # Inside an update, where a worker waits for the others.
    num_ticks: int = 0  # Grows with every sign of progress.
    beats: int = 0
    state: str = RUNNING
    was_signalled: bool = False  # By a SIGTERM to this worker itself.
    error_class: str = ""
    error: str = ""  # One line.
    traceback: str = ""


class StatusWriter:
    """Writes a worker's status every second in a thread, and listens to the driver.

    Failing to write is not the worker's failure: on a full disk the reason is told on its own screen.
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
        """Asks for a stop after the step at hand, for a signal that this worker alone has had."""
        self.status.was_signalled = True
        self.stop_requested.set()

    def tick(self) -> None:
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
                # The driver has given the job up; the main thread may hang in native code, so no clean way out.
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
    """The status of every worker by rank; None for one that has not written any."""
    statuses: list[WorkerStatus | None] = []
    for rank in range(num_workers):
        try:
            statuses.append(WorkerStatus(**json.loads(control.read_bytes(f"worker-{rank}.json"))))
        except (SeqrecError, ValueError, TypeError):
            statuses.append(None)
    return statuses


def say(control: Storage, word: str) -> None:
    """Asks all workers to stop or to abort."""
    control.write_bytes("word", word.encode())


def read_word(control: Storage) -> str:
    try:
        return control.read_bytes("word").decode() if control.exists("word") else ""
    except SeqrecError:
        return ""


class Observer:
    """Follows the workers' statuses and notes, by its own clock, when each was last seen alive and advancing."""

    def __init__(self, num_workers: int):
        now = time.monotonic()
        self.statuses: list[WorkerStatus | None] = [None] * num_workers
        self.beat_at = [now] * num_workers
        self.tick_at = [now] * num_workers
        self._failed_at: float | None = None

    def see(self, statuses: Sequence[WorkerStatus | None]) -> None:
        now = time.monotonic()
        for rank, (old, new) in enumerate(zip(self.statuses, statuses, strict=True)):
            if new is None:
                continue
            if old is None or new.beats != old.beats:
                self.beat_at[rank] = now
            if old is None or (new.num_ticks, new.phase) != (old.num_ticks, old.phase):
                self.tick_at[rank] = now
            self.statuses[rank] = new
            if new.state in (FAILED, FOLLOWED):
                self.note_failure()

    def note_failure(self) -> None:
        """A worker has ended badly, by its own word or by that of the launcher."""
        if self._failed_at is None:
            self._failed_at = time.monotonic()

    def seconds_since_failure(self) -> float:
        """Since a worker was first known to have ended badly; 0 if none has."""
        return 0.0 if self._failed_at is None else time.monotonic() - self._failed_at

    def is_hung(self, timeout: float) -> bool:
        """Whether a worker has fallen silent, or none has advanced, for `timeout` seconds (longer in slow phases).

        Workers that wait for another do not advance either, so it takes all that still run.
        """
        running = [status for status in self.statuses if status is not None and status.state == RUNNING]
        if None in self.statuses or not running:
            return False  # Not all have started, or all have ended: that the launcher sees.
        now = time.monotonic()
        slow = any(status.phase in _SLOW_PHASES for status in running)
        silence, standstill = (_SILENT_PATIENCE, _PATIENCE) if slow else (1, 1)
        beat_at, tick_at = ([at[status.rank] for status in running] for at in (self.beat_at, self.tick_at))
        return now - min(beat_at) > timeout * silence or now - max(tick_at) > timeout * standstill

    def explain(self, what_happened: str) -> str:
        """Which worker was the cause, in a few lines; a traceback follows where there is one."""
        failed = [s for s in self.statuses if s is not None and s.state == FAILED]
        if failed and not self._has_long_gone():
            first = failed[0]
            where = f"Worker {first.rank} on {first.host} failed in {_place(first)}: {first.error}"
            if first.error_class in _ONE_LINE_ERRORS:
                return where
            where = f"{where.rstrip('.')}.{self._followers([first.rank])}"
            return f"{where}\n\nTraceback of worker {first.rank}:\n{first.traceback}"
        silent = [s for s in self.statuses if s is not None and s.state == RUNNING]
        if not silent:
            missing = [str(rank) for rank, status in enumerate(self.statuses) if status is None]
            if missing:
                return f"Workers that never started: {', '.join(missing)}."
            followed = [s for s in self.statuses if s is not None and s.state == FOLLOWED]
            # All of them blame another: what they disagree about is in their own words.
            return f"All workers ended at an exchange.\n\n{followed[0].traceback}" if followed else what_happened
        # One that went silent, else one that does not wait for the others, else the one that is furthest behind.
        last_beat = max(self.beat_at)
        cause = min(
            silent,
            key=lambda s: (self.beat_at[s.rank] > last_beat - _SILENCE, s.in_step, s.epoch, s.step, s.num_ticks),
        )
        ago = time.monotonic() - self.beat_at[cause.rank]
        return (
            f"Worker {cause.rank} on {cause.host} (process {cause.pid}) {what_happened} Last seen in {_place(cause)}, "
            f"last heartbeat {ago:.0f} s ago.{self._followers([cause.rank])}"
        )

    def _has_long_gone(self) -> bool:
        """Whether a worker fell silent long before another's last word, whose error can only be its consequence."""
        last_beat = max(self.beat_at)
        running = [s.rank for s in self.statuses if s is not None and s.state == RUNNING]
        return any(self.beat_at[rank] < last_beat - _LONG_SILENCE for rank in running)

    def _followers(self, causes: Sequence[int]) -> str:
        done = [status.rank for status in self.statuses if status is not None and status.state in (DONE, STOPPED)]
        others = [str(rank) for rank in range(len(self.statuses)) if rank not in (*causes, *done)]
        if not others:
            return ""
        return f" Worker{'s' if len(others) > 1 else ''} {', '.join(others)} only followed."


_SLOW_PHASES = {"starting", "first step", "checkpoint"}  # Where no sign of progress can be given for long.
_PATIENCE = 10
_SILENCE = 5.0  # Seconds behind the other workers' heartbeats that tell a worker which has gone from one that waits.
_LONG_SILENCE = 15.0  # Likewise, where that other one says that it failed.
_SILENT_PATIENCE = 3  # Tracing a model holds Python's lock, so that even heartbeats come late on a busy machine.
# Not "horovod": a path with that name is in every traceback of a worker that horovodrun has started.
_OF_AN_EXCHANGE = ("Horovod", "horovod_all", "horovod_broadcast", "gloo/transport", "Connection closed by peer")
_ONE_LINE_ERRORS = {"DataError", "ConfigError", "StorageError", "TrainingError"}


def _place(status: WorkerStatus) -> str:
    step = f", step {status.step} of {status.steps}" if status.steps else ""
    return f"{status.phase} of epoch {status.epoch + 1}{step}"


def is_followed(error: BaseException) -> bool:
    """Whether an error only tells that another worker has gone."""
    names = {kind.__name__ for kind in type(error).__mro__}
    text = str(error)
    # Inside a traced step it comes out as an error of the graph, in Horovod's or in Gloo's words.
    return "HorovodInternalError" in names or any(words in text for words in _OF_AN_EXCHANGE)
