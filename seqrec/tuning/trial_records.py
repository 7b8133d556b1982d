"""The trials of a study on disk: one small file per trial, written whole.

Object stores and many mounts allow neither a journal that grows nor a database with locks. A file per trial that is put
in place whole works on all of them. Only the study's process writes these files, and a study is rebuilt from them.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from seqrec.core.errors import DataError
from seqrec.core.storage import Storage

RUNNING, DONE, PRUNED, FAILED = "running", "done", "pruned", "failed"


@dataclass
class TrialRecord:
    """One trial, as far as it was trained."""

    number: int
    state: str  # One of RUNNING, DONE, PRUNED and FAILED.
    drawn: dict[str, Any]  # Entry of the space -> number or label of a choice, for the sampler.
    distributions: dict[str, str]  # Entry of the space -> Optuna's JSON of the distribution.
    settings: dict[str, Any]  # Key of the config -> value, as the trial was trained.
    rows: list[dict[str, Any]] = field(default_factory=list)  # Loss and metrics of each judged epoch.
    best_values: list[float] = field(default_factory=list)  # Best validation metric up to each of these epochs.
    best_epoch: int | None = None  # Number of the best epoch; 1 is the first.
    rungs: dict[str, Any] = field(default_factory=dict)  # The pruner's notes.
    seconds: float = 0.0  # Time of all its parts, if it was cut off and resumed.
    started: str = ""  # UTC time, ISO 8601.
    host: str = ""
    error: str | None = None  # One line about the failure.
    traceback: str | None = None

    @property
    def value(self) -> float | None:
        """The best validation metric so far."""
        return self.best_values[-1] if self.best_values else None

    @property
    def is_over(self) -> bool:
        return self.state != RUNNING

    def judge(self, row: dict[str, Any], metric: str) -> None:
        """Adds the next epoch."""
        self.rows.append(row)
        if self.value is None or row[metric] > self.value:
            self.best_epoch = row["epoch"]
        self.best_values.append(row[metric] if self.value is None else max(self.value, row[metric]))

    def to_bytes(self) -> bytes:
        return (json.dumps(asdict(self), indent=1) + "\n").encode()


class TrialFiles:
    """The trial files in one folder of a storage."""

    def __init__(self, storage: Storage, path: str):
        self.storage = storage
        self.path = f"{path}/trials"

    def folder(self, number: int) -> str:
        return f"{self.path}/{number:04d}"

    def write(self, record: TrialRecord) -> None:
        self.storage.write_bytes(f"{self.folder(record.number)}/trial.json", record.to_bytes())

    def read_all(self) -> list[TrialRecord]:
        """All trials in the order of their numbers. A folder without its file is a trial that had not begun.

        Raises:
            DataError: a file is not readable, or one is missing between others.
        """
        records = []
        for name in self.storage.list_folders(self.path):
            path = f"{self.path}/{name}/trial.json"
            if not self.storage.exists(path):
                continue
            try:
                records.append(TrialRecord(**json.loads(self.storage.read_bytes(path))))
            except (ValueError, TypeError) as error:
                raise DataError(
                    f"{self.storage.uri(path)}: not a readable trial ({error}). Start the study over with --set "
                    "tuning.resume=never."
                ) from None
        if [record.number for record in records] != list(range(len(records))):
            raise DataError(
                f"{self.storage.uri(self.path)}: a trial is missing among {len(records)}. Start the study over with "
                "--set tuning.resume=never."
            )
        return records

    def copy_finished(self, other: "TrialFiles") -> None:
        """Copies those trials of another study that are not here yet, for a longer study that continues it."""
        here = {record.number for record in self.read_all()}
        for record in other.read_all():
            if record.number not in here:
                self.write(record)


def best_of(records: Sequence[TrialRecord]) -> TrialRecord | None:
    """The finished trial with the best validation metric; the earliest of equal ones."""
    finished = [record for record in records if record.state == DONE and record.value is not None]
    return min(finished, key=lambda record: (-(record.value or 0.0), record.number), default=None)
