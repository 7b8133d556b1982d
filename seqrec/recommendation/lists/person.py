"""One person: the history, and what the job 'recommend' would list, with what found each item; needs no Spark."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqrec.core import columns as C
from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset, Manifest
from seqrec.core.storage import Storage
from seqrec.events.histories import read_batches, read_histories
from seqrec.events.rows import HistoryRows, Ragged, UserHistories
from seqrec.neighbours.config import RETRIEVAL, TRANSITIONS
from seqrec.recommendation.config import RecommendationConfig
from seqrec.recommendation.lists.item_names import names_of
from seqrec.recommendation.lists.recommender import CATALOGUE, HISTORY, LIST_SOURCES, NO_HISTORY, Lists, Recommender
from seqrec.recommendation.lists.stage import (
    RecommendationInputs,
    list_job,
    read_inputs,
    recommend_recipe,
    recommendations_name,
)
from seqrec.recommendation.lists.write_lists import open_recommender
from seqrec.recommendation.rules.stored import RULES_FOLDER, StoredRules, stored_rules
from seqrec.recommendation.rules_config import RulesConfig

_ROWS = 4096
# What to say of a source; {} is the item of the history that leads to the listed one.
_REASONS = {
    "co_visitation": "often taken by people who took {}",
    TRANSITIONS: "often taken next after {}",
    "also_bought": "bought together with {}, by the catalogue",
    "also_viewed": "viewed together with {}, by the catalogue",
    "category_popularity": "popular in the category of {}",
    "popularity": "popular with everyone",
    RETRIEVAL: "fits this history, of all items, by the retrieval model",
    HISTORY: "taken before",
    CATALOGUE: "fits this history, of all items, by the model",
    NO_HISTORY: "popular; nothing is known of this person",
}


@dataclass(frozen=True)
class Event:
    """One event of the history."""

    seconds: int  # Since 1970, UTC.
    item_id: str
    title: str | None


@dataclass(frozen=True)
class Listed:
    """One place of the list."""

    rank: int
    item_id: str
    title: str | None
    score: float
    source: str
    reason: str  # What the source says of the item, in words.


@dataclass(frozen=True)
class Person:
    """A history and a list."""

    user: str
    listed_by: str  # The run or ranker that orders the list.
    as_of: int  # The time for which the list is made, seconds since 1970.
    events: tuple[Event, ...]  # Oldest first; empty if nothing is known.
    items: tuple[Listed, ...]


def read_person(storage: Storage, name: str, run: str, config: RecommendationConfig) -> Person:
    """The history of `config.user` and the list that the job 'recommend' would write; writes nothing.

    Raises:
        SeqrecError: something is not there, or does not belong together.
    """
    assert config.user is not None
    inputs = read_inputs(storage, name, run, config)
    job = list_job(storage, inputs, config, "", rules=_rules_of_lists(storage, name, run, config, inputs))
    recommender = open_recommender(storage, job)
    history = find_user(storage, inputs.prepared, config.user, job.as_of)
    if history is not None:
        history = history.before_as_of()
    lists = recommender.popularity_list(job.as_of) if history is None else recommender.recommend(history)
    own = np.zeros(0, np.int32) if history is None else history.items.values
    times = np.zeros(0, np.int64) if history is None else history.timestamps
    names = names_of(storage, inputs.prepared, np.concatenate([own, lists.items[lists.items > 0]]))
    return Person(
        user=config.user,
        listed_by=config.ranker or run,
        as_of=job.as_of,
        events=tuple(Event(int(time), *names[int(item)]) for item, time in zip(own, times, strict=True)),
        items=tuple(_listed(lists, names, _leading_items(recommender, history, lists))),
    )


def _listed(lists: Lists, names: dict[int, tuple[str, str | None]], leading: dict[int, int]) -> list[Listed]:
    listed = []
    for place in np.flatnonzero(lists.items[0]):
        item, source = int(lists.items[0, place]), LIST_SOURCES[lists.sources[0, place]]
        from_id, from_title = names[leading[item]] if item in leading else ("an item of this history", None)
        reason = _REASONS[source].format(from_title or from_id)
        listed.append(Listed(int(place) + 1, *names[item], float(lists.scores[0, place]), source, reason))
    return listed


def _leading_items(recommender: Recommender, history: UserHistories | None, lists: Lists) -> dict[int, int]:
    """Listed item -> the item of the history in whose own list of the same source it stands highest.

    Each event is a history of its own here, so that its list is what the event alone leads to.
    """
    if recommender.sources is None or history is None or not len(history.items.values):
        return {}
    finder = recommender.sources.finder
    last = slice(-finder.num_recent_items, None)
    items, times = history.items.values[last][::-1], history.timestamps[last][::-1]
    alone = HistoryRows(
        items=Ragged.from_lengths(items, np.ones(len(items), np.int64)),
        timestamps=times,
        first_timestamps=np.repeat(history.first_timestamps[:1], len(items)),
        as_of=np.repeat(history.as_of[:1], len(items)),
    )
    leading: dict[int, int] = {}
    found = {source: keys for source, keys in finder.lists(alone).items() if "{}" in _REASONS[source]}
    for source, keys in found.items():
        candidates = finder.merge({source: keys}, len(items)).items
        for item in lists.items[0][lists.sources[0] == LIST_SOURCES.index(source)]:
            rows, places = np.nonzero((candidates == item) & (item > 0))
            if len(rows):
                leading[int(item)] = int(items[rows[np.argmin(places)]])  # Among equals, the newest event's.
    return leading


def find_user(storage: Storage, prepared: Manifest, user: str, as_of: int) -> UserHistories | None:
    """The row of one user; None for a user without a known item."""
    for file in prepared.table("sequences/latest").files:
        first = 0
        for batch in read_batches(storage, file.path, [C.USER], _ROWS):
            place = pc.index(batch.column(C.USER), pa.scalar(user, pa.string())).as_py()
            if place >= 0:
                for number, rows in enumerate(read_histories(storage, file.path, _ROWS, as_of)):
                    if number == first // _ROWS:
                        return rows.take(np.array([place]))
            first += batch.num_rows
    return None


def _rules_of_lists(
    storage: Storage, name: str, run: str, config: RecommendationConfig, inputs: RecommendationInputs
) -> StoredRules | None:
    """What the job 'recommend' has written of the same rules, since metadata are read by Spark.

    Raises:
        DataError: there are rules, and no lists by them.
    """
    if config.rules == RulesConfig():
        return None
    dataset = Dataset(storage, "recommendations", recommendations_name(run, config))
    manifest = dataset.manifest_of(recommend_recipe(storage, name, run, config))
    if manifest is None:
        raise DataError(
            f"recommendation.user: '{config.user}' is shown by the rules of lists, and {storage.uri(dataset.path)} has "
            "none of these settings: run the job 'recommend' without recommendation.user first."
        )
    return stored_rules(storage, inputs.prepared, config.rules, f"{dataset.path}/{manifest.id}/{RULES_FOLDER}")
