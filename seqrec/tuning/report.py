"""Writes a study as one page that opens anywhere, and as a table that other programs read."""

import csv
import html
import io
from collections.abc import Sequence
from typing import Any

from seqrec.tuning.comparison import Comparison
from seqrec.tuning.plots import as_image, history_plot, importance_plot, learning_plot, slice_plot
from seqrec.tuning.search_space import SearchSpace
from seqrec.tuning.study import Study
from seqrec.tuning.trial_records import DONE, FAILED, PRUNED, TrialRecord, best_of

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;font-size:13px}"
    "td,th{padding:2px 10px;text-align:right;border-bottom:1px solid #ddd}"
    "td:first-child,th:first-child,td.text{text-align:left}img{max-width:100%}pre{background:#f5f5f5;padding:.6rem}"
)


def trials_csv(records: Sequence[TrialRecord]) -> bytes:
    """One row per trial: number, state, best metric and its epoch, epochs, seconds, settings, error."""
    keys = list(dict.fromkeys(key for record in records for key in record.settings))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["trial", "state", "value", "best_epoch", "epochs", "seconds", *keys, "error"])
    for r in records:
        settings = [r.settings.get(key, "") for key in keys]
        head = [r.number + 1, r.state, "" if r.value is None else r.value, r.best_epoch or "", len(r.rows), r.seconds]
        writer.writerow([*head, *settings, r.error or ""])
    return text.getvalue().encode()


def summary_line(records: Sequence[TrialRecord]) -> str:
    """A line with the number of trials in each state, their epochs and their time."""
    by_state = {state: [r for r in records if r.state == state] for state in (DONE, PRUNED, FAILED)}
    seconds = sum(record.seconds for record in records)
    epochs = sum(len(record.rows) for record in records)
    counts = ", ".join(f"{len(found)} {state}" for state, found in by_state.items())
    return f"{len(records)} trials ({counts}), {epochs} epochs, {seconds:,.0f} s of training"


def comparison_lines(comparison: Comparison, metrics: Sequence[str] = ()) -> list[str]:
    """The comparison as lines of a text table."""
    shown = [name for name in (metrics or comparison.metrics) if name in comparison.metrics]
    seeds = len(comparison.seeds)
    title = f"test split, {comparison.num_rows:,} rows with {comparison.num_negatives} negatives, {seeds} seeds each"
    lines = [title, f"{'':12} {'winner':>8} {'default':>8} {'lead':>9} {'interval':>20} {'p-value':>8}  seeds ahead"]
    for name in shown:
        m = comparison.metrics[name]
        winner, default = sum(m.winner) / seeds, sum(m.default) / seeds
        span = f"[{m.interval[0]:+.4f}, {m.interval[1]:+.4f}]"
        lines.append(
            f"{name:12} {winner:8.4f} {default:8.4f} {m.difference:+9.4f} {span:>20} {m.p_value:8.4f}  "
            f"{m.num_seeds_ahead} of {seeds}"
        )
    return lines


def report_page(
    name: str, study: Study, space: SearchSpace, metric: str, best_yaml: str, comparison: Comparison | None
) -> str:
    """A page with the plots of history, learning, importance and slices, the comparison, and all trials."""
    records, best, shares = study.records, best_of(study.records), study.importances()
    assert best is not None
    parts = [
        f"<h1>Study {html.escape(name)}</h1><p>{summary_line(records)}. Best: trial {best.number + 1}, validation "
        f"{metric} {best.value:.4f} after epoch {best.best_epoch}.</p>",
        "<h2>Winner against default</h2>",
        _comparison_part(comparison),
        "<h2>History</h2>",
        _image(history_plot(records, metric), "best metric of each trial"),
        _image(learning_plot(records, metric), "metric by epoch; pruned trials in yellow"),
        "<h2>Importance</h2>",
        _image(importance_plot(shares), "importance") if shares else "<p>There are too few trials to estimate it.</p>",
        "<h2>Slices</h2>",
        _image(slice_plot(records, space, metric), "metric against each entry alone; pruned trials in yellow"),
        "<h2>Trials</h2>",
        _trials_table(records, metric),
        f"<h2>Best setting</h2><pre>{html.escape(best_yaml)}</pre>",
    ]
    head = f"<meta charset='utf-8'><title>Study {html.escape(name)}</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang='en'><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def _comparison_part(comparison: Comparison | None) -> str:
    if comparison is None:
        return "<p>Not compared: tuning.num_compared_seeds is 0. A best trial alone may be a lucky one.</p>"
    note = (
        f"<p>Interval of {comparison.confidence:.0%}: bootstrap of users and seeds, {comparison.num_replicates} draws. "
        "p-value: two-sided sign-flip test over users, of each user's mean difference over the seeds. Neither the "
        "search nor the choice of epochs has seen the test split.</p>"
    )
    by_seed = "".join(
        f"<tr><td>{html.escape(name)}</td>"
        + "".join(f"<td>{w:.4f} − {d:.4f}</td>" for w, d in zip(m.winner, m.default, strict=True))
        + "</tr>"
        for name, m in comparison.metrics.items()
    )
    seeds = "".join(f"<th>seed {seed}</th>" for seed in comparison.seeds)
    table = f"<table><tr><th>winner − default</th>{seeds}</tr>{by_seed}</table>"
    return f"<pre>{html.escape(chr(10).join(comparison_lines(comparison)))}</pre>{note}{table}"


def _trials_table(records: Sequence[TrialRecord], metric: str) -> str:
    names = list(dict.fromkeys(name for record in records for name in record.drawn))
    head = ["trial", "state", metric, "epoch", "epochs", "seconds", *(name.rpartition(".")[2] for name in names)]
    lines = ["<tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in [*head, "error"]) + "</tr>"]
    for r in records:
        value = "" if r.value is None else f"{r.value:.4f}"
        cells = [r.number + 1, r.state, value, r.best_epoch or "", len(r.rows), f"{r.seconds:.0f}"]
        cells += [_shown(r.drawn.get(name, "")) for name in names]
        row = "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells)
        lines.append(f"<tr>{row}<td class='text'>{html.escape(r.error or '')}</td></tr>")
    return f"<table>{''.join(lines)}</table>"


def _image(figure: Any, text: str) -> str:
    return f"<figure><img src='{as_image(figure)}' alt='{html.escape(text)}'><figcaption>{text}</figcaption></figure>"


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
