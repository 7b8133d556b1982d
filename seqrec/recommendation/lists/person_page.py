"""One person's list and history as a page that can be opened, printed and passed on."""

import hashlib
import re
from datetime import datetime, timezone

from seqrec.core.pages.page import foreign, page, section, table, text
from seqrec.core.storage import Storage
from seqrec.recommendation.lists.person import Person

FOLDER = "pages/people"  # In the workdir.
_WHY = (
    "Why: what put the item among those that were scored. The score is the model's, and orders the list: the higher, "
    "the better; scores of different people or models do not compare."
)


def write_person_page(storage: Storage, person: Person) -> str:
    """Writes the page and returns its address."""
    path = f"{FOLDER}/{file_name(person.listed_by)}/{file_name(person.user)}.html"
    storage.write_bytes(path, person_page(person).encode())
    return storage.uri(path)


def file_name(name: str) -> str:
    """A name that every file system takes, different for different names."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:60].lstrip(".") or "_"
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def person_page(person: Person) -> str:
    """The page as HTML."""
    day = _time(person.as_of).partition(" ")[0]
    if person.events:
        known = f"{len(person.events):,} known events, the last one on {_time(person.events[-1].seconds)[:10]}."
    else:
        known = "Nothing is known of this person up to that day, so these are the most popular items."
    body = section(f"{len(person.items)} items to suggest", _list(person))
    if person.events:
        body += section("What is known, newest first", _history(person))
    return page(
        f"For {person.user}", body, summary=f"Recommended by {person.listed_by} as of {day} (UTC). {known}", footer=_WHY
    )


def _list(person: Person) -> str:
    rows = [
        [
            str(each.rank),
            _item(each.item_id, each.title),
            f"{foreign(each.reason)} <small>({text(each.source.replace('_', ' '))})</small>",
            f"{each.score:.3f}",
        ]
        for each in person.items
    ]
    return table(["rank", "item", "why", "score"], rows, classes=["n", "w", "w", "n"])


def _history(person: Person) -> str:
    rows = [[text(_time(each.seconds)), _item(each.item_id, each.title)] for each in reversed(person.events)]
    return table(["time (UTC)", "item"], rows, classes=["t", "w"])


def _item(item_id: str, title: str | None) -> str:
    return f"{foreign(title)} <small>{foreign(item_id)}</small>" if title else foreign(item_id)


def _time(seconds: int) -> str:
    """Day and time; only the day at midnight, as most logs know days alone."""
    moment = datetime.fromtimestamp(seconds, tz=timezone.utc)
    return moment.strftime("%Y-%m-%d" if moment.hour == moment.minute == moment.second == 0 else "%Y-%m-%d %H:%M")
