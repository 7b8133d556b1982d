"""Blocks of items to files in Spark workers: lists to publish, or tables of all kinds to measure."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from seqrec.core import columns as C
from seqrec.core.local_copies import local_copy, map_array
from seqrec.core.storage import Storage
from seqrec.events.histories import read_histories
from seqrec.neighbours.finder import CandidateFinder, rows_and_items
from seqrec.neighbours.table import NeighbourTable
from seqrec.recommendation.lists.item_names import ItemNames
from seqrec.recommendation.rankers.rank_files import NOT_FOUND, USER_KEY, user_keys
from seqrec.recommendation.similar_items.config import ALIKE, BOTH, KINDS, OFTEN_NEXT, SimilarItemsConfig
from seqrec.recommendation.similar_items.item_lists import ItemLists, ItemVectors, SimilarItems
from seqrec.scoring.index.approximate import NearLists
from seqrec.tables.row_files import FileTask, RowFile

SIMILAR, KIND, KEY, ENTRY, WEIGHT = "similar_item_id", "kind", "key", "item", "weight"
VECTORS, NEAR, NAMES, TABLES = "item_vectors.npy", "vectors.faiss", "item_names.arrow", "tables"
LAST, RECENT = "last item", "last items"
_ITEMS_AT_ONCE, _USERS_AT_ONCE = 1024, 512
_MAX_FILES, _MIN_ITEMS = 256, 4096  # Items of a file: few files for a small catalogue, a few hundred for a large one.
# Each of the last events counts this share of the one after it, chosen on validation (Amazon Beauty), whenever it was.
_NUM_RECENT, _DECAY, _HALF_LIFE_DAYS = 20, 0.6, 1.0e9
_LONGEST = 100  # Ranks below this are not told apart from those of items in no list.

LISTS_SCHEMA = pa.schema(
    [
        pa.field(C.ITEM, pa.string(), False),
        pa.field(C.RANK, pa.int32(), False),
        pa.field(SIMILAR, pa.string(), False),
        pa.field(C.SCORE, pa.float32(), False),
        pa.field(C.SOURCE, pa.string(), False),
        pa.field(C.TITLE, pa.string()),
    ]
)
TABLE_SCHEMA = pa.schema([(KIND, pa.int8()), (KEY, pa.int32()), (ENTRY, pa.int32()), (WEIGHT, pa.float32())])


@dataclass(frozen=True)
class SimilarJob:
    """What travels to the workers."""

    root: str
    path: str  # Folder of the attempt.
    config: SimilarItemsConfig
    num_items: int
    item_category: np.ndarray  # int32 [number of items + 1]; empty where lists are written.


def items_of_file(number: int, num_items: int) -> np.ndarray:
    """int64: the items whose lists are in a file; empty behind the last file."""
    size = max(_MIN_ITEMS, -(-num_items // _MAX_FILES))
    return np.arange(1 + number * size, min(1 + (number + 1) * size, num_items + 1))


def write_similar(job: SimilarJob, task: FileTask, file: RowFile) -> dict[str, Any]:
    """The k best of the wanted kind, by id."""
    storage, config = Storage(job.root), job.config
    finder, names = open_similar(storage, job), ItemNames.open(storage, f"{job.path}/{NAMES}")
    counted = {"items": 0, "items_without_a_list": 0, "short_lists": 0}
    for items in _blocks(task.number, job.num_items):
        found = finder.find(items)
        lists = ItemLists(*(part[:, : config.k] for part in found[config.kind]))
        row, place = np.nonzero(lists.items)
        similar, titles = names.look_up(lists.items[row, place])
        columns = {C.ITEM: names.look_up(items[row])[0], C.RANK: pa.array(place + 1, pa.int32()), SIMILAR: similar}
        columns[C.SCORE] = pa.array(lists.scores[row, place], pa.float32())
        columns[C.SOURCE] = pa.array(KINDS, pa.string()).take(pa.array(_sources(found, lists, config.kind)[row, place]))
        file.write(columns | {C.TITLE: titles})
        lengths = np.count_nonzero(lists.items, axis=1)
        counted["items"] += len(items)
        counted["items_without_a_list"] += int((lengths == 0).sum())
        counted["short_lists"] += int(((lengths > 0) & (lengths < config.k)).sum())
    return counted


def write_tables(job: SimilarJob, task: FileTask, file: RowFile) -> dict[str, Any]:
    """Every kind of list as numbers, a kind after the other within a block of items."""
    finder = open_similar(Storage(job.root), job)
    counted = dict.fromkeys(finder.kinds, 0)
    for items in _blocks(task.number, job.num_items):
        for kind, lists in finder.find(items).items():
            row, place = np.nonzero(lists.items)
            columns = {KEY: items[row].astype(np.int32), ENTRY: lists.items[row, place]}
            kinds = np.full(len(row), KINDS.index(kind), np.int8)
            file.write({KIND: kinds, **columns, WEIGHT: lists.scores[row, place]})
            counted[kind] += len(row)
    return counted


def write_target_ranks(job: SimilarJob, kinds: tuple[str, ...], task: FileTask, file: RowFile) -> dict[str, Any]:
    """For each user the rank of the target in the list of the last item, and in those of the last items added up."""
    storage = Storage(job.root)
    tables = {kind: NeighbourTable.open(storage, f"{job.path}/{TABLES}/{kind}") for kind in kinds}
    finders = [_finder(tables, job.item_category, count) for count in (1, _NUM_RECENT)]
    counted = {"users": 0}
    for histories in read_histories(storage, task.inputs[0], _USERS_AT_ONCE, None, with_targets=True):
        assert histories.target_items is not None
        columns = {USER_KEY: user_keys(histories.users).view(np.int64)}
        for finder in finders:
            for keys in finder.lists(histories).values():
                ranks = _ranks(keys, histories.target_items)
                columns[f"rank_{len(columns) - 1}"] = ranks
        file.write(columns)
        counted["users"] += len(histories)
    return counted


def ranked_names(kinds: tuple[str, ...]) -> list[str]:
    """What each column of `write_target_ranks` is the rank in."""
    return [f"{kind.replace('_', ' ')}, {events}" for events in (LAST, RECENT) for kind in kinds]


def open_similar(storage: Storage, job: SimilarJob) -> SimilarItems:
    pairs, vectors = NeighbourTable.open(storage, f"{job.path}/graph/{OFTEN_NEXT}"), None
    if job.config.run is not None:
        near = None
        if job.config.search == "approximate":
            near = NearLists.open(local_copy(storage, f"{job.path}/{NEAR}"))
        vectors = ItemVectors(map_array(storage, f"{job.path}/{VECTORS}"), near, job.config.num_searched)
    return SimilarItems(pairs, vectors, job.config.depth, job.config.alike_share)


def _blocks(number: int, num_items: int) -> list[np.ndarray]:
    items = items_of_file(number, num_items)
    return [items[start : start + _ITEMS_AT_ONCE] for start in range(0, len(items), _ITEMS_AT_ONCE)]


def _sources(found: dict[str, ItemLists], lists: ItemLists, kind: str) -> np.ndarray:
    """int8 [B, k], places in KINDS: in which lists an item of `lists` is."""
    if kind != BOTH:
        return np.full(lists.items.shape, KINDS.index(kind), np.int8)
    is_next, is_alike = (_is_in(lists.items, found[each].items) for each in (OFTEN_NEXT, ALIKE))
    places = [KINDS.index(each) for each in (BOTH, OFTEN_NEXT, ALIKE)]
    return np.where(is_next & is_alike, places[0], np.where(is_next, places[1], places[2])).astype(np.int8)


def _is_in(items: np.ndarray, others: np.ndarray) -> np.ndarray:
    """bool, of the shape of `items`: which of them are in the same row of `others`."""
    rows = np.arange(len(items), dtype=np.int64)[:, None] << 32
    return np.isin(rows | items, rows | others)


def _finder(tables: dict[str, NeighbourTable], item_category: np.ndarray, count: int) -> CandidateFinder:
    """What lists the neighbours of a history's last `count` items, its own items left out."""
    return CandidateFinder(
        tables=tables,
        popular_items=np.zeros(0, np.int32),
        item_category=item_category,
        max_candidates=_LONGEST,
        num_recent_items=count,
        history_decay=_DECAY,
        history_half_life_days=_HALF_LIFE_DAYS,
        exclude_own_items=True,
        strides={},
    )


def _ranks(keys: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """int32 [B]: the place of each target, from 1, in the lists of `row_keys`; NOT_FOUND where it is not in one."""
    row, item = rows_and_items(keys)
    first = np.searchsorted(row, row)
    ranks = np.full(len(targets), NOT_FOUND, np.int32)
    is_target = item == targets[row]
    ranks[row[is_target]] = (np.arange(len(keys)) - first + 1)[is_target]
    return ranks
