"""One self-contained page about a run: without scripts, without network, its charts inside."""

import csv
import html
import importlib.resources
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from string import Template
from typing import Any

from seqrec.core.manifest import Dataset
from seqrec.core.metrics import METRICS, Reads, metrics_that_read
from seqrec.core.storage import Storage
from seqrec.evaluation.importance.measure import ImportanceTable, read_importance
from seqrec.evaluation.report import charts
from seqrec.evaluation.results import MODEL, Evaluation, RankerResult, SliceResult, current_evaluations, varies

_SLICE_METRIC = "group_auc"
_CHART_METRICS = ("auc", "group_auc", "ndcg@10", "hit_rate@10", "mrr")
_SETUP = ("candidates", "negative_sampling", "correction", "split_method", "tie_order", "seed", "num_users", "num_rows")
_MORE_SETUP = ("num_items", "num_trained_items", "ties", "averages", "intervals")


def report_path(run: str) -> str:
    """The path of a run's report, relative to the workdir."""
    return f"runs/{run}/evaluations/report.html"


def write_report(storage: Storage, run: str, other_runs: Sequence[str] = ()) -> str:
    """Writes the report of a run's evaluations beside those of other runs, and returns its address."""
    stored = {each: current_evaluations(storage, each) for each in dict.fromkeys([run, *other_runs])}
    histories = {each: read_history(storage, each) for each in stored}
    page = build_report(run, stored, histories, read_importance(storage, run))
    storage.write_bytes(report_path(run), page.encode())
    return storage.uri(report_path(run))


def read_history(storage: Storage, run: str) -> list[dict[str, float]]:
    """The epochs of a run's training with all columns that are numbers; empty if the run has no history."""
    manifest = Dataset(storage, "runs", run).manifest()
    path = f"runs/{run}/{manifest.id}/history.csv" if manifest else ""
    if not path or not storage.exists(path):
        return []
    rows = csv.DictReader(io.StringIO(storage.read_bytes(path).decode()))
    return [{key: float(value) for key, value in row.items() if _is_number(value)} for row in rows]


def build_report(
    run: str,
    stored: Mapping[str, Sequence[Evaluation]],
    histories: Mapping[str, Sequence[dict[str, float]]],
    importance: ImportanceTable | None = None,
) -> str:
    """The page as HTML.

    Args:
        stored: evaluations by run, those of `run` first.
        histories: epochs by run.
    """
    own = stored[run]
    sections = [(f"{each.split}, {each.protocol}", _evaluation_section(each)) for each in own]
    others = [each for other in stored if other != run for each in stored[other]]
    if others:
        sections.append(("Runs beside each other", _runs_section([*own, *others])))
    trained = {each: history for each, history in histories.items() if history}
    if trained:
        sections.append(("Training", "".join(_training_part(each, rows) for each, rows in trained.items())))
    if importance is not None:
        sections.append(("What mattered", _importance_section(importance)))
    sections.append(("Lineage", _lineage_section(own[0])))
    template = importlib.resources.files("seqrec.evaluation.report").joinpath("report.html").read_text(encoding="utf-8")
    first = own[0]
    return Template(template).substitute(
        title=_text(f"{run}: evaluation"),
        summary=_text(
            f"Model {first.model} on {first.setup['data']}. A number compares only with others of the same protocol, "
            "candidates and split. Whiskers and small figures are "
            f"{first.lineage['evaluation']['confidence']:.0%} intervals over users."
        ),
        links="".join(f'<a href="#{_anchor(name)}">{_text(name)}</a>' for name, _ in sections),
        body="\n".join(
            f'<section id="{_anchor(name)}"><h2>{_text(name)}</h2>{body}</section>' for name, body in sections
        ),
        footer=_text(f"seqrec {first.lineage['versions'].get('seqrec', '')}, {first.lineage['evaluated']}"),
    )


