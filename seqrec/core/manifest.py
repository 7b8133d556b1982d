"""Manifests: what a stage has made, from what, and which files hold it.

A stage writes its files under `<folder>/<name>/<id>/` and, last, one `_manifest.json` in `<folder>/<name>/`.
A dataset is what that manifest lists: no manifest, or another id, means not there. Nothing is renamed, so a
killed job leaves nothing that anyone reads, and object stores behave.
"""

import hashlib
import json
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from typing import Any

from seqrec.core.errors import DataError
from seqrec.core.storage import Storage
from seqrec.core.write_lock import mark_writer, refuse_other_writer

MANIFEST = "_manifest.json"
FORMAT_VERSION = 1  # Of the layout on disk; a change makes every older dataset count as not there.
_KEPT_ATTEMPTS = 2  # Published ids that stay, so that a reader of the last one is not cut off.
_RECORDED = ("seqrec", "pyspark", "petastorm", "tensorflow", "horovod", "pyarrow", "numpy", "pandas")


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    path: str  # Relative to the workdir.
    rows: int
    size: int  # Bytes.
    targets: int | None = None  # Training targets in the file; sequence tables only.


@dataclass(frozen=True, kw_only=True)
class Table:
    rows: int
    content: str  # Order-free digest of the rows, 16 hexadecimal digits.
    files: tuple[FileEntry, ...]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What decides a stage's result; a stage whose recipe is unchanged need not run again."""

    stage: str
    settings: Mapping[str, Any]  # Only those that change the result.
    inputs: Mapping[str, str]  # Name -> content digest.
    format_version: int = FORMAT_VERSION

    @property
    def digest(self) -> str:
        return digest_of(asdict(self))


@dataclass(frozen=True, kw_only=True)
class Manifest:
    stage: str
    name: str
    id: str
    format_version: int
    recipe: str
    settings: dict[str, Any]
    inputs: dict[str, str]
    content: str  # Digest of all tables, or of the files where a stage makes no table.
    tables: dict[str, Table]
    counts: dict[str, Any]
    details: dict[str, Any] = field(default_factory=dict)  # Anything else a later stage needs.
    versions: dict[str, str] = field(default_factory=dict)  # Recorded, not part of the recipe.
    created: str = ""
    seconds: float = 0.0

    @classmethod
    def from_json(cls, text: str, where: str) -> "Manifest":
        try:
            values = json.loads(text)
            tables = {
                name: Table(
                    rows=table["rows"],
                    content=table["content"],
                    files=tuple(FileEntry(**entry) for entry in table["files"]),
                )
                for name, table in values.pop("tables").items()
            }
            return cls(tables=tables, **values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{where}: not a readable manifest ({error}). Delete it and run the stage again.") from None

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, default=str) + "\n"

    def table(self, name: str) -> Table:
        if name not in self.tables:
            raise DataError(f"{self.stage} '{self.name}' has no table '{name}', only {', '.join(self.tables)}.")
        return self.tables[name]


class Dataset:
    """One named result of a stage: `<workdir>/<folder>/<name>`."""

    def __init__(self, storage: Storage, folder: str, name: str):
        self.storage = storage
        self.folder = folder
        self.name = name
        self.path = f"{folder}/{name}"

    def manifest(self) -> Manifest | None:
        """The published manifest; None when the stage has not finished here, or wrote an older format."""
        manifest = self._stored()
        return manifest if manifest is not None and manifest.format_version == FORMAT_VERSION else None

    def require(self, made_by: str) -> Manifest:
        """The published manifest, or an error naming the job that makes it."""
        manifest = self.manifest()
        if manifest is None:
            raise DataError(f"{self.storage.uri(self.path)}: not there or not finished. Run the job '{made_by}' first.")
        return manifest

    def is_current(self, recipe: Recipe) -> bool:
        manifest = self.manifest()
        return manifest is not None and manifest.recipe == recipe.digest

    def begin(self, recipe: Recipe, *, resume: bool = False) -> "Attempt":
        """A place to write in. With `resume` the newest unfinished attempt at this recipe, if there is one;
        other unfinished attempts are deleted.

        Raises:
            DataError: another job on this machine is writing one of them.
        """
        self.storage.check_writable()
        prefix = recipe.digest[:12]
        known, unfinished = [*self._attempts(), *self._published_ids()], self.unfinished()
        own = [name for name in unfinished if name.startswith(prefix + "-")]
        chosen = own[-1] if resume and own else None
        for name in unfinished:
            refuse_other_writer(self.storage, f"{self.path}/{name}")
        for name in unfinished:
            if name != chosen:
                self.storage.delete(f"{self.path}/{name}")
        if chosen is None:
            used = [_number_of(name) for name in known if name.startswith(prefix + "-")]
            chosen = f"{prefix}-{max(used, default=0) + 1}"
        attempt = Attempt(self, recipe, chosen)
        mark_writer(self.storage, attempt.path, recipe.stage)
        return attempt

    def unfinished(self) -> list[str]:
        """Ids of the attempts that have files here but were never published, oldest attempt first."""
        published = self._stored()
        published_id = published.id if published else None
        history = self._published_ids()
        if history and history[-1] != published_id:
            history.pop()  # It ended before its manifest was written: unfinished, like any other.
        return [name for name in self._attempts() if name not in history and name != published_id]

    def _stored(self) -> Manifest | None:
        """The manifest of whichever format."""
        path = f"{self.path}/{MANIFEST}"
        if not self.storage.exists(path):
            return None
        return Manifest.from_json(self.storage.read_bytes(path).decode(), self.storage.uri(path))

    def _attempts(self) -> list[str]:
        """Ids that have files here, oldest attempt first."""
        names = [name for name in self.storage.list_folders(self.path) if _is_attempt(name)]
        return sorted(names, key=lambda name: (name.rpartition("-")[0], _number_of(name)))

    def _published_ids(self) -> list[str]:
        """Ids published so far, oldest first; remembered beside the manifest."""
        path = f"{self.path}/_published.json"
        return json.loads(self.storage.read_bytes(path)) if self.storage.exists(path) else []


