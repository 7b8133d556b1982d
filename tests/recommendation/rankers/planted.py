"""Prepared data in which an item follows from the one before in most cases, written without Spark."""

from dataclasses import replace
from typing import Any

import numpy as np

from seqrec.core import columns as C
from seqrec.core.manifest import Dataset, Manifest, Recipe, digest_of
from seqrec.core.storage import Storage
from tests.feed.prepared_data import write_rows

DAY = 86_400
NUM_ITEMS, NUM_USERS = 40, 500


def histories(seed: int) -> dict[str, list[int]]:
    """Items of each user, none twice: item i is followed by i + 7 in two of three cases."""
    random = np.random.default_rng(seed)
    found = {}
    for number in range(NUM_USERS):
        items = [int(random.integers(1, NUM_ITEMS + 1))]
        while len(items) < 6:
            follows = random.random() < 2 / 3
            item = (items[-1] + 6) % NUM_ITEMS + 1 if follows else int(random.integers(1, NUM_ITEMS + 1))
            if item not in items:
                items.append(item)
        found[f"user{number:03d}"] = items
    return found


def write_planted(
    storage: Storage,
    *,
    shuffle_targets: bool = False,
    reverse: bool = False,
    test_days_later: int = 0,
    num_files: int = 2,
) -> Manifest:
    """Publishes `prepared/planted`.

    Args:
        shuffle_targets: give each user another's target of validation, and a third one's of test, so that neither
            follows from what comes before it.
        reverse: write users in the opposite order.
        test_days_later: move the test events by so much.
    """
    of_users = histories(seed=1)
    users = list(of_users)
    random = np.random.default_rng(2)
    givers = [dict(zip(users, random.permutation(users) if shuffle_targets else users, strict=True)) for _ in range(2)]
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ("train", "validation", "test", "latest")}
    for user in reversed(users) if reverse else users:
        items = [*of_users[user][:-2], of_users[givers[0][user]][-2], of_users[givers[1][user]][-1]]
        times = [(16_000 + 10 * place) * DAY for place in range(len(items))]
        times[-1] += test_days_later * DAY
        first = {C.USER: user, C.FIRST_TIMESTAMP: times[0]}
        rows["train"].append({**first, C.ITEM_INDICES: items[:-2], C.TIMESTAMPS: times[:-2], C.NUM_CONTEXT: 1})
        rows["latest"].append({**first, C.HISTORY_ITEMS: items, C.HISTORY_TIMESTAMPS: times})
        for split, end in (("validation", len(items) - 2), ("test", len(items) - 1)):
            history = {C.POSITION: end, C.HISTORY_ITEMS: items[:end], C.HISTORY_TIMESTAMPS: times[:end]}
            target = {C.TARGET_ITEM: items[end], C.TARGET_TIMESTAMP: times[end], C.NEGATIVE_ITEMS: [1, 2]}
            rows[split].append({**first, **history, **target})
    counts = np.bincount([i for items in of_users.values() for i in items[:-2]], minlength=NUM_ITEMS + 1)
    vocabulary = [
        {C.ITEM_INDEX: index, C.ITEM: f"B{index:03d}", C.CATEGORY_INDEX: 1, C.TRAIN_COUNT: int(counts[index])}
        for index in range(1, NUM_ITEMS + 1)
    ]
    attempt = Dataset(storage, "prepared", "planted").begin(Recipe(stage="prepare", settings={}, inputs={}))
    tables = {"vocabulary/items": vocabulary, "vocabulary/categories": [{C.CATEGORY_INDEX: 1, C.CATEGORY: "kind"}]}
    tables |= {f"sequences/{split}": found for split, found in rows.items()}
    written = {
        table: replace(
            write_rows(
                storage,
                f"{attempt.path}/{table}",
                [found] if table.startswith("vocabulary") else [found[n::num_files] for n in range(num_files)],
            ),
            content=digest_of(sorted(map(str, found)))[:16],
        )
        for table, found in tables.items()
    }
    details = {"num_trained_items": NUM_ITEMS, "num_items": NUM_ITEMS, "num_categories": 1}
    return attempt.publish(tables=written, counts={}, details=details)
