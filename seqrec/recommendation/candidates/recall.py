"""How many targets are among the candidates: by source, and by slice of users and targets."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.table import Table

from seqrec.events.rows import UserHistories
from seqrec.neighbours.config import FINDERS
from seqrec.neighbours.finder import Candidates, row_keys

ALL = "all"
_LENGTHS = ((1, "1-4 events"), (5, "5-9 events"), (10, "10-19 events"), (20, "20+ events"))
_COUNTS = ((0, "target never trained"), (1, "target 1-9 times"), (10, "target 10-99 times"), (100, "target 100+ times"))


def count_found(
    histories: UserHistories, lists: Mapping[str, np.ndarray], candidates: Candidates, train_count: np.ndarray
) -> Counter[str]:
    """Adds up, with keys "slice/what": `rows`, `found`, found first `by` a source, and found by a source `alone`."""
    assert histories.target_items is not None
    hit = (candidates.items == histories.target_items[:, None]) & (histories.target_items[:, None] > 0)
    found = hit.any(axis=1)
    source = candidates.sources[np.arange(len(found)), hit.argmax(axis=1)]
    target_keys = row_keys(np.arange(len(found)), histories.target_items)
    alone = {name: np.isin(target_keys, keys) for name, keys in lists.items()}
    counter: Counter[str] = Counter()
    for label, rows in _slices(histories, train_count).items():
        counter[f"{label}/rows"] += int(rows.sum())
        counter[f"{label}/found"] += int((found & rows).sum())
        for name in lists:
            counter[f"{label}/by {name}"] += int((found & rows & (source == FINDERS.index(name))).sum())
            counter[f"{label}/alone {name}"] += int((alone[name] & rows).sum())
    return counter


def recall_results(counted: Mapping[str, int]) -> dict[str, dict[str, float]]:
    """Slice -> rows, recall, the share found first by each source, and the recall of each source's list alone."""
    labels = [key.removesuffix("/rows") for key, rows in counted.items() if key.endswith("/rows") and rows]
    results = {}
    for label in labels:
        rows = counted[f"{label}/rows"]
        results[label] = {"rows": rows, "recall": counted[f"{label}/found"] / rows}
        for name in FINDERS:
            for kind in ("by", "alone"):
                if f"{label}/{kind} {name}" in counted:
                    results[label][f"{kind} {name}"] = counted[f"{label}/{kind} {name}"] / rows
    return results


def recall_table(results: Mapping[str, Mapping[str, float]], split: str, max_candidates: int) -> Table:
    """For people: by slice, the recall, and for each source what it found first and what its list finds by itself."""
    title = (
        f"recall@{max_candidates} of the {split} targets; by source: share it found first (recall of its list alone)"
    )
    table = Table(title=title)
    names = [name for name in FINDERS if f"by {name}" in results[ALL]]
    for heading in ("slice", "rows", "recall", *names):
        # In words, which wrap or fold: a narrow screen would cut names off.
        table.add_column(heading.replace("_", " "), justify="left" if heading == "slice" else "right", overflow="fold")
    for label, result in results.items():
        shares: list[Any] = [f"{result[f'by {name}']:.3f} ({result[f'alone {name}']:.3f})" for name in names]
        table.add_row(label, f"{result['rows']:,}", f"{result['recall']:.3f}", *shares)
    return table


def _slices(histories: UserHistories, train_count: np.ndarray) -> dict[str, np.ndarray]:
    """Label -> bool [B]."""
    assert histories.target_items is not None
    slices = {ALL: np.ones(len(histories), np.bool_)}
    for values, steps in ((histories.items.lengths, _LENGTHS), (train_count[histories.target_items], _COUNTS)):
        starts = [start for start, _ in steps]
        place = np.searchsorted(starts, values, side="right") - 1
        slices |= {label: place == number for number, (_, label) in enumerate(steps)}
    return slices
