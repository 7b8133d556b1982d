"""Downloads from a local server that behaves badly."""

import gzip
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from seqrec.core.errors import ConfigError, DataError, StorageError
from seqrec.core.storage import Storage
from seqrec.ingestion.config import DownloadConfig
from seqrec.ingestion.download.public_files import files_to_download
from seqrec.ingestion.stage import run_download
from tests.core.strict_mount import strict_mount
from tests.ingestion.file_server import CONTENT, Server


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def other() -> Iterator[Server]:
    """Another mirror, with the same files at another address."""
    server = Server()
    yield server
    server.close()


@pytest.fixture
def download(server, tmp_path):
    """Fetches one category of a catalogue that names the server; returns the manifest."""
    mirrors = [server.url]
    path = tmp_path / "catalogue.yaml"

    def run(categories=("Toys",), *, with_metadata=False, force=False, **settings):
        edition = {
            "mirrors": mirrors,
            "reviews": "{category}.json.gz",
            "ratings": "{category}.csv",
            "metadata": "meta_{category}.json.gz",
            "categories": ["Toys", "Games"],
        }
        path.write_text(yaml.safe_dump({"2018": edition}))
        config = DownloadConfig(
            edition="2018",
            categories=list(categories),
            catalogue=str(path),
            with_metadata=with_metadata,
            first_wait_seconds=0.001,
            timeout_seconds=5,
            **({"max_attempts": 3} | settings),
        )
        return run_download(Storage(str(tmp_path / "work")), "toys", config, force)

    run.mirrors = mirrors
    return run


def test_a_broken_download_starts_over_on_a_mount_that_forbids_appending(download, server, tmp_path):
    with strict_mount(tmp_path) as mount:
        (tmp_path / "work").symlink_to(mount)
        server.faults = ["drop", "drop"]

        manifest = download(max_attempts=6)

        assert Path(manifest.details["reviews"][0].removeprefix("file://")).read_bytes() == CONTENT
    assert [wanted is not None for _, wanted in server.requests] == [False, True, False]


def names(tmp_path: Path) -> set[str]:
    """Files that a reader of the folder would see."""
    return {path.name for path in (tmp_path / "work").rglob("*.gz") if not path.name.startswith(".")}


def test_run_download_fetches_reviews_and_metadata(download, server, tmp_path):
    manifest = download(["Toys", "Games"], with_metadata=True)

    assert names(tmp_path) == {"Toys.json.gz", "meta_Toys.json.gz", "Games.json.gz", "meta_Games.json.gz"}
    assert [uri.rpartition("/")[2] for uri in manifest.details["reviews"]] == ["Toys.json.gz", "Games.json.gz"]
    assert Path(manifest.details["reviews"][0].removeprefix("file://")).read_bytes() == CONTENT
    assert manifest.counts == {"files": 4, "bytes": 4 * len(CONTENT)}


@pytest.mark.parametrize(
    "faults",
    [
        ["drop"],
        ["drop", "drop", "drop", "drop", "drop"],  # Each gets further, so none of them counts as a failure.
        ["503", "500", "drop", "502"],
        ["drop", "ignore range"],
        ["no length"],
        ["other bytes"],
        ["drop", "429", "drop", "ignore range"],
    ],
    ids=" ".join,
)
def test_run_download_comes_through(download, server, faults):
    server.faults = list(faults)

    manifest = download()

    assert Path(manifest.details["reviews"][0].removeprefix("file://")).read_bytes() == CONTENT
    assert not server.faults


def test_run_download_goes_on_where_it_stopped(download, server):
    server.faults = ["drop"]

    download()

    assert server.requests == [("/Toys.json.gz", None), ("/Toys.json.gz", f"bytes={len(CONTENT) // 2}-")]


def test_run_download_goes_on_in_a_later_run(download, server, tmp_path):
    server.faults = ["drop", *["400"] * 9]
    download.mirrors.append(server.url)  # With a second mirror, a refusal is no reason to give up at once.
    with pytest.raises(DataError, match="failed 3 times without getting further"):
        download()
    assert names(tmp_path) == set()
    server.faults, server.requests = [], []

    download()

    assert server.requests == [("/Toys.json.gz", f"bytes={len(CONTENT) // 2}-")]
    assert names(tmp_path) == {"Toys.json.gz"}


def test_run_download_starts_over_when_the_file_has_changed(download, server):
    server.faults = ["drop", *["400"] * 9]
    download.mirrors.append(server.url)
    with pytest.raises(DataError):
        download()
    server.faults, server.etag, server.content = [], '"two"', gzip.compress(b"new\n" * 5000)

    manifest = download()

    assert Path(manifest.details["reviews"][0].removeprefix("file://")).read_bytes() == server.content


@pytest.mark.parametrize(
    ("faults", "match"),
    [
        (["404"], "answers 404 .*Check the address"),
        (["other bytes", "other bytes"], "is not a valid .gz"),
        (["500"] * 90, "failed 3 times without getting further"),
    ],
)
def test_run_download_gives_up_with_one_line(download, server, tmp_path, faults, match):
    server.faults = faults

    with pytest.raises(DataError, match=match) as caught:
        download(max_attempts=3)

    assert "\n" not in str(caught.value)
    assert names(tmp_path) == set()