def _evaluation_section(evaluation: Evaluation) -> str:
    results = evaluation.results
    metrics, beyond = _split_metrics(evaluation)
    parts = [_definitions((key, evaluation.setup.get(key)) for key in _SETUP)]
    parts += [f'<p class="note">{_text(note)}</p>' for note in evaluation.notes]
    parts.append(_table(["ranking", *metrics], [_result_row(result, metrics) for result in results], _classes(results)))
    if beyond:
        rows = [_result_row(result, beyond) for result in results]
        parts += ["<h3>Which items come first</h3>", _table(["ranking", *beyond], rows, _classes(results))]
    shown = [name for name in _CHART_METRICS if name in metrics][:4]
    images = [(charts.draw_rankers(results, name), f"{name} of every ranking") for name in shown]
    images.append((charts.draw_hits(evaluation), "share of targets among the first k"))
    if any(result.ahead_by for result in results):
        lead_in = "ndcg@10" if "ndcg@10" in shown else shown[0]
        images.append((charts.draw_leads(results, lead_in), f"lead of the model in {lead_in}"))
    parts.append(_charts(images))
    if any(result.corrected for result in results):
        names = list(results[0].corrected)
        rows = [[_text(result.name), *(f"{result.corrected[name]:.4f}" for name in names)] for result in results]
        parts += ["<h3>Corrected for sampling</h3>", f"<p>{_text(str(evaluation.setup['correction']))}</p>"]
        parts.append(_table(["ranking", *names], rows, _classes(results)))
    if evaluation.comparison:
        parts.append(_comparison_part(evaluation, evaluation.comparison))
    parts.append(_slices_part(evaluation))
    parts.append("<h3>What the numbers are</h3>")
    meanings = [(metric.at("k"), metric.meaning) for metric in METRICS.values()]
    parts.append(_definitions([*((key, evaluation.setup.get(key)) for key in _MORE_SETUP), *meanings]))
    return "".join(parts)


def _split_metrics(evaluation: Evaluation) -> tuple[list[str], list[str]]:
    """Names of the metrics of accuracy that can vary, and of those of the first items, which have no intervals."""
    of_top_items = {metric.name for metric in metrics_that_read(Reads.TOP_ITEMS)}
    measured = [name for name in evaluation.results[0].metrics if varies(name, evaluation)]
    beyond = [name for name in measured if name.split("@")[0] in of_top_items]
    return [name for name in measured if name not in beyond], beyond


def _result_row(result: RankerResult, metrics: Sequence[str]) -> list[str]:
    cells = [_text(result.name)]
    for name in metrics:
        value = result.metrics.get(name)
        cell = "" if value is None else _number(value)
        if name in result.intervals:
            low, high = result.intervals[name]
            cell += f"<small>{_number(low)}–{_number(high)}</small>"
        cells.append(cell)
    return cells


def _comparison_part(evaluation: Evaluation, comparison: Mapping[str, Any]) -> str:
    rows = [
        [
            _text(name),
            f"{each['difference']:+.4f}",
            f"{each['interval'][0]:+.4f} to {each['interval'][1]:+.4f}",
            f"{each['p_value']:.4f}",
        ]
        for name, each in comparison["metrics"].items()
        if varies(name, evaluation)
    ]
    heading = f"<h3>Against the run {_text(comparison['other'])}</h3><p>{_text(comparison['test'])}</p>"
    return heading + _table(["metric", "difference", "interval", "p"], rows)


def _slices_part(evaluation: Evaluation) -> str:
    by_slicing: dict[str, list[SliceResult]] = {}
    for part in evaluation.slices:
        by_slicing.setdefault(part.slicing, []).append(part)
    model = evaluation.results[0].name
    baselines = [result for result in evaluation.results if result.kind != MODEL]
    best = max(baselines, key=lambda result: result.metrics[_SLICE_METRIC], default=None)
    shown = [model] if best is None else [model, best.name]
    measured = list(evaluation.slices[0].metrics[model]) if evaluation.slices else []
    names = [name for name in measured if varies(name, evaluation)]
    images, rows = [], []
    for slicing, parts in by_slicing.items():
        if len(parts) > 1:
            images.append((charts.draw_slices(parts, shown, _SLICE_METRIC), f"{_SLICE_METRIC} by {slicing}"))
            images.append((charts.draw_rows(parts), f"rows by {slicing}"))
        for part in parts:
            values = (_number(part.metrics[model][name]) for name in names)
            rows.append([_text(f"{slicing}: {part.label}"), f"{part.num_rows:,}", *values])
    table = _table(["slice", "rows", *names], rows)
    return f"<h3>By slice</h3>{_charts(images)}<details><summary>The model in every slice</summary>{table}</details>"


