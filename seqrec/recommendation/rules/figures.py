"""What lists are worth beside accuracy, as sums that add up over files: novelty, likeness within a list, surprise.

Legend: B lists of k places.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table

from seqrec.core.metrics import Reads, metrics_that_read
from seqrec.events.rows import UserHistories
from seqrec.recommendation.rules.selection import vectors_of

_LOG = logging.getLogger(__name__)
ALL_LISTS = "lists"  # The lists that are published.
SEGMENTS = ((0, "no event"), (1, "1-4 events"), (5, "5-9 events"), (10, "10-19 events"), (20, "20+ events"))


@dataclass(frozen=True)
class FiguresInputs:
    """What figures read of items, by item index from 0."""

    train_count: np.ndarray  # int64
    category: np.ndarray  # int32
    vectors: np.ndarray | None  # float32 [M, V]; without them likeness is to be of the same category.
    popular: np.ndarray  # int32: the list of a user of whom nothing is known; a hit outside it surprises.


def count_figures(inputs: FiguresInputs, name: str, items: np.ndarray, histories: UserHistories) -> Counter[str]:
    """Sums of some lists, int32 [B, k], with keys "name/figure"; those of targets only where there are targets."""
    is_real = items > 0
    lengths, k = is_real.sum(axis=1), items.shape[1]
    total = inputs.train_count.sum() + len(inputs.train_count) - 1.0
    novelty = np.where(is_real, -np.log2((inputs.train_count[items] + 1.0) / total), 0.0).sum(axis=1)
    values = {
        "lists": np.ones(len(items)),
        "items": lengths,
        "novelty": novelty / np.maximum(lengths, 1),
        "filled": lengths > 0,
        "unlikeness": unlikeness(inputs, items),
        "pairs": lengths > 1,
    }
    if histories.target_items is not None:
        is_hit = (items == histories.target_items[:, None]) & is_real
        for metric, by_rank in list_metrics(k).items():
            values[metric] = is_hit @ by_rank
        values[f"surprising_hit_rate@{k}"] = (is_hit & ~np.isin(items, inputs.popular)).any(axis=1)
    return Counter({f"{name}/{figure}": float(each.sum()) for figure, each in values.items()})


def count_segments(items: np.ndarray, inputs: FiguresInputs, histories: UserHistories) -> Counter[str]:
    """The figures of users by the length of their history."""
    starts = [start for start, _ in SEGMENTS]
    place = np.searchsorted(starts, histories.lengths, side="right") - 1
    counted: Counter[str] = Counter()
    for number, (_, label) in enumerate(SEGMENTS):
        rows = np.flatnonzero(place == number)
        if len(rows):
            counted.update(count_figures(inputs, label, items[rows], histories.take(rows)))
    return counted


def unlikeness(inputs: FiguresInputs, items: np.ndarray) -> np.ndarray:
    """float64 [B]: mean over the pairs of a list of 1 less their cosine, or of whether their categories differ."""
    is_real = items > 0
    lengths = is_real.sum(axis=1)
    if inputs.vectors is not None:
        vectors = vectors_of(inputs.vectors, items).astype(np.float64)
        sums = vectors.sum(axis=1)
        num_known = (np.square(vectors).sum(axis=2) > 0.5).sum(axis=1)  # A vector of zeros is like nothing.
        alike = (np.square(sums).sum(axis=1) - num_known) / 2
    else:
        category = np.where(is_real, inputs.category[items], 0)
        same = (category[:, :, None] == category[:, None, :]) & (category[:, :, None] > 0)
        alike = (same.sum(axis=(1, 2)) - (category > 0).sum(axis=1)) / 2
    num_pairs = lengths * (lengths - 1) / 2
    result: np.ndarray = np.where(num_pairs > 0, 1.0 - alike / np.maximum(num_pairs, 1), 0.0)
    return result


def list_metrics(k: int) -> dict[str, np.ndarray]:
    """Metrics of lists of `k` items by name: float64 [k], the value of a row by the rank of its target in the list.

    They are those that are 0 for a target outside the list: what reads ranks alone, and has a cutoff.
    """
    ranks = np.arange(1, k + 1)
    return {metric.at(k): metric.function(ranks, k) for metric in metrics_that_read(Reads.RANKS) if metric.has_cutoff}


def figures_of(counted: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Name of the lists -> figure -> mean over lists; `unlikeness` over those of two items, `novelty` of one."""
    found: dict[str, dict[str, float]] = {}
    for key, value in counted.items():
        name, _, figure = key.partition("/")
        found.setdefault(name, {})[figure] = value
    return {name: _means(sums) for name, sums in found.items()}


