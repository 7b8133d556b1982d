from pathlib import Path

import pytest

import seqrec
from seqrec.core.manifest import Dataset, Recipe
from seqrec.core.storage import Storage
from seqrec.interface.site import site
from tests.recommendation.lists.test_person_page import Elements
from tests.recommendation.world import write_run, write_world


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """Prepared data, and a run on it."""
    storage = Storage(str(tmp_path))
    write_run(storage, write_world(storage), "small-a2svd", "a2svd")
    return storage


def rows_of(page: str, name: str) -> list[str]:
    return [row for row in page.split("<tr>") if f"<bdi>{name}</bdi>" in row]


def test_a_run_is_stale_once_its_data_have_changed(storage: Storage) -> None:
    before = site(storage)
    prepared = Dataset(storage, "prepared", "small").require("prepare")
    other = Recipe(stage="prepare", settings={"other": 1}, inputs=prepared.inputs)

    attempt = Dataset(storage, "prepared", "small").begin(other)
    attempt.publish(tables={}, counts=prepared.counts, details=prepared.details, content="changed")

    assert [("stale" in row) for row in rows_of(before, "small-a2svd")] == [False]
    [after] = rows_of(site(storage), "small-a2svd")
    assert "stale</span>: made from other prepared than are here now" in after


def test_pages_of_people_are_linked_by_their_path(storage: Storage) -> None:
    storage.write_bytes("pages/people/small-a2svd/ann-1234.html", b"x")
    storage.write_bytes('pages/people/small-a2svd/a"><script>.html', b"x")

    page = site(storage)

    assert 'href="pages/people/small-a2svd/ann-1234.html"' in page
    assert "<script" not in page
    assert Elements(page).opened == []


def test_an_empty_workdir_says_what_to_do(tmp_path: Path) -> None:
    address = seqrec.write_site(seqrec.configure(workdir=tmp_path))

    assert address.endswith("index.html")
    assert "Run the job <code>pipeline</code> first" in (tmp_path / "index.html").read_text()


def test_every_part_has_its_section(storage: Storage) -> None:
    shown = Elements(site(storage)).shown

    assert "small-a2svd" in shown
    assert "Runs" in shown
    assert "Tuning" not in shown  # There is none.
