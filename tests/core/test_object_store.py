"""`Storage` on an S3-compatible server. Every stage on one: tests/pipeline/test_object_store.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from seqrec.core.errors import StorageError
from seqrec.core.manifest import Dataset, Recipe
from seqrec.core.storage import Storage
from seqrec.ingestion.files.raw_files import find_raw_files
from tests.core.object_store import BUCKET, environment_of, object_store


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with object_store() as url:
        yield url


@pytest.fixture
def storage(address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Storage:
    for name, value in environment_of(address).items():
        monkeypatch.setenv(name, value)
    return Storage(f"s3a://{BUCKET}/{tmp_path.name}")


def test_files_are_written_listed_read_and_deleted(storage: Storage, tmp_path: Path) -> None:
    storage.check_writable()
    storage.write_bytes("a/x.json", b"old")
    storage.write_bytes("a/x.json", b"new")
    storage.write_bytes("a/b/y", b"")
    (tmp_path / "in").write_bytes(b"12345")
    storage.upload(tmp_path / "in", "a/b/z")
    storage.download("a/b/z", tmp_path / "deep" / "out")

    assert storage.local("a") is None
    assert storage.uri("a/x.json").startswith(f"s3a://{BUCKET}/")
    assert storage.read_bytes("a/x.json") == b"new"
    assert (tmp_path / "deep" / "out").read_bytes() == b"12345"
    assert [(file.path, file.size) for file in storage.list_files("a")] == [("a/b/y", 0), ("a/b/z", 5), ("a/x.json", 3)]
    assert storage.list_folders("a") == ["b"]
    assert storage.list_files("nowhere") == storage.list_folders("nowhere") == []

    storage.delete("a/b")
    storage.delete("a/b")
    storage.delete("a/x.json")
    assert not storage.exists("a/b/y")
    assert storage.list_files("a") == []


def test_what_is_not_there_is_an_error_of_one_line(storage: Storage) -> None:
    with pytest.raises(StorageError, match="nowhere.json: cannot read") as error:
        storage.read_bytes("nowhere.json")

    assert "\n" not in str(error.value)
    assert "hunter2" not in str(error.value)


def test_attempts_are_begun_published_and_cleared_away(storage: Storage) -> None:
    dataset = Dataset(storage, "prepared", "toy")
    recipes = [Recipe(stage="prepare", settings={"seed": seed}, inputs={}) for seed in range(4)]

    assert dataset.manifest() is None
    for recipe in recipes:
        killed = dataset.begin(recipe)
        storage.write_bytes(f"{killed.path}/part", b"half")
        attempt = dataset.begin(recipe)
        storage.write_bytes(f"{attempt.path}/part", b"whole")
        attempt.publish(counts={})

    assert dataset.manifest_of(recipes[3]) is not None
    assert len(storage.list_folders("prepared/toy")) == 2
    assert {storage.read_bytes(file.path) for file in storage.list_files("prepared/toy") if "part" in file.path} == {
        b"whole"
    }


@pytest.mark.parametrize("pattern", ["raw/a.json", "raw", "raw/*.json", "r*/?.json", "**/raw/**/*.json"])
def test_raw_files_are_found_by_name_folder_and_glob(storage: Storage, pattern: str) -> None:
    storage.write_bytes("raw/a.json", b"{}")

    [file] = find_raw_files([storage.uri(pattern)], "source.reviews")

    assert file.uri == storage.uri("raw/a.json")
    with file.open() as stream:
        assert stream.read() == b"{}"
