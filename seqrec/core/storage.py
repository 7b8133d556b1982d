"""Files under a `workdir`, wherever that is: a local disk, a mount, or any file system that pyarrow knows.

Code without a JVM uses it (training workers, manifests). Spark reads and writes its tables itself, at the address that
`Storage.uri` gives.
"""

import errno
import hashlib
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow.fs as pafs

from seqrec.core.errors import StorageError, reason_of

_ON_DATABRICKS = "DATABRICKS_RUNTIME_VERSION"  # Variable that is set on every node of Databricks.
_IN_USE = (errno.ENOENT, errno.ENOTEMPTY)  # What a delete meets while another process writes to the folder.
_DELETE_SECONDS = 10.0  # For so long a delete is tried again; the JVM of a killed job is gone after 1 or 2 s.


@dataclass(frozen=True)
class StoredFile:
    """One file of a storage."""

    path: str  # Path relative to the storage's root.
    size: int  # Size in bytes.
    modified: float  # Time of the last change, in seconds since 1970.


class Storage:
    """The files below one root; every path is relative to it, with forward slashes.

    Errors of the file system (no permission, no space, no such file) are raised as one-line `StorageError`s.
    """

    def __init__(self, root: str):
        self.root = root.rstrip("/") or "/"
        self._local_root = _local_root(self.root)
        if self._local_root is not None:
            if ":" not in self.root:  # An absolute path: Spark's executors, which get it, run in other folders.
                self.root = str(self._local_root)
            self._files, self._base = pafs.LocalFileSystem(), str(self._local_root)
        else:
            try:
                self._files, self._base = open_file_system(self.root)
            except Exception as error:  # pyarrow raises many kinds, all meaning: cannot be opened.
                raise StorageError(f"{root}: cannot open this storage: {reason_of(error)}.") from None

    def uri(self, path: str = "") -> str:
        """The address by which Spark finds `path`; Petastorm reads the path that `local` gives."""
        if self._local_root is not None:
            is_on_databricks = _ON_DATABRICKS in os.environ or self.root.startswith("dbfs:")
            root = _databricks_uri(self._local_root) if is_on_databricks else f"file://{self._local_root}"
            return f"{root}/{path}".rstrip("/")
        return f"{self.root.replace('s3://', 's3a://', 1)}/{path}".rstrip("/")

    def local(self, path: str = "") -> Path | None:
        """`path` on a local disk or mount; None if it must be copied before plain programs can read it."""
        return None if self._local_root is None else self._local_root / path

    def open_input(self, path: str) -> Any:
        """A seekable pyarrow file for reading."""
        return self._guard("read", path, lambda: self._files.open_input_file(self._full(path)))

    def read_bytes(self, path: str) -> bytes:
        with self.open_input(path) as file:
            return file.read()

    def write_bytes(self, path: str, content: bytes) -> None:
        """Writes the whole file or nothing: readers see either the old content or the new one."""
        if self._local_root is not None:
            self._guard("write", path, lambda: _replace_file(self._local_root / path, content))
            return

        def put() -> None:  # One upload; an object appears only once it is complete.
            with self._files.open_output_stream(self._full(path)) as stream:
                stream.write(content)

        self._guard("write", path, put)

    def upload(self, source: Path, path: str) -> None:
        """Copies a local file to `path`, whole or not at all."""
        target = self.local(path)
        if target is not None:
            self._guard("write", path, lambda: _replace_file(target, source))
        else:
            self._guard(
                "write",
                path,
                lambda: pafs.copy_files(str(source), self._full(path), pafs.LocalFileSystem(), self._files),
            )

    @contextmanager
    def new_file(self, path: str) -> Iterator[Path]:
        """A local place to write `path` at; the file appears whole after the block, or not at all if that raises."""
        target = self.local(path)
        if target is None:
            with scratch_folder() as folder:
                yield folder / "new"
                self.upload(folder / "new", path)
            return
        self._guard("write", path, lambda: target.parent.mkdir(parents=True, exist_ok=True))
        place = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            yield place
            self._guard("write", path, lambda: place.replace(target))
        except OSError as error:
            raise StorageError(f"{self.root}/{path}: cannot write: {explain(error)}") from error
        finally:
            place.unlink(missing_ok=True)

    def download(self, path: str, target: Path) -> None:
        """Copies one file to `target` on the local disk."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self._guard(
            "read", path, lambda: pafs.copy_files(self._full(path), str(target), self._files, pafs.LocalFileSystem())
        )

    def exists(self, path: str) -> bool:
        info = self._guard("look up", path, lambda: self._files.get_file_info(self._full(path)))
        return info.type != pafs.FileType.NotFound

    def look_up(self, path: str) -> StoredFile:
        """Size and time of one file.

        Raises:
            StorageError: there is no such file.
        """
        info = self._guard("look up", path, lambda: self._files.get_file_info(self._full(path)))
        if info.type != pafs.FileType.File:
            raise StorageError(f"{self.root}/{path}: no such file. Run the stage that makes it again.")
        return StoredFile(path, info.size, info.mtime_ns / 1e9)

    def list_files(self, path: str) -> list[StoredFile]:
        """All files below a folder, sorted by path; an empty list if there is no such folder."""
        selector = pafs.FileSelector(self._full(path), recursive=True, allow_not_found=True)
        infos = self._guard("list", path, lambda: self._files.get_file_info(selector))
        files = [info for info in infos if info.type == pafs.FileType.File]
        # Some systems return paths without the leading slash or with another scheme: keep what follows the root.
        base = self._base.strip("/")
        return sorted(
            (
                StoredFile(info.path.strip("/").removeprefix(base).strip("/"), info.size, info.mtime_ns / 1e9)
                for info in files
            ),
            key=lambda file: file.path,
        )

    def list_folders(self, path: str) -> list[str]:
        """Names of the folders directly below a folder, sorted."""
        selector = pafs.FileSelector(self._full(path), recursive=False, allow_not_found=True)
        infos = self._guard("list", path, lambda: self._files.get_file_info(selector))
        return sorted(info.base_name for info in infos if info.type == pafs.FileType.Directory)

    def delete(self, path: str) -> None:
        """Deletes a file or a folder; does nothing if it does not exist.

        While another process deletes or writes below the folder, as the JVM of a killed job does for a moment, the
        deletion is tried again for some seconds.
        """
        end = time.monotonic() + _DELETE_SECONDS
        while True:
            try:
                self._guard("delete", path, lambda: self._delete_once(self._full(path)))
                return
            except StorageError as error:
                is_in_use = isinstance(error.__cause__, OSError) and error.__cause__.errno in _IN_USE
                if not is_in_use or time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def _delete_once(self, full_path: str) -> None:
        kind = self._files.get_file_info(full_path).type
        if kind == pafs.FileType.Directory:
            self._files.delete_dir(full_path)
        elif kind == pafs.FileType.File:
            self._files.delete_file(full_path)

    def check_writable(self) -> None:
        """
        Raises:
            StorageError: nothing can be written here. It is better to know this before hours of work.
        """
        name = f".seqrec-{os.getpid()}"
        self.write_bytes(name, b"")
        self.delete(name)

    def _full(self, path: str) -> str:
        return f"{self._base}/{path}".rstrip("/") or "/"

    def _guard(self, verb: str, path: str, action: Any) -> Any:
        try:
            return action()
        except OSError as error:
            raise StorageError(f"{self.root}/{path}: cannot {verb}: {explain(error)}") from error


def open_file_system(address: str) -> tuple[pafs.FileSystem, str]:
    """The file system of a URI, and the path in it.

    The credentials for S3 come from the environment. So does the server if it is not Amazon's own: AWS_ENDPOINT_URL,
    such as http://127.0.0.1:9000.
    """
    address = address.replace("s3a://", "s3://", 1)
    if address.startswith("s3://") and (endpoint := s3_endpoint()) is not None:
        scheme, _, host = endpoint.rpartition("://")
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        files = pafs.S3FileSystem(endpoint_override=host.rstrip("/"), scheme=scheme or "https", region=region)
        return files, address.removeprefix("s3://")
    return pafs.FileSystem.from_uri(address)


def s3_endpoint() -> str | None:
    """The address of another S3 server than Amazon's, from the variables that Amazon's programs read; else None."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