def _runs_section(evaluations: Sequence[Evaluation]) -> str:
    """A row for every run, with the settings in which the runs differ, such as those of compatibility."""
    parts = []
    for kind in dict.fromkeys((each.split, each.protocol, each.setup["candidates_key"]) for each in evaluations):
        same = [each for each in evaluations if (each.split, each.protocol, each.setup["candidates_key"]) == kind]
        metrics, _ = _split_metrics(same[0])
        settings = [{"model": each.model, **each.lineage["runs"][0]["model"]} for each in same]
        for own in settings:
            own.pop("name", None)  # This repeats the model's name.
        keys = [key for key in settings[0] if len({json.dumps(each.get(key)) for each in settings}) > 1]
        rows = [
            [
                _text(each.run),
                *(_text(json.dumps(own.get(key)).strip('"')) for key in keys),
                *_result_row(each.results[0], metrics)[1:],
            ]
            for each, own in zip(same, settings, strict=True)
        ]
        parts.append(f"<h3>{_text(f'{kind[0]}, {kind[1]}')}</h3>" + _table(["run", *keys, *metrics], rows))
        results = [replace(each.results[0], name=each.run) for each in same]
        shown = [name for name in _CHART_METRICS if name in metrics][:4]
        parts.append(_charts((charts.draw_rankers(results, name), f"{name} of every run") for name in shown))
    return "".join(parts)


def _training_part(run: str, history: Sequence[dict[str, float]]) -> str:
    columns = [name for name in history[0] if name != "epoch" and all(name in row for row in history)]
    rows = [[f"{row['epoch']:.0f}", *(_number(row[name]) for name in columns)] for row in history]
    images = [
        (charts.draw_training(history, name), f"{name} by epoch")
        for name in columns
        if name.split("@")[0] in ("loss", "auc", "group_auc", "ndcg", "learning_rate")
    ]
    table = _table(["epoch", *columns], rows)
    return f"<h3>{_text(run)}</h3>{_charts(images)}<details><summary>Every epoch</summary>{table}</details>"


def _importance_section(table: ImportanceTable) -> str:
    text = (
        f"What NDCG@10 among the whole catalogue, {table.value:.4f} on {table.num_rows:,} rows of validation, loses "
        "when one input gets the values of other items, or of other places in the history; with 95% intervals."
    )
    parts = [f"<p>{_text(text)}</p>", _charts([(charts.draw_importance(table.inputs), "loss without each input")])]
    suspects = ", ".join(each.name for each in table.inputs if each.is_suspect)
    if suspects:
        warning = f"Beyond belief: {suspects}. Check that it is known before the event and does not name the target."
        parts.append(f'<p class="note">{_text(warning)}</p>')
    return "".join(parts)


def _lineage_section(evaluation: Evaluation) -> str:
    lineage = evaluation.lineage
    parts = []
    for manifest in (lineage["prepared"], *lineage["runs"]):
        parts.append(f"<h3>{_text(manifest['stage'])}: {_text(manifest['name'])}</h3>")
        parts.append(_definitions((key, manifest[key]) for key in ("id", "content", "recipe", "created", "seconds")))
        parts.append(
            _details("settings, inputs and counts", {k: manifest[k] for k in ("settings", "inputs", "counts")})
        )
    parts.append("<h3>evaluate</h3>")
    parts.append(_definitions([("evaluated", lineage["evaluated"]), *evaluation.seconds.items()]))
    parts.append(_details("settings and versions", {k: lineage[k] for k in ("evaluation", "versions")}))
    return "".join(parts)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], classes: Sequence[str] = ()) -> str:
    body = "".join(
        f'<tr class="{classes[place] if classes else ""}">' + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>"
        for place, row in enumerate(rows)
    )
    titles = "".join(f"<th>{_text(name)}</th>" for name in head)
    return f'<div class="wide" tabindex="0"><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'


def _charts(images: Iterable[tuple[str, str]]) -> str:
    drawn = "".join(f'<img src="{address}" alt="Chart: {_text(what)}">' for address, what in images)
    return f'<div class="charts">{drawn}</div>'


def _definitions(pairs: Iterable[tuple[str, Any]]) -> str:
    items = "".join(
        f"<dt>{_text(key.replace('num_', '').replace('_', ' '))}</dt><dd>{_text(_plain(value))}</dd>"
        for key, value in pairs
    )
    return f"<dl>{items}</dl>"


def _details(title: str, content: Any) -> str:
    return f"<details><summary>{_text(title)}</summary><pre>{_text(json.dumps(content, indent=1))}</pre></details>"


def _classes(results: Sequence[RankerResult]) -> list[str]:
    return ["model" if result.kind == MODEL else "" for result in results]


def _plain(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"


def _is_number(value: str | None) -> bool:
    try:
        float(value or "")
    except ValueError:
        return False
    return True


def _anchor(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())


def _text(value: str) -> str:
    return html.escape(value)
