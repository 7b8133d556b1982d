"""The page of one person, also where titles and ids are made to do harm."""

from html.parser import HTMLParser

import pytest

from seqrec.core.storage import Storage
from seqrec.recommendation.lists.person import Event, Listed, Person
from seqrec.recommendation.lists.person_page import file_name, person_page, write_person_page

DAY = 86_400
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>\" onmouseover='alert(3)"
RIGHT_TO_LEFT = "\u202eكتاب gnp.exe"
ENDLESS = "x" * 10_000
HOSTILE = (SCRIPT, RIGHT_TO_LEFT, ENDLESS, "a\x00b\x1b[31m")


class Elements(HTMLParser):
    """The elements and attributes of a page, and whether each that is opened is closed."""

    def __init__(self, page: str):
        super().__init__()
        self.opened: list[str] = []
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.shown = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in ("meta", "link"):
            self.opened.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag

    def handle_data(self, data: str) -> None:
        self.shown += data


def person(title: str | None = "Coffee", user: str = "ann") -> Person:
    return Person(
        user=user,
        listed_by="demo-a2svd",
        as_of=20_000 * DAY,
        events=(Event(19_000 * DAY, "i1", title), Event(19_001 * DAY + 3_660, "i2", title)),
        items=(Listed(1, "i3", title, 1.5, "co_visitation", f"often taken by people who took {title}"),),
    )


def test_the_page_shows_history_and_list() -> None:
    page = Elements(person_page(person()))

    assert page.opened == []
    assert "often taken by people who took Coffee" in page.shown
    assert "1.500" in page.shown
    assert page.shown.index("2022-01-09 01:01") < page.shown.index("2022-01-08")  # Newest first.
    assert "as of 2024-10-04" in page.shown


@pytest.mark.parametrize("text", HOSTILE, ids=["script", "right to left", "10,000 characters", "control characters"])
def test_text_from_data_stays_text(text: str) -> None:
    harmless, page = Elements(person_page(person("Coffee"))), person_page(person(text, user=text))

    found = Elements(page)
    assert found.opened == []
    assert found.names <= harmless.names
    assert found.attributes <= harmless.attributes
    assert not {"script", "img"} & found.names
    assert not any("\u202a" <= letter <= "\u202e" or "\u2066" <= letter <= "\u2069" for letter in page)
    assert not any(letter in page for letter in "\x00\x1b")
    assert len(page) < 12_000


def test_of_a_stranger_the_page_says_that_nothing_is_known() -> None:
    page = Elements(person_page(Person("nobody", "demo-a2svd", DAY, (), ())))

    assert "Nothing is known of this person" in page.shown
    assert "newest first" not in page.shown


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "", "a/b", "ü", "A" * 300, "con\x00", "a b"])
def test_file_names_stay_in_their_folder(name: str) -> None:
    found = file_name(name)

    assert found not in (name, ".", "..")
    assert "/" not in found
    assert found.isascii()
    assert len(found) < 80


def test_different_names_have_different_files() -> None:
    names = ["a b", "a_b", "a/b", "a?b", "..a", "a"]

    assert len({file_name(name) for name in names}) == len(names)


def test_the_page_is_written_below_the_workdir(tmp_path) -> None:
    address = write_person_page(Storage(str(tmp_path)), person(user="../x"))

    [file] = (tmp_path / "pages" / "people" / "demo-a2svd").glob("*.html")
    assert address.endswith(file.name)
    assert file.read_text().startswith("<!doctype html>")
