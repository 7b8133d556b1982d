"""What is written on a mount that forbids appending and writing out of order. Needs FUSE; see `strict_mount`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from seqrec.core.manifest import Dataset, Recipe
from seqrec.core.storage import Storage
from tests.core.strict_mount import strict_mount


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with strict_mount(tmp_path_factory.mktemp("strict")) as mounted:
        yield mounted


def test_the_mount_refuses_what_it_should(mount: Path) -> None:
    (mount / "whole").write_bytes(b"x" * 1_000_000)

    with pytest.raises(OSError, match="not supported"):
        (mount / "whole").open("ab").close()
    with (mount / "moved").open("wb", buffering=0) as stream:
        stream.write(b"12")
        stream.seek(0)
        with pytest.raises(OSError, match="not supported"):
            stream.write(b"3")
    assert (mount / "whole").stat().st_size == 1_000_000


def test_storage_writes_whole_files_in_order(mount: Path, tmp_path: Path) -> None:
    storage = Storage(str(mount / "work"))
    (tmp_path / "in").write_bytes(b"y" * 3_000_000)

    storage.check_writable()
    storage.write_bytes("a/x", b"old")
    storage.write_bytes("a/x", b"new")
    storage.upload(tmp_path / "in", "a/large")

    assert storage.read_bytes("a/x") == b"new"
    assert storage.read_bytes("a/large") == (tmp_path / "in").read_bytes()
    assert [file.path for file in storage.list_files("")] == ["a/large", "a/x"]
    storage.delete("a")
    assert storage.list_files("") == []


def test_a_dataset_is_published(mount: Path) -> None:
    dataset = Dataset(Storage(str(mount / "datasets")), "prepared", "toy")
    recipe = Recipe(stage="prepare", settings={}, inputs={})

    dataset.begin(recipe).publish(counts={})

    assert dataset.manifest_of(recipe) is not None