class Attempt:
    """One run of a stage; readers see nothing of it until `publish`."""

    def __init__(self, dataset: Dataset, recipe: Recipe, attempt_id: str):
        self.dataset = dataset
        self.storage = dataset.storage
        self.recipe = recipe
        self.id = attempt_id
        self.path = f"{dataset.path}/{attempt_id}"  # Relative to the workdir.
        self._started = time.monotonic()

    def uri(self, path: str = "") -> str:
        return self.storage.uri(f"{self.path}/{path}")

    def publish(
        self,
        *,
        tables: Mapping[str, Table] | None = None,
        counts: Mapping[str, Any],
        details: Mapping[str, Any] | None = None,
        content: str | None = None,
    ) -> Manifest:
        """Makes this attempt the dataset, and deletes all but the last two published ids.

        Raises:
            DataError: a file is gone or has changed since it was counted, as when another job writes the same name.
        """
        tables = dict(tables or {})
        for table in tables.values():
            check_files(self.storage, table, "Something deletes or writes it: two jobs at once? Run the stage again.")
        manifest = Manifest(
            stage=self.recipe.stage,
            name=self.dataset.name,
            id=self.id,
            format_version=self.recipe.format_version,
            recipe=self.recipe.digest,
            settings=dict(self.recipe.settings),
            inputs=dict(self.recipe.inputs),
            content=content or digest_of({name: table.content for name, table in tables.items()}),
            tables=tables,
            counts=dict(counts),
            details=dict(details or {}),
            versions=installed_versions(),
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - self._started, 3),
        )
        history = [name for name in self.dataset._published_ids() if name != self.id] + [self.id]
        kept = history[-_KEPT_ATTEMPTS:]
        # The history goes first: a last id in it that the manifest does not name counts as unfinished.
        self.storage.write_bytes(f"{self.dataset.path}/_published.json", json.dumps(kept).encode())
        self.storage.write_bytes(f"{self.dataset.path}/{MANIFEST}", manifest.to_json().encode())
        for name in self.dataset._attempts():
            if name not in kept:
                self.storage.delete(f"{self.dataset.path}/{name}")
        return manifest

    def discard(self) -> None:
        self.storage.delete(self.path)


def check_files(
    storage: Storage, table: Table, remedy: str = "Run the stage that makes it again (--set force=true)."
) -> None:
    """Compares the listed files with what lies there; a missing or cut-off file is an error before any work.

    Raises:
        DataError: naming the first file that is missing or has another size, and the remedy.
    """
    folders = sorted({file.path.rpartition("/")[0] for file in table.files})
    stored = {file.path: file.size for folder in folders for file in storage.list_files(folder)}
    for file in table.files:
        if stored.get(file.path) != file.size:
            found = "is missing" if file.path not in stored else f"has {stored[file.path]} bytes, not {file.size}"
            raise DataError(f"{storage.uri(file.path)}: {found}. {remedy}")


def digest_of(value: Any) -> str:
    """32 hexadecimal digits of the sha256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def installed_versions() -> dict[str, str]:
    """Versions of the packages that shape a result, and of Python."""
    versions = {"python": platform.python_version()}
    for package in _RECORDED:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _is_attempt(name: str) -> bool:
    prefix, _, number = name.rpartition("-")
    return len(prefix) == 12 and number.isdigit()


def _number_of(name: str) -> int:
    return int(name.rpartition("-")[2])
