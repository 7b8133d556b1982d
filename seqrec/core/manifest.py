"""Manifests: each describes what a stage has made, from what, and which files hold it.

A stage writes its files under `<folder>/<name>/<id>/` and, last, one `_manifest.json` in `<folder>/<name>/`.
A dataset consists of the files that this manifest lists: without it, or under another id, there is no dataset. Nothing
is renamed, so a killed job leaves nothing that anyone reads, and object stores need no renaming.
"""

import contextlib
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
FORMAT_VERSION = 1  # Version of the layout on disk; datasets of another version count as missing.
_KEPT_ATTEMPTS = 2  # Published ids whose files are kept, so that whoever reads the last one can finish.
_RECORDED = ("seqrec", "pyspark", "petastorm", "tensorflow", "horovod", "pyarrow", "numpy", "pandas")


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """One file of a table."""

    path: str  # Path relative to the workdir.
    rows: int
    size: int  # Size in bytes.
    targets: int | None = None  # Number of training targets in the file; None for other tables than sequences.


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table of a dataset."""

    rows: int
    content: str  # Digest of the rows, whatever their order: 16 hexadecimal digits.
    files: tuple[FileEntry, ...]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a stage's result: a stage whose recipe is unchanged need not run again."""

    stage: str
    settings: Mapping[str, Any]  # The settings that change the result, and no others.
    inputs: Mapping[str, str]  # Name of an input -> digest of its content.
    format_version: int = FORMAT_VERSION

    @property
    def digest(self) -> str:
        return digest_of(asdict(self))


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The description of one published result of a stage."""

    stage: str
    name: str  # Name of the dataset, such as "demo".
    id: str  # The recipe's first 12 digits and the number of the attempt.
    format_version: int
    recipe: str  # Digest of the recipe.
    settings: dict[str, Any]
    inputs: dict[str, str]
    content: str  # Digest of all tables, or of the files where a stage makes no table.
    tables: dict[str, Table]
    counts: dict[str, Any]  # Counts for people and for checks, such as rows.
    details: dict[str, Any] = field(default_factory=dict)  # Anything else that a later stage needs.
    versions: dict[str, str] = field(default_factory=dict)  # Versions of the packages; not part of the recipe.
    created: str = ""  # UTC time of publication, ISO 8601.
    seconds: float = 0.0  # Time that the attempt took.

    @classmethod
    def from_json(cls, text: str, where: str) -> "Manifest":
        """Reads what `to_json` wrote; `where` names the file in an error.

        Raises:
            DataError: the text is not a manifest.
        """
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
        """
        Raises:
            DataError: there is no such table.
        """
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
        """The published manifest; None if the stage has not finished here, or wrote another format."""
        manifest = self._stored()
        return manifest if manifest is not None and manifest.format_version == FORMAT_VERSION else None

    def require(self, made_by: str) -> Manifest:
        """The published manifest.

        Raises:
            DataError: there is none; the message names `made_by`, the job that makes it.
        """
        manifest = self.manifest()
        if manifest is None:
            raise DataError(f"{self.storage.uri(self.path)}: not there or not finished. Run the job '{made_by}' first.")
        return manifest

    def manifest_of(self, recipe: Recipe) -> Manifest | None:
        """The published manifest, if it was made by this recipe; else None."""
        manifest = self.manifest()
        return manifest if manifest is not None and manifest.recipe == recipe.digest else None

    def begin(self, recipe: Recipe, *, resume: bool = False) -> "Attempt":
        """An attempt to write to: with `resume` the newest unfinished one at this recipe, if there is one, else a new
        one. Other unfinished attempts are deleted.

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
        """The manifest, whatever its format."""
        path = f"{self.path}/{MANIFEST}"
        if not self.storage.exists(path):
            return None
        return Manifest.from_json(self.storage.read_bytes(path).decode(), self.storage.uri(path))

    def _attempts(self) -> list[str]:
        """Ids of attempts that have files here, oldest first."""
        names = [name for name in self.storage.list_folders(self.path) if _is_attempt(name)]
        return sorted(names, key=lambda name: (name.rpartition("-")[0], _number_of(name)))

    def _published_ids(self) -> list[str]:
        """Ids that were published, oldest first; a file beside the manifest lists them."""
        path = f"{self.path}/_published.json"
        return json.loads(self.storage.read_bytes(path)) if self.storage.exists(path) else []


class Attempt:
    """One run of a stage; readers see nothing of it before `publish`."""

    def __init__(self, dataset: Dataset, recipe: Recipe, attempt_id: str):
        self.dataset = dataset
        self.storage = dataset.storage
        self.recipe = recipe
        self.id = attempt_id
        self.path = f"{dataset.path}/{attempt_id}"  # Path relative to the workdir.
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
        """Makes this attempt the dataset, and deletes the files of all but the last two published ids.

        Args:
            content: digest of the result; None: that of the tables.

        Raises:
            DataError: a file is gone or has changed since it was counted, as when another job writes the same dataset.
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
        # The list of ids is written first: a last id that the manifest does not name counts as unfinished.
        self.storage.write_bytes(f"{self.dataset.path}/_published.json", json.dumps(kept).encode())
        self.storage.write_bytes(f"{self.dataset.path}/{MANIFEST}", manifest.to_json().encode())
        for name in self.dataset._attempts():
            if name not in kept:
                self.storage.delete(f"{self.dataset.path}/{name}")
        return manifest

    def discard(self) -> None:
        """Deletes the attempt's files."""
        self.storage.delete(self.path)


def check_files(
    storage: Storage, table: Table, remedy: str = "Run the stage that makes it again (--set force=true)."
) -> None:
    """Compares the files of a table with the storage, so that a missing or cut-off file is found before any work.

    Raises:
        DataError: a file is missing or has another size; the message names the first one and the remedy.
    """
    folders = sorted({file.path.rpartition("/")[0] for file in table.files})
    stored = {file.path: file.size for folder in folders for file in storage.list_files(folder)}
    for file in table.files:
        if stored.get(file.path) != file.size:
            found = "is missing" if file.path not in stored else f"has {stored[file.path]} bytes, not {file.size}"
            raise DataError(f"{storage.uri(file.path)}: {found}. {remedy}")


def digest_of(value: Any) -> str:
    """The first 32 hexadecimal digits of the sha256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape a result: package -> version."""
    versions = {"python": platform.python_version()}
    for package in _RECORDED:
        for name in (package, f"{package}-cpu"):  # tensorflow-cpu is the same code without CUDA's.
            with contextlib.suppress(metadata.PackageNotFoundError):
                versions.setdefault(package, metadata.version(name))
    return versions


def _is_attempt(name: str) -> bool:
    prefix, _, number = name.rpartition("-")
    return len(prefix) == 12 and number.isdigit()


def _number_of(name: str) -> int:
    return int(name.rpartition("-")[2])