@contextmanager
def scratch_folder(parent: str | None = None) -> Iterator[Path]:
    """A temporary folder of this machine, deleted on leaving.

    Args:
        parent: the folder to make it in, made itself if it does not exist; None: the system's folder for such files.
    """
    if parent:
        Path(parent).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="seqrec-", dir=parent) as folder:
        yield Path(folder)


def explain(error: OSError) -> str:
    """An error of the operating system in words, with a remedy."""
    advice = {
        errno.ENOSPC: "the disk is full: free some space or set another workdir.",
        errno.EDQUOT: "the disk quota is used up: free some space or set another workdir.",
        errno.EACCES: "permission denied: choose a workdir you may write to (--set workdir=...).",
        errno.EPERM: "permission denied: choose a workdir you may write to (--set workdir=...).",
        errno.EROFS: "the file system is read-only: choose a workdir you may write to (--set workdir=...).",
        errno.ENOENT: "no such file or folder: check the path.",
        errno.ENOTDIR: "a part of the path is a file, not a folder: check the path.",
    }
    return advice.get(error.errno or 0, f"{reason_of(error)}.")


def _local_root(root: str) -> Path | None:
    """The absolute path of a local root, without ".."; None if the root is not on a local disk or mount.

    Spark would report a path with ".." in another form than it was given.
    """
    if root.startswith("dbfs:/"):  # Databricks mounts it at /dbfs for plain programs, but volumes at /Volumes.
        path = root.removeprefix("dbfs:/").lstrip("/")
        return Path("/", path) if path.startswith("Volumes/") else Path("/dbfs", path)
    if root.startswith("file:"):
        return Path("/" + root.removeprefix("file:").lstrip("/")).resolve()
    return None if "://" in root else Path(root).expanduser().resolve()


def _databricks_uri(local: Path) -> str:
    """The address by which Spark knows a local path on Databricks: it calls the mounts /dbfs and /Volumes dbfs:/."""
    if local.is_relative_to("/Volumes"):
        return f"dbfs:{local}"
    return f"dbfs:/{local.relative_to('/dbfs')}" if local.is_relative_to("/dbfs") else f"file://{local}"


def _replace_file(target: Path, content: bytes | Path) -> None:
    """Writes another file and renames it: a reader never sees half a file, and a full disk leaves the old one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            if isinstance(content, Path):
                with content.open("rb") as source:
                    shutil.copyfileobj(source, stream, 1 << 20)
            else:
                stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def stream_digest(stream: BinaryIO) -> str:
    """The sha256 of all bytes of a stream, 64 hexadecimal digits; a block is in memory at a time."""
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