def test_run_download_takes_the_next_mirror(download, server):
    download.mirrors.insert(0, "http://127.0.0.1:9")  # Nobody listens there.

    manifest = download(max_attempts=2)

    assert manifest.counts["files"] == 1


def test_run_download_goes_on_at_the_mirror_that_it_was_at(download, server, other):
    download.mirrors.append(other.url)
    server.faults = ["drop", "drop"]

    download()

    assert [wanted is not None for _, wanted in server.requests] == [False, True, True]
    assert other.requests == []


@pytest.mark.parametrize(("num_refusals", "num_elsewhere"), [(3, 0), (30, 1)])
def test_run_download_gives_up_what_has_come_only_for_a_mirror_that_stays_silent(
    download, server, other, num_refusals, num_elsewhere
):
    download.mirrors.append(other.url)
    server.faults = ["drop", *["503"] * num_refusals]

    manifest = download(max_attempts=8)

    assert Path(manifest.details["reviews"][0].removeprefix("file://")).read_bytes() == CONTENT
    assert len(other.requests) == num_elsewhere


def test_run_download_begins_a_later_run_at_the_mirror_that_the_bytes_came_from(download, server, other):
    download.mirrors.append(other.url)
    server.faults, other.faults = ["400"] * 9, ["drop", *["400"] * 9]
    with pytest.raises(DataError, match=f"{len(CONTENT) // 2:,} bytes are kept; run the same command again to resume"):
        download()
    for mirror in (server, other):
        mirror.faults, mirror.requests = [], []

    download()

    assert server.requests == []
    assert other.requests == [("/Toys.json.gz", f"bytes={len(CONTENT) // 2}-")]


def test_run_download_makes_as_many_attempts_as_it_may(download, server):
    server.faults = ["500"] * 90

    with pytest.raises(DataError):
        download(max_attempts=3)

    assert len(server.requests) == 3


def test_run_download_waits_as_long_as_the_server_says(download, server):
    server.faults, start = ["429"], time.monotonic()

    download()

    assert time.monotonic() - start >= 1


def test_run_download_stops_the_other_files_when_one_cannot_be_had(download, server):
    server.is_slow, server.faults, start = {"/Toys.json.gz", "/meta_Toys.json.gz"}, ["404"], time.monotonic()

    with pytest.raises(DataError, match="answers 404"):
        download(["Toys", "Games"], with_metadata=True, num_parallel=3)

    assert time.monotonic() - start < 10


def test_run_download_fetches_nothing_twice(download, server):
    first = download()
    server.requests.clear()

    assert download() == first
    assert server.requests == []


def test_run_download_names_a_place_it_cannot_write(download, tmp_path):
    (tmp_path / "work").write_text("in the way")

    with pytest.raises(StorageError, match="work"):
        download()


def test_files_to_download_names_the_right_files():
    files = files_to_download(DownloadConfig(edition="2018-small", categories=["Movies_and_TV"]))

    assert [(file.urls[0].rpartition("/")[2], file.is_metadata) for file in files] == [
        ("Movies_and_TV_5.json.gz", False),
        ("meta_Movies_and_TV.json.gz", True),
    ]
    assert all(url.startswith("https://") for file in files for url in file.urls)


@pytest.mark.parametrize("edition", ["2014", "2018", "2018-small", "2023"])
@pytest.mark.parametrize("ratings_only", [True, False])
def test_files_to_download_knows_every_edition(edition, ratings_only):
    config = DownloadConfig(edition=edition, categories=["Books", "Movies_and_TV"], ratings_only=ratings_only)

    assert len(files_to_download(config)) == 4


def test_files_to_download_suggests_a_category():
    with pytest.raises(ConfigError, match="no 'Movies'. Did you mean 'Movies_and_TV'"):
        files_to_download(DownloadConfig(categories=["Movies"]))


def test_files_to_download_wants_a_category():
    with pytest.raises(ConfigError, match="categories: empty. Edition 2018-small has All_Beauty"):
        files_to_download(DownloadConfig())


@pytest.mark.parametrize(
    ("reviews", "match"),
    [
        ("{category}/reviews.gz", r"Games/reviews.gz: ends in 'reviews.gz', and so does .*Toys"),
        ("_{category}", "_Toys"),
    ],
)
def test_files_to_download_refuses_names_that_would_lose_lines(tmp_path, reviews, match):
    edition = {"mirrors": ["http://127.0.0.1"], "reviews": reviews, "ratings": "r", "metadata": "m"}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"2018": edition | {"categories": ["Toys", "Games"]}}))
    config = DownloadConfig(edition="2018", categories=["Toys", "Games"], catalogue=str(tmp_path / "own.yaml"))

    with pytest.raises(ConfigError, match=match):
        files_to_download(config)
