"""Core-seconds and memory of features, last stage and rules: many candidates of many users, a catalogue of millions.

python -m benchmarks.rank_size FOLDER [NUM_ITEMS] [NUM_USERS] [NUM_CANDIDATES]

Tables and events are made up and lie in files below FOLDER, mapped as in a job; made once, and used again. What is
stated is processor time, which other work on the machine changes little; the logits of runs are not among it.
"""

import resource
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from seqrec.core.local_copies import map_array, save_array
from seqrec.core.storage import Storage
from seqrec.events.ragged import Ragged
from seqrec.events.rows import HistoryRows
from seqrec.neighbours.event_days import EventDays, event_keys
from seqrec.neighbours.finder import Candidates
from seqrec.neighbours.table import NeighbourTable
from seqrec.recommendation.rules.selection import ItemFacts, ListRules
from seqrec.recommendation.rules_config import RulesConfig
from seqrec.reranking.boosted_trees import fit_trees
from seqrec.reranking.config import RankerConfig
from seqrec.reranking.fit_rows import FitRows
from seqrec.reranking.pair_features import PairFeatures

_DAY, _NOW = 86_400, 18_000 * 86_400
_TABLES, _NEIGHBOURS, _BLOCK, _TREES = ("co_visitation", "transitions"), 20, 256, 150


def make_tables(storage: Storage, num_items: int) -> None:
    random = np.random.default_rng(1)
    offsets = np.arange(num_items + 2, dtype=np.int64) * _NEIGHBOURS
    offsets[1:] -= _NEIGHBOURS  # Item 0 has none.
    for name in _TABLES:
        items = random.integers(1, num_items + 1, offsets[-1], dtype=np.int32)
        weights = random.random(offsets[-1], dtype=np.float32)
        NeighbourTable(offsets, items, weights).save(storage, name)
    events = random.integers(1, num_items + 1, 10 * num_items, dtype=np.int32)
    keys = event_keys(events, random.integers(_NOW - 2_000 * _DAY, _NOW, len(events)))
    keys.sort()
    save_array(storage, "event_days.npy", keys)
    save_array(storage, "train_count.npy", np.bincount(events, minlength=num_items + 1))
    save_array(storage, "item_category.npy", random.integers(0, 5_000, num_items + 1, dtype=np.int32))


def make_block(
    num_items: int, num_candidates: int, number: int, table: NeighbourTable
) -> tuple[HistoryRows, Candidates]:
    """Histories of 5 to 30 events, and candidates of which half are neighbours of the last items."""
    random = np.random.default_rng([2, number])
    lengths = random.integers(5, 31, _BLOCK)
    items = random.integers(1, num_items + 1, lengths.sum(), dtype=np.int32)
    times = _NOW - np.sort(random.integers(0, 900 * _DAY, len(items)))[::-1]
    histories = HistoryRows(
        items=Ragged.from_lengths(items, lengths),
        timestamps=times,
        first_timestamps=np.full(_BLOCK, times[0]),
        as_of=np.full(_BLOCK, _NOW),
    )
    found = random.integers(1, num_items + 1, (_BLOCK, num_candidates), dtype=np.int32)
    for row, last in enumerate(histories.last_items(5)):
        near = np.unique(np.concatenate([table.items[table.offsets[i] : table.offsets[i + 1]] for i in last]))
        near = near[: num_candidates // 2]
        found[row, : len(near)] = near
    return histories, Candidates(found, np.zeros(found.shape, np.int8))


def main() -> None:
    folder, *numbers = sys.argv[1:]
    num_items, num_users, num_candidates = (*map(int, numbers), *(15_000_000, 20_480, 500)[len(numbers) :])
    storage = Storage(str(Path(folder) / f"items-{num_items}"))
    if not storage.exists("item_category.npy"):
        make_tables(storage, num_items)
    tables = {name: NeighbourTable.open(storage, name) for name in _TABLES}
    train_count = np.asarray(map_array(storage, "train_count.npy"))
    category = map_array(storage, "item_category.npy")
    days = EventDays(map_array(storage, "event_days.npy"))
    features = PairFeatures(tables, days, train_count, category, (), frozenset())
    ranker = fitted(features, num_items)
    brand = np.zeros(num_items + 1, np.int32)
    brand[1:] = np.arange(num_items) % 100_000
    facts = ItemFacts(np.zeros(num_items + 1, np.uint8), brand, np.asarray(category), train_count, days)
    rules = ListRules(RulesConfig(max_per_brand=2, max_per_category=3, min_long_tail=1), True, facts)
    seconds: Counter[str] = Counter()
    for number in range(num_users // _BLOCK):
        histories, candidates = make_block(num_items, num_candidates, number, tables[_TABLES[0]])
        start = time.process_time()
        rows = features.build(histories, candidates, [])
        built = time.process_time()
        scores = np.full(candidates.items.shape, -np.inf, np.float32)
        scores[rows.row, rows.column] = ranker.scores(rows.values)
        scored = time.process_time()
        rules.choose(histories, candidates, scores, 10, Counter())
        seconds.update(features=built - start, trees=scored - built, rules=time.process_time() - scored)
    users = num_users // _BLOCK * _BLOCK
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{num_items:,} items, {users:,} users of {num_candidates} candidates, {len(features.names)} features")
    for part, total in (*seconds.items(), ("all", sum(seconds.values()))):
        per_user = total / users
        print(
            f"{part:>9}: {per_user * 1e3:.3f} ms a user, {1 / per_user:,.0f} users a core-second, "
            f"{per_user * 1e6:,.0f} core-seconds for 1 million users"
        )
    print(f"resident at most {resident:.1f} GiB, pages of mapped files among it")


def fitted(features: PairFeatures, num_items: int):
    """Trees of the default size, fitted on rows in which the weight from the last item decides."""
    table = next(iter(features.tables.values()))
    histories, candidates = make_block(num_items, 100, 1_000_000, table)
    values = features.build(histories, candidates, []).values
    column = features.names.index("co_visitation_last")
    is_target = np.zeros(len(values), np.bool_)
    is_target[values[:, column].reshape(_BLOCK, 100).argmax(axis=1) + np.arange(_BLOCK) * 100] = True
    rows = FitRows(values, is_target, np.full(_BLOCK, 100))
    config = RankerConfig(num_trees=_TREES, patience=_TREES, min_leaf_rows=20)
    model = fit_trees(features.names, rows, rows, config, seed=1)
    print(f"{model.num_trees} trees of {config.num_leaves} leaves")
    return model


if __name__ == "__main__":
    main()
