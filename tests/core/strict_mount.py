"""A mount that takes files only as object stores do: written once, from the first byte to the last.

    python -m tests.core.strict_mount SOURCE MOUNTPOINT

Appending, writing at any other place than the end, and cutting a file to a length are refused (EOPNOTSUPP), as on the
mounts of some cloud storages. Needs /dev/fuse, fusepy (PyPI) and libfuse 2 (Debian: libfuse2).
"""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@contextmanager
def strict_mount(folder: Path) -> Iterator[Path]:
    """Yields a mount whose files lie in `folder`/behind; skips the test where there is no FUSE."""
    try:
        import fuse  # noqa: F401
    except (ImportError, OSError) as error:
        pytest.skip(f"needs fusepy and libfuse 2: {error}")
    if not os.access("/dev/fuse", os.W_OK):
        pytest.skip("needs /dev/fuse")
    behind, mount = folder / "behind", folder / "mount"
    behind.mkdir()
    mount.mkdir()
    command = [sys.executable, "-m", "tests.core.strict_mount", str(behind), str(mount)]
    server = subprocess.Popen(command, cwd=ROOT)
    try:
        end = time.monotonic() + 60
        while not os.path.ismount(mount):
            assert server.poll() is None, "the file system did not start"
            assert time.monotonic() < end, "the file system did not start"
            time.sleep(0.1)
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=False)
        server.kill()
        server.wait()


def serve(source: str, mountpoint: str) -> None:
    from fuse import FUSE, FuseOSError, LoggingMixIn, Operations

    class Strict(LoggingMixIn, Operations):
        """Passes everything on to `source`, but for what is refused."""

        def __init__(self) -> None:
            self._ends: dict[int, int] = {}  # Handle -> where its next byte must go.

        def __call__(self, operation: str, path: str, *rest: object) -> object:
            try:
                return getattr(self, operation)(source + path, *rest)
            except OSError as error:
                raise FuseOSError(error.errno or errno.EIO) from None

        def access(self, path: str, mode: int) -> None:
            if not os.access(path, mode):
                raise OSError(errno.EACCES, path)

        def getattr(self, path: str, _: object = None) -> dict[str, float]:
            found = os.lstat(path)
            names = ("st_atime", "st_ctime", "st_gid", "st_mode", "st_mtime", "st_nlink", "st_size", "st_uid")
            return {name: getattr(found, name) for name in names}

        def readdir(self, path: str, _: int) -> list[str]:
            return [".", "..", *os.listdir(path)]

        def open(self, path: str, flags: int) -> int:
            if flags & os.O_APPEND or flags & os.O_RDWR:
                raise OSError(errno.EOPNOTSUPP, path)
            handle = os.open(path, flags)
            self._ends[handle] = 0
            return handle

        def create(self, path: str, mode: int, _: object = None) -> int:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
            self._ends[handle] = 0
            return handle

        def read(self, _: str, size: int, offset: int, handle: int) -> bytes:
            return os.pread(handle, size, offset)

        def write(self, path: str, data: bytes, offset: int, handle: int) -> int:
            if offset != self._ends[handle]:
                raise OSError(errno.EOPNOTSUPP, path)
            written = os.pwrite(handle, data, offset)
            self._ends[handle] += written
            return written

        def truncate(self, path: str, length: int, _: object = None) -> None:
            if length:
                raise OSError(errno.EOPNOTSUPP, path)
            os.truncate(path, 0)

        def release(self, _: str, handle: int) -> None:
            del self._ends[handle]
            os.close(handle)

        def flush(self, _: str, handle: int) -> None:
            os.fsync(handle)

        def fsync(self, _: str, __: int, handle: int) -> None:
            os.fsync(handle)

        def rename(self, old: str, new: str) -> None:
            os.rename(old, source + new)

        def mkdir(self, path: str, mode: int) -> None:
            os.mkdir(path, mode)

        def rmdir(self, path: str) -> None:
            os.rmdir(path)

        def unlink(self, path: str) -> None:
            os.unlink(path)

        def chmod(self, path: str, mode: int) -> None:
            os.chmod(path, mode)

        def chown(self, path: str, uid: int, gid: int) -> None:
            os.chown(path, uid, gid)

        def utimens(self, path: str, times: tuple[float, float] | None = None) -> None:
            os.utime(path, times)

        def statfs(self, path: str) -> dict[str, int]:
            found = os.statvfs(path)
            names = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_favail", "f_ffree", "f_files", "f_frsize")
            return {name: getattr(found, name) for name in names}

    FUSE(Strict(), mountpoint, foreground=True, nothreads=False, big_writes=True)


if __name__ == "__main__":
    serve(*sys.argv[1:])
