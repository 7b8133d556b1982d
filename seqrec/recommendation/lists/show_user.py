"""One person's last items and recommendations as two tables on the screen; needs no Spark."""

from datetime import datetime, timezone

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from seqrec.core import columns as C
from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset
from seqrec.core.storage import Storage
from seqrec.events.histories import read_batches, read_histories
from seqrec.events.rows import UserHistories
from seqrec.recommendation.config import RecommendationConfig
from seqrec.recommendation.lists.item_names import names_of
from seqrec.recommendation.lists.recommender import LIST_SOURCES, Lists
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

_MAX_SHOWN = 15  # Last items.
_ROWS = 4096


def show_user(
    storage: Storage, name: str, run: str, config: RecommendationConfig, console: Console | None = None
) -> None:
    """Prints the last items of `config.user` and what the job 'recommend' would list; writes nothing.

    Raises:
        SeqrecError: something is not there, or does not belong together.
    """
    assert config.user is not None
    console = console or Console()
    inputs = read_inputs(storage, name, run, config)
    job = list_job(storage, inputs, config, "", rules=_rules_of_lists(storage, name, run, config, inputs))
    recommender = open_recommender(storage, job)
    history = find_user(storage, inputs, config.user, job.as_of)
    if history is None:
        lists, own = recommender.popularity_list(job.as_of), np.zeros(0, np.int32)
    else:
        history = history.before_as_of()
        lists, own = recommender.recommend(history), history.items.values[-_MAX_SHOWN:]
    names = names_of(storage, inputs.prepared, np.concatenate([own, lists.items[lists.items > 0]]))
    if history is None or not len(own):
        console.print(f"No known item of user '{config.user}' up to {_day(job.as_of)}: the most popular items.")
    else:
        console.print(_history_table(config.user, history, names))
    console.print(_list_table(config.ranker or run, job.as_of, lists, names))


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


def show_wanted_user(storage: Storage, name: str, run: str, config: RecommendationConfig) -> bool | None:
    """Shows `config.user`, if one is wanted, and returns True; None when lists have to be written instead."""
    if config.user is None:
        return None
    show_user(storage, name, run, config)
    return True


def find_user(storage: Storage, inputs: RecommendationInputs, user: str, as_of: int) -> UserHistories | None:
    """The row of one user; None for a user without a known item."""
    for file in inputs.prepared.table("sequences/latest").files:
        first = 0
        for batch in read_batches(storage, file.path, [C.USER], _ROWS):
            place = pc.index(batch.column(C.USER), pa.scalar(user, pa.string())).as_py()
            if place >= 0:
                for number, rows in enumerate(read_histories(storage, file.path, _ROWS, as_of)):
                    if number == first // _ROWS:
                        return rows.take(np.array([place]))
            first += batch.num_rows
    return None


def _history_table(user: str, history: UserHistories, names: dict[int, tuple[str, str | None]]) -> Table:
    table = Table(title=f"last items of {user} ({len(history.items.values)} known)", title_justify="left")
    has_titles = _has_titles(names)
    for heading in ("day", "item", *["title"] * has_titles):
        table.add_column(heading, no_wrap=heading != "title")
    last = zip(history.items.values[-_MAX_SHOWN:], history.timestamps[-_MAX_SHOWN:], strict=True)
    for item, time in last:
        item_id, title = names[int(item)]
        table.add_row(_day(int(time)), item_id, *[title or ""] * has_titles)
    return table


def _list_table(run: str, as_of: int, lists: Lists, names: dict[int, tuple[str, str | None]]) -> Table:
    table = Table(title=f"recommended by {run} as of {_day(as_of)}", title_justify="left")
    has_titles = _has_titles(names)
    for heading in ("rank", "item", *["title"] * has_titles, "score", "found by"):
        table.add_column(
            heading, no_wrap=heading != "title", justify="right" if heading in ("rank", "score") else "left"
        )
    for place in np.flatnonzero(lists.items[0]):
        item_id, title = names[int(lists.items[0, place])]
        source = LIST_SOURCES[lists.sources[0, place]]
        shown = [title or ""] * has_titles
        table.add_row(str(place + 1), item_id, *shown, f"{lists.scores[0, place]:.3f}", source)
    return table


def _has_titles(names: dict[int, tuple[str, str | None]]) -> bool:
    """Without metadata nobody knows a title: then there is no column for them."""
    return any(title for _, title in names.values())


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, tz=timezone.utc).date().isoformat()
