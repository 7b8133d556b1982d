"""The statuses of all workers as the driver sees them: who is alive, who hangs, and who was the cause of an end."""

import time
from collections.abc import Sequence

from seqrec.training.reporting.status import DONE, FAILED, FOLLOWED, RUNNING, STOPPED, WorkerStatus

_SLOW_PHASES = {"starting", "first step", "checkpoint"}  # Phases that can go without a sign of progress for long.
_PATIENCE = 10  # Factor of the timeout for a standstill of all workers in a slow phase.
_SILENT_PATIENCE = 3  # Likewise for heartbeats: tracing holds Python's lock, so they come late on a busy machine.
_SILENCE = 5.0  # Seconds behind the others' heartbeats that tell a worker that has gone from one that waits for it.
_LONG_SILENCE = 15.0  # Likewise, where one of the others reports a failure of its own.
_ONE_LINE_ERRORS = {"DataError", "ConfigError", "StorageError", "TrainingError"}


class StatusBoard:
    """Keeps the workers' newest statuses and, by its own clock, when each was last seen alive and advancing."""

    def __init__(self, num_workers: int):
        now = time.monotonic()
        self.statuses: list[WorkerStatus | None] = [None] * num_workers
        self.beat_at = [now] * num_workers  # Time of each worker's last heartbeat.
        self.tick_at = [now] * num_workers  # Time of each worker's last sign of progress.
        self._failed_at: float | None = None

    def see(self, statuses: Sequence[WorkerStatus | None]) -> None:
        """Takes in the statuses as they are now, by rank; None for a worker that has written none."""
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
        """Notes that a worker has ended badly, by its own status or by its exit code."""
        if self._failed_at is None:
            self._failed_at = time.monotonic()

    def seconds_since_failure(self) -> float:
        """Seconds since a worker was first known to have ended badly; 0 if none has."""
        return 0.0 if self._failed_at is None else time.monotonic() - self._failed_at

    def in_state(self, *states: str) -> list[WorkerStatus]:
        """Statuses of the workers that are in one of these states, by rank."""
        return [status for status in self.statuses if status is not None and status.state in states]

    def missing(self) -> list[int]:
        """Ranks of the workers that have written no status."""
        return [rank for rank, status in enumerate(self.statuses) if status is None]

    def is_hung(self, timeout: float) -> bool:
        """Whether a worker has been silent, or none has advanced, for `timeout` seconds (longer in slow phases).

        Workers that wait for another one do not advance either, so it takes all that still run.
        """
        running = self.in_state(RUNNING)
        if self.missing() or not running:
            return False  # Not all have started, or all have ended: the launcher notices both.
        now = time.monotonic()
        slow = any(status.phase in _SLOW_PHASES for status in running)
        silence, standstill = (_SILENT_PATIENCE, _PATIENCE) if slow else (1, 1)
        beat_at, tick_at = ([at[status.rank] for status in running] for at in (self.beat_at, self.tick_at))
        return now - min(beat_at) > timeout * silence or now - max(tick_at) > timeout * standstill

    def explain(self, what_happened: str) -> str:
        """A few lines that name the worker that was the cause; a traceback follows where there is one.

        Args:
            what_happened: the rest of a sentence that begins with a worker that wrote no error, such as "was killed.".
        """
        failed = self.in_state(FAILED)
        if failed and not self._has_long_gone():
            return self._failure_of(failed[0])
        silent = self.in_state(RUNNING)
        if not silent:
            if self.missing():
                return f"Workers that never started: {', '.join(map(str, self.missing()))}."
            followed = self.in_state(FOLLOWED)
            # All of them blame another: only their own errors show what they disagree about.
            return f"All workers ended at an exchange.\n\n{followed[0].traceback}" if followed else what_happened
        # The one that went silent, else the one that does not wait for the others, else the one furthest behind.
        last_beat = max(self.beat_at)
        cause = min(
            silent,
            key=lambda s: (self.beat_at[s.rank] > last_beat - _SILENCE, s.in_step, s.epoch, s.step, s.num_ticks),
        )
        ago = time.monotonic() - self.beat_at[cause.rank]
        return (
            f"Worker {cause.rank} on {cause.host} (process {cause.pid}) {what_happened} Last seen in {_place(cause)}, "
            f"last heartbeat {ago:.0f} s ago.{self._followers(cause.rank)}"
        )

    def _failure_of(self, status: WorkerStatus) -> str:
        text = f"Worker {status.rank} on {status.host} failed in {_place(status)}: {status.error}"
        if status.error_class in _ONE_LINE_ERRORS:
            return text
        return (
            f"{text.rstrip('.')}.{self._followers(status.rank)}\n\n"
            f"Traceback of worker {status.rank}:\n{status.traceback}"
        )

    def _has_long_gone(self) -> bool:
        """Whether a worker fell silent long before another one's last status, whose error can only be a consequence."""
        last_beat = max(self.beat_at)
        return any(self.beat_at[status.rank] < last_beat - _LONG_SILENCE for status in self.in_state(RUNNING))

    def _followers(self, cause: int) -> str:
        done = [status.rank for status in self.in_state(DONE, STOPPED)]
        others = [str(rank) for rank in range(len(self.statuses)) if rank != cause and rank not in done]
        if not others:
            return ""
        return f" Worker{'s' if len(others) > 1 else ''} {', '.join(others)} only followed."


def _place(status: WorkerStatus) -> str:
    step = f", step {status.step} of {status.steps}" if status.steps else ""
    return f"{status.phase} of epoch {status.epoch + 1}{step}"
