"""The `drift` stage: compares events, writes `drift/<name>/drift.json` and a page; fails if too much has changed."""

import html
import json
import logging
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow.compute as pc

from seqrec.core.columns import ITEM, ITEM_INDEX, SECONDS_PER_DAY
from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset, Manifest
from seqrec.core.storage import Storage
from seqrec.evaluation.drift.config import DriftConfig
from seqrec.evaluation.drift.event_counts import PROPERTIES, EventCounts, count_events, middle_day
from seqrec.evaluation.drift.feature_counts import compare_features
from seqrec.evaluation.drift.measures import Difference, compare_ordered, compare_values
from seqrec.evaluation.report import charts
from seqrec.events.vocabulary import ITEMS, read_names

_LOG = logging.getLogger(__name__)
_EPOCH = date(1970, 1, 1)
_TOP = 100  # Popularity turnover compares so many of the most frequent items.


@dataclass(frozen=True)
class Drift:
    """What differs between the reference and the new events."""

    reference: str
    new: str
    num_events: tuple[int, int]
    differences: list[Difference]  # The largest index first.
    unknown_items: float  # Share of the new events whose item does not occur in the reference.
    turnover: float  # Share of the most frequent items that were not among them in the reference.


def run_drift(storage: Storage, name: str, config: DriftConfig) -> Drift:
    """Compares `prepared/<name>` with the reference, or its later events with its earlier ones.

    Raises:
        DataError: the data is not there, a window has no events, or an index is above `config.fail_above`.
    """
    new = Dataset(storage, "prepared", name).require("prepare")
    drift = _compare(storage, new, config)
    folder = f"drift/{name}"
    storage.write_bytes(f"{folder}/drift.json", json.dumps(asdict(drift), indent=1).encode())
    storage.write_bytes(f"{folder}/drift.html", page(drift, config).encode())
    for each in drift.differences:
        _LOG.info("drift: %s: PSI %.4f%s", each.name, each.psi, "" if each.ks is None else f", KS {each.ks:.4f}")
    _LOG.info("drift: unknown items %.1f%% of events; page in %s", 100 * drift.unknown_items, storage.uri(folder))
    changed = [each for each in drift.differences if config.fail_above is not None and each.psi > config.fail_above]
    if changed:
        named = ", ".join(f"{each.name} ({each.psi:.3f})" for each in changed)
        raise DataError(
            f"{storage.uri(folder)}/drift.html: changed by more than drift.fail_above={config.fail_above}: {named}. "
            "Train again on newer events, or raise the limit."
        )
    return drift


def _compare(storage: Storage, new: Manifest, config: DriftConfig) -> Drift:
    if config.reference is not None:
        old = Dataset(storage, "prepared", config.reference).require("prepare")
        names = (config.reference, new.name)
        counts = (count_events(storage, old), count_events(storage, new))
    else:
        old = new
        day = middle_day(storage, new) if config.since is None else (date.fromisoformat(config.since) - _EPOCH).days
        first = day * SECONDS_PER_DAY
        since = _EPOCH + timedelta(days=day)
        names = (f"{new.name} before {since}", f"{new.name} since {since}")
        counts = (count_events(storage, new, end=first), count_events(storage, new, first=first))
    for window, of in zip(names, counts, strict=True):
        if not of.total:
            raise DataError(f"drift: there are no events of {window}. Move drift.since, or prepare other data.")
    differences = [*_compare_properties(*counts), *compare_features(storage, (old, new), counts, config.num_bins)]
    items = _on_reference(storage, (old, new), counts)
    differences.append(compare_values("items", *items, config.num_bins))
    differences.sort(key=lambda each: -each.psi)
    return Drift(
        reference=names[0],
        new=names[1],
        num_events=(counts[0].total, counts[1].total),
        differences=differences,
        unknown_items=float(items[1][items[0] == 0].sum() / items[1].sum()),
        turnover=_turnover(*items),
    )


def _compare_properties(before: EventCounts, after: EventCounts) -> list[Difference]:
    differences = []
    for name, (size, is_ordered) in PROPERTIES.items():
        parts = before.properties[name], after.properties[name]
        differences.append(compare_ordered(name, *parts) if is_ordered else compare_values(name, *parts, size + 1))
    return differences


def _turnover(before: np.ndarray, after: np.ndarray) -> float:
    size = min(_TOP, np.count_nonzero(before), np.count_nonzero(after))
    then, now = (np.argsort(-counts, kind="stable")[:size] for counts in (before, after))
    return 1.0 - len(np.intersect1d(then, now)) / size


def _on_reference(
    storage: Storage, manifests: tuple[Manifest, Manifest], counts: tuple[EventCounts, EventCounts]
) -> tuple[np.ndarray, np.ndarray]:
    """Events by item, with items numbered as in the reference and those that only the new data has behind them."""
    old, new = manifests
    if old.table(ITEMS).content == new.table(ITEMS).content:
        return counts[0].items, counts[1].items
    known, ids = (read_names(storage, m.table(ITEMS), ITEM_INDEX, ITEM) for m in manifests)
    place = pc.index_in(ids[1], value_set=known[1]).fill_null(-1).to_numpy()
    size = len(known[0]) + 1
    index = np.where(place >= 0, known[0][place], size + np.arange(len(place)))
    before, after = np.zeros(size + len(place), np.int64), np.zeros(size + len(place), np.int64)
    before[:size] = counts[0].items
    after[index] = counts[1].items[ids[0]]
    return before, after


def page(drift: Drift, config: DriftConfig) -> str:
    """The page as HTML, without scripts and with its chart inside."""
    limit = config.fail_above
    rows = "".join(
        f"<tr{_class(each, limit)}><td>{html.escape(each.name)}</td><td>{each.psi:.4f}</td>"
        f"<td>{'' if each.ks is None else f'{each.ks:.4f}'}</td></tr>"
        for each in drift.differences
    )
    facts: dict[str, Any] = {
        "reference": f"{drift.reference}, {drift.num_events[0]:,} events",
        "new": f"{drift.new}, {drift.num_events[1]:,} events",
        "events of items that the reference does not have": f"{drift.unknown_items:.2%}",
        f"of the {_TOP} most frequent items, new ones": f"{drift.turnover:.0%}",
        "limit (drift.fail_above)": "none" if limit is None else limit,
    }
    listed = "".join(f"<dt>{html.escape(key)}</dt><dd>{html.escape(str(value))}</dd>" for key, value in facts.items())
    title = html.escape(f"{drift.new}: drift")
    chart = charts.draw_drift([(each.name, each.psi) for each in drift.differences], limit)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><title>{title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 50rem; color: #1a1a1a; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: 0.3rem 0.6rem; text-align: right; border-bottom: 1px solid #ddd; }}
th:first-child, td:first-child {{ text-align: left; }} tr.changed td {{ background: #fff0e0; font-weight: 600; }}
dt {{ color: #555; }} dd {{ margin: 0 0 0.4rem; }} img {{ max-width: 100%; }}
</style></head><body><h1>{title}</h1><dl>{listed}</dl>
<p>PSI is the population stability index: below 0.1 little has changed, above 0.25 much. KS is the largest distance
between the cumulative shares.</p>
<img src="{chart}" alt="Chart: stability index of every property">
<table><thead><tr><th>property</th><th>PSI</th><th>KS</th></tr></thead><tbody>{rows}</tbody></table>
</body></html>
"""


def _class(each: Difference, limit: float | None) -> str:
    return ' class="changed"' if limit is not None and each.psi > limit else ""
