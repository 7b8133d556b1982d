import os
import tempfile
import time
from pathlib import Path

import pytest

from seqrec.core.local_copies import local_copy
from seqrec.core.storage import Storage


class RemoteStorage(Storage):
    """A storage whose files must be copied before they can be mapped, as on an object store."""

    def local(self, path: str = "") -> Path | None:
        return None


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RemoteStorage:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    return RemoteStorage(str(tmp_path / "work"))


def test_local_copy_is_made_once(remote: RemoteStorage) -> None:
    remote.write_bytes("runs/a/weights.npz", b"weights")

    first = local_copy(remote, "runs/a/weights.npz")
    inode = first.stat().st_ino

    assert first.read_bytes() == b"weights"
    assert local_copy(remote, "runs/a/weights.npz").stat().st_ino == inode


def test_local_copy_is_not_that_of_an_earlier_file_at_the_same_address(remote: RemoteStorage) -> None:
    remote.write_bytes("runs/a/weights.npz", b"earlier")
    local_copy(remote, "runs/a/weights.npz")
    remote.delete("runs")
    remote.write_bytes("runs/a/weights.npz", b"present")

    assert local_copy(remote, "runs/a/weights.npz").read_bytes() == b"present"


def test_local_copies_that_nobody_asked_for_in_days_are_deleted(remote: RemoteStorage) -> None:
    for name in ("unused", "used", "new"):
        remote.write_bytes(name, b"content")
    two_days_ago = time.time() - 2 * 86_400
    copies = [local_copy(remote, name) for name in ("unused", "used")]
    for copy in copies:
        os.utime(copy, (two_days_ago, two_days_ago))

    local_copy(remote, "used")
    local_copy(remote, "new")

    assert [copy.exists() for copy in copies] == [False, True]
