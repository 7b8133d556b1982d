"""Charts of the report, drawn by matplotlib as SVG: sharp on a phone and on paper, without scripts."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seqrec.evaluation.importance.measure import Importance
from seqrec.evaluation.results import MODEL, Evaluation, RankerResult, SliceResult

# Okabe and Ito's palette: colour-blind readers can distinguish its colours too, and so can all readers in grey.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
_STYLE: Any = {
    "svg.hashsalt": "seqrec",  # Makes equal charts equal files.
    "svg.fonttype": "none",  # Text stays text in the reader's own font, which makes a file a tenth as large.
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_WIDTH = 4.6  # Inches; the page scales a chart to the width it has.


def draw_rankers(results: Sequence[RankerResult], metric: str) -> str:
    """Chart of a metric: the value of every ranker, with its interval."""
    shown = [result for result in results if metric in result.metrics][::-1]
    figure, axes = _figure(0.8 + 0.34 * len(shown))
    for place, result in enumerate(shown):
        value = result.metrics[metric]
        color = COLORS[0] if result.kind == MODEL else COLORS[-1]
        if metric in result.intervals:
            axes.plot(result.intervals[metric], [place, place], color=color, linewidth=3, alpha=0.5)
        axes.plot([value], [place], "o", color=color)
        axes.annotate(f"{value:.3f}", (value, place), (0, 4), textcoords="offset points", ha="center", fontsize=7)
    axes.set_yticks(range(len(shown)), [result.name for result in shown])
    axes.set_ylim(-0.6, len(shown) - 0.2)
    _name(figure, metric)
    axes.margins(x=0.15)
    _mark_values(axes)
    return _svg(figure)


def draw_hits(evaluation: Evaluation) -> str:
    """Chart of the share of rows whose target is among the first k, for every k."""
    figure, axes = _figure(2.6)
    for color, result in zip(COLORS, evaluation.results, strict=False):
        total = sum(rows for _, rows in result.ranks)
        if not total:
            continue
        running, shares = 0, []
        for _, rows in result.ranks:
            running += rows
            shares.append(running / total)
        width = 2.2 if result.kind == MODEL else 1.0
        axes.plot([rank for rank, _ in result.ranks], shares, color=color, linewidth=width, label=result.name)
    if max((result.ranks[-1][0] for result in evaluation.results if result.ranks), default=0) > 100:
        axes.set_xscale("log")
    axes.set_xlabel("k")
    _name(figure, "Target among the first k, ties against it")
    axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, frameon=False)
    return _svg(figure)


def draw_slices(slices: Sequence[SliceResult], rankers: Sequence[str], metric: str) -> str:
    """Chart of a metric of some rankers in every part of one slicing."""
    figure, axes = _figure(0.9 + 0.3 * len(slices))
    for color, ranker in zip((COLORS[0], COLORS[-1], COLORS[1]), rankers, strict=False):
        points = [(part.metrics[ranker][metric], place) for place, part in enumerate(slices[::-1])]
        axes.plot([x for x, _ in points], [y for _, y in points], "o", color=color, label=ranker)
    axes.set_yticks(range(len(slices)), [_short(part.label) for part in slices[::-1]])
    axes.set_ylim(-0.6, len(slices) - 0.4)
    _name(figure, f"{metric} by {slices[0].slicing}")
    axes.margins(x=0.1)
    _mark_values(axes)
    axes.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.4, -0.12), ncols=2)
    return _svg(figure)


def draw_rows(slices: Sequence[SliceResult]) -> str:
    """Chart of the number of rows in each part of one slicing."""
    figure, axes = _figure(0.6 + 0.28 * len(slices))
    axes.barh([_short(part.label) for part in slices[::-1]], [part.num_rows for part in slices[::-1]], color=COLORS[5])
    for place, part in enumerate(slices[::-1]):
        axes.annotate(f"{part.num_rows:,}", (part.num_rows, place), (3, 0), textcoords="offset points", va="center")
    _name(figure, f"Rows by {slices[0].slicing}")
    axes.margins(x=0.15)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    return _svg(figure)


def draw_training(history: Sequence[dict[str, float]], column: str) -> str:
    """Chart of one column of a run's history over its epochs."""
    figure, axes = _figure(2.2)
    axes.plot([row["epoch"] for row in history], [row[column] for row in history], "o-", color=COLORS[0], markersize=4)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _name(figure, column)
    axes.grid(alpha=0.25)
    return _svg(figure)


def draw_leads(results: Sequence[RankerResult], metric: str) -> str:
    """Chart of the model's lead over every other ranker, with the interval of the difference."""
    shown = [result for result in results if metric in result.ahead_by][::-1]
    figure, axes = _figure(0.8 + 0.34 * len(shown))
    for place, result in enumerate(shown):
        value, low, high = result.ahead_by[metric]
        axes.plot([low, high], [place, place], color=COLORS[2], linewidth=3, alpha=0.5)
        axes.plot([value], [place], "o", color=COLORS[2])
    axes.axvline(0.0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(shown)), [result.name for result in shown])
    axes.set_ylim(-0.6, len(shown) - 0.4)
    _name(figure, f"Lead of the model in {metric} over")
    _mark_values(axes)
    return _svg(figure)


def draw_importance(inputs: Sequence[Importance]) -> str:
    """Chart of what a run loses when each of its inputs is permuted, with the interval."""
    shown = inputs[::-1]
    figure, axes = _figure(0.8 + 0.34 * len(shown))
    for place, each in enumerate(shown):
        color = COLORS[1] if each.is_suspect else COLORS[0]
        axes.plot([each.low, each.high], [place, place], color=color, linewidth=3, alpha=0.5)
        axes.plot([each.loss], [place], "o", color=color)
    axes.axvline(0.0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(shown)), [each.name for each in shown])
    axes.set_ylim(-0.6, len(shown) - 0.4)
    _name(figure, "Loss of NDCG@10 without")
    _mark_values(axes)
    return _svg(figure)


def draw_drift(indices: Sequence[tuple[str, float]], limit: float | None) -> str:
    """Chart of the stability index of every property by name, the largest on top, and of the limit."""
    names, values = zip(*indices[::-1], strict=True)
    figure, axes = _figure(0.8 + 0.28 * len(names))
    is_above = [limit is not None and value > limit for value in values]
    axes.barh(names, values, color=[COLORS[above] for above in is_above])
    if limit is not None:
        axes.axvline(limit, color="black", linewidth=0.8)
    _name(figure, "Population stability index")
    _mark_values(axes)
    return _svg(figure)


def _figure(height: float) -> tuple[Figure, Axes]:
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        return figure, figure.add_subplot()


def _mark_values(axes: Axes) -> None:
    """Labels few values on the axis, so that long ones do not overlap."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.grid(axis="x", alpha=0.25)


def _name(figure: Figure, title: str) -> None:
    """Puts the title above the labels too, where it has the whole width."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")


def _svg(figure: Figure) -> str:
    """The chart as a data address for an image element."""
    target = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(target, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(target.getvalue()).decode()


def _short(label: str) -> str:
    """A label without the part after its colon, shortened to fit an axis."""
    name = label.partition(":")[0]
    return name if len(name) <= 26 else name[:25] + "…"