def _means(sums: Mapping[str, float]) -> dict[str, float]:
    lists = max(1.0, sums["lists"])
    means = {"lists": sums["lists"], "length": sums["items"] / lists, "filled": sums["filled"] / lists}
    means["novelty"] = sums["novelty"] / max(1.0, sums["filled"])
    means["unlikeness"] = sums["unlikeness"] / max(1.0, sums["pairs"])
    return means | {name: value / lists for name, value in sums.items() if "@" in name}


def spread(num_lists: np.ndarray, num_items: np.ndarray, catalogue: int) -> dict[str, float]:
    """How lists spread over a catalogue: the share of it that is in any list, and the Gini index of how often.

    Args:
        num_lists: int64 [n], numbers of lists that hold an item, each number once; `num_items` of the items that are in
            so many.
    """
    order = np.argsort(num_lists)
    times, items = num_lists[order].astype(np.float64), num_items[order].astype(np.float64)
    listed, total = items.sum(), (times * items).sum()
    if not total:
        return {"coverage": 0.0, "gini": 0.0}
    unlisted = catalogue - listed
    before = unlisted + np.cumsum(items) - items  # Items that are in fewer lists than these.
    # Sum over items, from the least listed, of place times number: places before + 1 to before + items.
    weighted = (times * (items * before + items * (items + 1) / 2)).sum()
    gini = 2 * weighted / (catalogue * total) - (catalogue + 1) / catalogue
    return {"coverage": float(listed / catalogue), "gini": float(gini)}


def figures_table(figures: Mapping[str, Mapping[str, Any]], title: str) -> Table:
    """For people: a row for the lists of each name; differences are to the first row."""
    table = Table(title=title)
    names = list(next(iter(figures.values())))
    for heading in ("lists", *names[1:]):
        table.add_column(heading.replace("_", " "), justify="left" if heading == "lists" else "right", overflow="fold")
    first = next(iter(figures.values()))
    for name, values in figures.items():
        cells = [name]
        for figure in names[1:]:
            change = values[figure] - first[figure]
            has_change = "@" in figure and abs(change) > 5e-7
            cells.append(f"{values[figure]:.4f}" + (f" ({change:+.4f})" if has_change else ""))
        table.add_row(*cells)
    return table


def log_rules(report: Mapping[str, Mapping[str, Any]], counts: Mapping[str, Any]) -> None:
    """For people: what each rule bars, which ids of its file are unknown, and what it took out of lists."""
    for rule, facts in report.items():
        if "items_barred" in facts:
            _LOG.info("  rule %s: bars %s items", rule, f"{facts['items_barred']:,}")
        if facts.get("unknown_ids"):
            first = ", ".join(facts["first_unknown"])
            unknown, ids = f"{facts['unknown_ids']:,}", f"{facts['ids']:,}"
            _LOG.warning("  recommendation.rules.%s: %s of %s ids are unknown: %s", rule, unknown, ids, first)
    for name, count in counts.items():
        if name.startswith("removed by ") or name in ("short_lists", "empty_lists"):
            _LOG.info("  %s: %s", name.replace("_", " "), f"{count:,}")
