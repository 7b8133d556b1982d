"""One person's last items and recommendations as two tables on the screen, and as a page; needs no Spark."""

import logging
from datetime import datetime, timezone

from rich.console import Console
from rich.table import Table
from rich.text import Text

from seqrec.core.storage import Storage
from seqrec.recommendation.config import RecommendationConfig
from seqrec.recommendation.lists.person import Person, read_person
from seqrec.recommendation.lists.person_page import write_person_page

_MAX_SHOWN = 15  # Last items.
_LOG = logging.getLogger(__name__)


def show_user(
    storage: Storage, name: str, run: str, config: RecommendationConfig, console: Console | None = None
) -> None:
    """Prints the last items of `config.user` and what the job 'recommend' would list; writes a page if one is wanted.

    Raises:
        SeqrecError: something is not there, or does not belong together.
    """
    console = console or Console()
    person = read_person(storage, name, run, config)
    if person.events:
        console.print(_history_table(person))
    else:
        console.print(f"No known item of user '{person.user}' up to {_day(person.as_of)}: the most popular items.")
    console.print(_list_table(person))
    if config.page:
        _LOG.info("recommend: page in %s", write_person_page(storage, person))


def show_wanted_user(storage: Storage, name: str, run: str, config: RecommendationConfig) -> bool | None:
    """Shows `config.user`, if one is wanted, and returns True; None when lists have to be written instead."""
    if config.user is None:
        return None
    show_user(storage, name, run, config)
    return True


def _history_table(person: Person) -> Table:
    table = Table(title=f"last items of {person.user} ({len(person.events)} known)", title_justify="left")
    has_titles = _has_titles(person)
    for heading in ("day", "item", *["title"] * has_titles):
        table.add_column(heading, no_wrap=heading != "title")
    for each in person.events[-_MAX_SHOWN:]:
        table.add_row(_day(each.seconds), Text(each.item_id), *[Text(each.title or "")] * has_titles)
    return table


def _list_table(person: Person) -> Table:
    table = Table(title=f"recommended by {person.listed_by} as of {_day(person.as_of)}", title_justify="left")
    has_titles = _has_titles(person)
    for heading in ("rank", "item", *["title"] * has_titles, "score", "found by"):
        table.add_column(
            heading, no_wrap=heading != "title", justify="right" if heading in ("rank", "score") else "left"
        )
    for each in person.items:
        shown = [Text(each.title or "")] * has_titles
        table.add_row(str(each.rank), Text(each.item_id), *shown, f"{each.score:.3f}", each.source)
    return table


def _has_titles(person: Person) -> bool:
    """Without metadata nobody knows a title: then there is no column for them."""
    return any(each.title for each in person.events) or any(each.title for each in person.items)


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, tz=timezone.utc).date().isoformat()
