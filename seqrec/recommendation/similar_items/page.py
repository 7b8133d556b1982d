"""The page of item-to-item lists: what was counted and measured, and the lists of some items, popular and rare."""

import html
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from seqrec.core.storage import Storage
from seqrec.events.vocabulary import Vocabulary
from seqrec.recommendation.lists.item_names import ItemNames
from seqrec.recommendation.rankers.measuring import HIT, NDCG
from seqrec.recommendation.similar_items.list_files import NAMES, SimilarJob, open_similar

_SHOWN_ITEMS, _SHOWN_NEIGHBOURS = 8, 6  # Items of each group, and neighbours of an item.
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: .5rem 0 1.5rem } td, th { padding: .2rem .8rem .2rem 0; text-align: left }
th { border-bottom: 1px solid #999; font-weight: 600 } td.n { text-align: right; font-variant-numeric: tabular-nums }
section { border-top: 1px solid #ddd; padding: .4rem 0 } h3 { margin: .3rem 0; font-size: 1rem }
.bar { display: inline-block; height: .7em; background: #3b6ea5; margin-right: .4em } small { color: #666 }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd } section { border-color: #333 } }
"""


def similar_items_page(
    job: SimilarJob,
    storage: Storage,
    name: str,
    vocabulary: Vocabulary,
    counts: Mapping[str, int],
    measured: Mapping[str, Any] | None,
) -> str:
    """An HTML page without scripts or links to elsewhere."""
    names, finder = ItemNames.open(storage, f"{job.path}/{NAMES}"), open_similar(storage, job)
    parts = [f"<h1>What goes with each item of {_text(name)}</h1>", _summary(job, counts)]
    if measured is not None:
        parts.append(_measured(measured))
    for title, items in _groups(vocabulary.train_count).items():
        parts.append(f"<h2>{_text(title)}</h2>")
        found = finder.find(items)[job.config.kind]
        for row, item in enumerate(items):
            shown = found.items[row, :_SHOWN_NEIGHBOURS]
            shown = shown[shown > 0]
            parts.append(
                _item(names, int(item), int(vocabulary.train_count[item]), shown, found.scores[row, : len(shown)])
            )
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
    return f"<!doctype html><html lang='en'><head>{head}<title>{_text(name)}</title></head><body>" + "".join(parts)


def _groups(train_count: np.ndarray) -> dict[str, np.ndarray]:
    """A title for each group of items shown: the most popular, those in the middle, and those seldom taken."""
    order = np.argsort(-train_count[1:], kind="stable") + 1
    trained = order[train_count[order] > 0]
    middle, rare = len(trained) // 8, (len(trained) * 3) // 4
    groups = {
        "The most popular items": trained[:_SHOWN_ITEMS],
        "Items more popular than seven of eight": trained[middle : middle + _SHOWN_ITEMS],
        "Items more popular than one of four": trained[rare : rare + _SHOWN_ITEMS],
    }
    return {title: items for title, items in groups.items() if len(items)}


def _summary(job: SimilarJob, counts: Mapping[str, int]) -> str:
    config = job.config
    run = "" if config.run is None else f", vectors of the run {_text(config.run)}"
    said = f"{counts['items']:,} items, at most {config.k} each; {counts['items_without_a_list']:,} have none, "
    said += f"{counts['short_lists']:,} have fewer."
    return f"<p>Kind of list: {_text(config.kind.replace('_', ' '))}{run}. {said}</p>"


def _measured(measured: Mapping[str, Any]) -> str:
    rows = []
    for name, metrics in measured["measured"].items():
        cells = [f"<td>{_text(name)}</td>"]
        for metric in (HIT, NDCG):
            low, high = metrics[metric]["interval"]
            cells.append(f"<td class=n>{metrics[metric]['value']:.4f} <small>{low:.4f}–{high:.4f}</small></td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    head = f"<tr><th>lists of a user's</th><th>{HIT.replace('_', ' ')}</th><th>{NDCG}</th></tr>"
    about = f"<p>How often the event that came next ({_text(measured['split'])} targets) is in these lists:</p>"
    return f"{about}<table>{head}{''.join(rows)}</table>"


def _item(names: ItemNames, item: int, count: int, neighbours: np.ndarray, scores: np.ndarray) -> str:
    ids, titles = names.look_up(np.array([item, *neighbours], np.int64))
    own, *others = [_label(place, ids, titles) for place in range(len(ids))]
    top = max(float(scores.max(initial=0.0)), 1e-12)
    rows = "".join(
        f"<tr><td><span class=bar style='width:{max(1, round(90 * float(score) / top))}px'></span></td>"
        f"<td>{other}</td></tr>"
        for other, score in zip(others, scores, strict=True)
    )
    return f"<section><h3>{own} <small>{count:,} events</small></h3><table>{rows or 'No list.'}</table></section>"


def _label(place: int, ids: pa.Array, titles: pa.Array) -> str:
    item, title = ids[place].as_py(), titles[place].as_py()
    return _text(item) if title is None else f"{_text(title)} <small>{_text(item)}</small>"


def _text(value: str) -> str:
    return html.escape(value)
