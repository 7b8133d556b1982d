import errno
import os
import threading
from pathlib import Path

import pytest

from seqrec.core.errors import StorageError
from seqrec.core.storage import Storage, explain, scratch_folder


def test_write_bytes_replaces_the_file_as_a_whole(tmp_path):
    storage = Storage(str(tmp_path))

    storage.write_bytes("a/b.json", b"old")
    storage.write_bytes("a/b.json", b"new")

    assert storage.read_bytes("a/b.json") == b"new"
    assert [file.path for file in storage.list_files("")] == ["a/b.json"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    storage = Storage(str(tmp_path))
    storage.write_bytes("b.json", b"old")

    def full_disk(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(StorageError, match="b.json: cannot write: the disk is full"):
        storage.write_bytes("b.json", b"new")

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"b.json": b"old"}


def test_list_files_gives_paths_that_can_be_read_again(tmp_path):
    storage = Storage(f"file://{tmp_path}")
    for path in ("t/x/part-1", "t/part-0"):
        storage.write_bytes(path, path.encode())

    listed = storage.list_files("t")

    assert [(file.path, file.size) for file in listed] == [("t/part-0", 8), ("t/x/part-1", 10)]
    assert [storage.read_bytes(file.path).decode() for file in listed] == [file.path for file in listed]


def test_list_files_of_a_missing_folder_is_empty(tmp_path):
    assert Storage(str(tmp_path)).list_files("nowhere") == []


def test_upload_and_download_copy_a_file(tmp_path):
    storage = Storage(str(tmp_path / "work"))
    (tmp_path / "in").write_bytes(b"weights")

    storage.upload(tmp_path / "in", "runs/weights")
    storage.download("runs/weights", tmp_path / "deep" / "out")

    assert (tmp_path / "deep" / "out").read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("root", "uri", "local"),
    [
        ("/data/work/", "file:///data/work/a", "/data/work/a"),
        ("file:///data/work", "file:///data/work/a", "/data/work/a"),
        ("/data/other/../work", "file:///data/work/a", "/data/work/a"),
        ("dbfs:/mnt/work", "dbfs:/mnt/work/a", "/dbfs/mnt/work/a"),
        ("dbfs:/Volumes/main/work", "dbfs:/Volumes/main/work/a", "/Volumes/main/work/a"),
        ("/Volumes/main/work", "file:///Volumes/main/work/a", "/Volumes/main/work/a"),  # A Mac has this folder too.
    ],
)
def test_uri_is_what_spark_reads_and_local_what_plain_programs_open(root, uri, local):
    storage = Storage(root)

    assert storage.uri("a") == uri
    assert storage.local("a") == Path(local)


@pytest.mark.parametrize(
    ("root", "uri", "local"),
    [
        ("/Volumes/main/default/work", "dbfs:/Volumes/main/default/work/a", "/Volumes/main/default/work/a"),
        ("file:///Volumes/main/work", "dbfs:/Volumes/main/work/a", "/Volumes/main/work/a"),
        ("/dbfs/mnt/work", "dbfs:/mnt/work/a", "/dbfs/mnt/work/a"),
        ("dbfs:/mnt/work", "dbfs:/mnt/work/a", "/dbfs/mnt/work/a"),
        ("dbfs:/Volumes/main/work", "dbfs:/Volumes/main/work/a", "/Volumes/main/work/a"),
        ("/local_disk0/work", "file:///local_disk0/work/a", "/local_disk0/work/a"),
    ],
)
def test_on_databricks_spark_knows_mounts_by_their_own_names(monkeypatch, root, uri, local):
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "15.4")
    storage = Storage(root)

    assert storage.uri("a") == uri
    assert storage.local("a") == Path(local)  # What Petastorm reads, as file://.
    assert Storage(storage.uri()).local("a") == Path(local)  # The path that a training worker gets.


def test_delete_forgives_that_something_else_deletes_the_same(tmp_path):
    """As the JVM of a killed job does with its own unfinished files."""
    storage = Storage(str(tmp_path))
    for number in range(3_000):
        storage.write_bytes(f"folder/{number % 10}/{number}", b"")
    files = sorted((tmp_path / "folder").rglob("*"), reverse=True)
    other = threading.Thread(target=lambda: [path.unlink(missing_ok=True) for path in files if path.is_file()])
    other.start()

    storage.delete("folder")

    other.join()
    assert not (tmp_path / "folder").exists()


def test_delete_removes_files_and_folders_and_forgives_their_absence(tmp_path):
    storage = Storage(str(tmp_path))
    storage.write_bytes("a/b", b"")
    storage.write_bytes("c", b"")

    for path in ("a", "c", "never"):
        storage.delete(path)

    assert storage.list_files("") == []


def test_a_storage_of_an_unknown_kind_is_one_clear_line():
    with pytest.raises(StorageError, match="^nosuch://bucket: cannot open this storage: [^\n]+$"):
        Storage("nosuch://bucket")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.ENOENT])
def test_explain_says_what_to_do(number):
    assert any(verb in explain(OSError(number, os.strerror(number))) for verb in ("free", "choose", "check"))


def test_a_folder_under_a_file_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageError, match="cannot write: "):
        Storage(str(tmp_path / "file")).write_bytes("a", b"")


def test_a_relative_root_is_the_same_folder_for_a_process_that_runs_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Storage("work").write_bytes("a", b"content")
    root = Storage("work").root
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    assert Storage(root).read_bytes("a") == b"content"


def test_look_up_tells_size_and_time_of_a_file(tmp_path):
    storage = Storage(str(tmp_path))
    storage.write_bytes("a/b", b"12345")
    os.utime(tmp_path / "a/b", (7.5, 7.5))

    assert (storage.look_up("a/b").size, storage.look_up("a/b").modified) == (5, 7.5)
    for path in ("a", "nothing"):
        with pytest.raises(StorageError, match=f"{path}: no such file"):
            storage.look_up(path)


def test_a_scratch_folder_is_made_where_it_is_wanted_and_deleted_afterwards(tmp_path):
    with scratch_folder(str(tmp_path / "not" / "there")) as folder:
        (folder / "half-made").write_text("x")

        assert folder.parent == tmp_path / "not" / "there"

    assert not folder.exists()
