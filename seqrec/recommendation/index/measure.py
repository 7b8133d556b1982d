"""What an index finds for real histories against an exact search, and how fast."""

import time
from dataclasses import dataclass, replace

import numpy as np
from rich.table import Table

from seqrec.core import columns as C
from seqrec.core.keyed_random import keyed
from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.events.histories import newest_timestamp, read_histories
from seqrec.events.rows import UserHistories
from seqrec.scoring.index.item_index import ItemIndex

_MOST_FILES = 4  # Files that histories are drawn from; users are spread over files at random.
_USERS_AT_ONCE = 4096
_MARGIN = 0.005  # The lists searched are chosen for this much more recall, which is then stated for other histories.
_HISTORIES = "sequences/latest"


@dataclass(frozen=True)
class MeasuredStates:
    """Real states, and what an exact search finds for them."""

    states: np.ndarray  # float32 [B, V]
    excluded: np.ndarray  # int32 [B, E], the users' own items.
    best: np.ndarray  # int32 [B, k], 0 where there are fewer.

    def half(self, number: int) -> "MeasuredStates":
        """Every second row; all rows if there is only one."""
        rows = slice(number if len(self.states) > 1 else 0, None, 2)
        return MeasuredStates(self.states[rows], self.excluded[rows], self.best[rows])


def sample_histories(storage: Storage, prepared: Manifest, num_histories: int, seed: int) -> UserHistories:
    """At most so many rows of `sequences/latest`, drawn by the seed and a row's place in its file."""
    files = prepared.table(_HISTORIES).files
    drawn = np.argsort(keyed(np.arange(len(files)), seed), kind="stable")[:_MOST_FILES]
    newest = newest_timestamp(storage, files, C.HISTORY_TIMESTAMPS)
    parts = []
    for place, number in enumerate(drawn):
        share = num_histories // len(drawn) + (place < num_histories % len(drawn))
        wanted = np.argsort(keyed(np.arange(files[number].rows), seed, int(number)), kind="stable")[:share]
        start = 0
        for rows in read_histories(storage, files[number].path, _USERS_AT_ONCE, newest):
            here = np.sort(wanted[(wanted >= start) & (wanted < start + len(rows))]) - start
            parts.append(rows.take(here))
            start += len(rows)
    return UserHistories.concatenate(parts)


def choose_num_searched(index: ItemIndex, measured: MeasuredStates, min_recall: float) -> ItemIndex:
    """The index with the fewest searched lists, a power of two, that reach the recall; else with all lists."""
    lists = index.lists
    assert lists is not None
    wanted = min(1.0, min_recall + _MARGIN)
    num_searched = 1
    while num_searched < lists.num_lists:
        index = replace(index, num_searched=num_searched)
        if recall_and_speed(index, measured)[0] >= wanted:
            return index
        num_searched *= 2
    return replace(index, num_searched=lists.num_lists)


def recall_and_speed(index: ItemIndex, measured: MeasuredStates) -> tuple[float, float]:
    """The share of the exact k best that the index finds, and the users that it serves in a second of one core."""
    started = time.process_time()
    found, _ = index.search(measured.states, measured.best.shape[1], measured.excluded)
    seconds = max(time.process_time() - started, 1e-6)
    rows = np.arange(len(found), dtype=np.int64)[:, None] << 32
    is_item = measured.best > 0
    hits = np.isin((rows | measured.best)[is_item], (rows | found)[found > 0])
    return float(hits.mean()) if len(hits) else 1.0, len(found) / seconds


def index_table(manifest: Manifest) -> Table:
    """What the card says, for people."""
    card = manifest.details["card"]
    table = Table(title=f"index of '{card['run']}' over {card['num_items']:,} items, {card['num_measured']} histories")
    columns = (
        ("search", card["kind"]),
        ("vectors", f"{card['num_items']:,} of {card['width']}"),
        ("lists searched", f"{card['num_searched']:,} of {card['num_lists']:,}" if card["num_lists"] else "all"),
        ("MiB on disk", f"{card['bytes'] / 2**20:,.1f}"),
        (f"recall@{card['k']}", f"{card['recall']:.4f}"),
        ("users/s/core", f"{card['users_per_core_second']:,.0f}"),
        ("exact users/s/core", f"{card['exact_users_per_core_second']:,.0f}"),
    )
    for name, _ in columns:
        table.add_column(name)
    table.add_row(*(value for _, value in columns))
    return table
