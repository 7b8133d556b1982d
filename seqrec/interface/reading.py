"""What lies in a workdir, read without Spark: tables, one person's history, all results."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from seqrec.core import columns as C
from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset
from seqrec.core.storage import Storage
from seqrec.evaluation.results import MODEL, current_evaluations
from seqrec.interface import frames
from seqrec.interface.running import errors_in_one_line
from seqrec.interface.settings import Config
from seqrec.recommendation.lists.item_names import names_of
from seqrec.recommendation.lists.person import Person, find_user, read_person
from seqrec.recommendation.lists.person_page import write_person_page

_MADE_BY = {"ingested": "ingest", "prepared": "prepare"}
_END_OF_TIME = 1 << 62


def read_table(
    config: Config, table: str, columns: Sequence[str] | None = None, num_rows: int | None = None
) -> pd.DataFrame:
    """A table that `ingest` or `prepare` has written, or its first rows.

    Args:
        table: "ingested/reviews", "ingested/items", "prepared/vocabulary/items", "prepared/sequences/test", ...;
            docs/formats.md describes them.
        columns: the columns to read; None: all.
        num_rows: how many rows to read at most; None: all, which must fit into memory.
    Returns: the rows in the order of the files.

    Raises:
        DataError: there is no such table or column, or the stage has not run.
    """
    folder, _, name = table.partition("/")
    if folder not in _MADE_BY or not name:
        raise DataError(f"'{table}' is not a table: begin with 'ingested/' or 'prepared/', as in 'ingested/reviews'.")
    with errors_in_one_line(config):
        storage = Storage(config.run.workdir)
        manifest = Dataset(storage, folder, config.run.name).require(_MADE_BY[folder])
        return frames.table(storage, manifest, name, columns, num_rows)


def history(config: Config, user: str) -> pd.DataFrame:
    """What is known of one person, the oldest event first.

    Returns: one row per event: `time` (UTC), `item_id` and `title` (missing without metadata); empty for a user of whom
        nothing is known. Events whose items `prepare` has dropped are not there.

    Raises:
        DataError: nothing is prepared.
    """
    with errors_in_one_line(config):
        storage = Storage(config.run.workdir)
        prepared = Dataset(storage, "prepared", config.run.name).require("prepare")
        found = find_user(storage, prepared, user, _END_OF_TIME)
        items = np.zeros(0, np.int32) if found is None else found.items.values
        times = np.zeros(0, np.int64) if found is None else found.timestamps
        names = names_of(storage, prepared, items)
    rows = [names[int(item)] for item in items]
    frame = pd.DataFrame(rows, columns=[C.ITEM, C.TITLE])
    frame.insert(0, "time", pd.to_datetime(times, unit="s", utc=True))
    return frame


def explain(config: Config, user: str, model: str | None = None) -> pd.DataFrame:
    """One person's list with what led to each item; the job `candidates`, or `recommend`, must have run.

    Args:
        model: the model's name, such as "sli_rec"; None: that of `model.name`.
    Returns: one row per listed item: `rank` from 1, `item_id`, `title`, `score`, `source` and `reason`, a phrase,
        such as "often taken by people who took ...".

    Raises:
        DataError: there is no such run, or there are no candidates.
    """
    person = _person(config, user, model)
    return pd.DataFrame(
        [(each.rank, each.item_id, each.title, each.score, each.source, each.reason) for each in person.items],
        columns=[C.RANK, C.ITEM, C.TITLE, C.SCORE, C.SOURCE, "reason"],
    )


def write_page(config: Config, user: str, model: str | None = None) -> str:
    """Writes the HTML page of one person: the list of `explain`, and the history.

    Args:
        model: as in `explain`.
    Returns: the address of the page.

    Raises:
        DataError: as `explain` does.
    """
    with errors_in_one_line(config):
        return write_person_page(Storage(config.run.workdir), _person(config, user, model))


def _person(config: Config, user: str, model: str | None) -> Person:
    run = config.with_model(model).run
    section = dataclasses.replace(run.recommendation, user=user, users=None)
    with errors_in_one_line(config):
        return read_person(Storage(run.workdir), run.name, run.run, section)


def results(config: Config) -> pd.DataFrame:
    """The metrics of every evaluated run of the workdir, of its present weights only.

    Returns: one row per run, split, protocol and metric: `run`, `model`, `data`, `split`, `protocol`, `users`,
        `metric`, `value`, `low`, `high`. Compare rows of the same data, split and protocol only.
    """
    columns = ["run", "model", "data", "split", "protocol", "users", "metric", "value", "low", "high"]
    parts = []
    with errors_in_one_line(config):
        storage = Storage(config.run.workdir)
        for run in sorted(storage.list_folders("runs")):
            for each in current_evaluations(storage, run):
                part = frames.metrics(each)
                part = part[part["kind"] == MODEL].drop(columns=["ranking", "kind"])
                known = [run, each.model, each.setup.get("data"), each.split, each.protocol, each.setup["num_users"]]
                for place, value in enumerate(known):
                    part.insert(place, columns[place], value)
                parts.append(part)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
