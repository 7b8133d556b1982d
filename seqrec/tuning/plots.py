"""Pictures of a study: its history, the importance of each entry, and slices through the space."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seqrec.tuning.search_space import SearchSpace, label_of
from seqrec.tuning.trial_records import DONE, FAILED, PRUNED, TrialRecord

_COLOURS = {DONE: "#1f6fb2", PRUNED: "#e0a030", FAILED: "#c0392b"}
_COLUMNS = 3


def history_plot(records: Sequence[TrialRecord], metric: str) -> Figure:
    """Plots the best metric of each trial in their order, and the best of all so far."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    for state in (DONE, PRUNED):
        points = [(r.number + 1, r.value) for r in records if r.state == state and r.value is not None]
        axes.scatter([x for x, _ in points], [y for _, y in points], c=_COLOURS[state], label=state, s=28, zorder=3)
    failed = [record.number + 1 for record in records if record.state == FAILED]
    if failed:
        bottom = min((r.value for r in records if r.value is not None), default=0.0)
        axes.scatter(failed, [bottom] * len(failed), c=_COLOURS[FAILED], marker="x", label=FAILED)
    steps, best = [], None
    for record in records:
        if record.state == DONE and record.value is not None:
            best = record.value if best is None else max(best, record.value)
        if best is not None:
            steps.append((record.number + 1, best))
    axes.step(*zip(*steps, strict=True), where="post", color="#444444", linewidth=1, label="best so far")
    axes.set_xlabel("trial")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(f"validation {metric}")
    axes.legend(frameon=False, fontsize=8)
    return _tidied(figure)


def learning_plot(records: Sequence[TrialRecord], metric: str) -> Figure:
    """Plots the metric of each trial by epoch, which shows where trials were pruned and what may be lost by it."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    for record in records:
        epochs = [row["epoch"] for row in record.rows]
        values = [row[metric] for row in record.rows]
        colour = _COLOURS.get(record.state, "#888888")
        axes.plot(epochs, values, color=colour, marker="o", markersize=3, linewidth=0.9, alpha=0.8)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(f"validation {metric}")
    return _tidied(figure)


def importance_plot(shares: Mapping[str, float]) -> Figure:
    """Plots how much each entry of the space matters for a trial to be among the best quarter."""
    figure = Figure(figsize=(9, 0.8 + 0.4 * len(shares)), layout="constrained")
    axes = figure.subplots()
    names = list(shares)[::-1]
    axes.barh(names, [shares[name] for name in names], color=_COLOURS[DONE])
    axes.set_xlabel("importance (PED-ANOVA, shares of 1)")
    return _tidied(figure)


def slice_plot(records: Sequence[TrialRecord], space: SearchSpace, metric: str) -> Figure:
    """Plots the metric against each entry of the space alone."""
    parameters = [p for p in space.parameters if any(p.name in record.drawn for record in records)]
    num_rows = -(-len(parameters) // _COLUMNS)
    figure = Figure(figsize=(9, 2.6 * num_rows), layout="constrained")
    grid = figure.subplots(num_rows, min(_COLUMNS, len(parameters)), squeeze=False, sharey=True)
    for axes in grid.flat[len(parameters) :]:
        axes.set_visible(False)
    for axes, parameter in zip(grid.flat, parameters, strict=False):
        for state in (PRUNED, DONE):
            shown = [r for r in records if r.state == state and parameter.name in r.drawn and r.value is not None]
            values = [_place(r.drawn[parameter.name], parameter.config.choices) for r in shown]
            axes.scatter(values, [r.value for r in shown], c=_COLOURS[state], s=18)
        if parameter.config.log:
            axes.set_xscale("log")
        _label_choices(axes, parameter.config.choices)
        axes.set_title(parameter.name.rpartition(".")[2], fontsize=9)
    grid[0][0].set_ylabel(f"validation {metric}")
    return _tidied(figure)


def as_image(figure: Figure) -> str:
    """A picture as a data URI, so that a page needs no other file."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110, metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def _place(drawn: Any, choices: list[Any] | None) -> Any:
    return drawn if choices is None else [label_of(choice) for choice in choices].index(drawn)


def _label_choices(axes: Axes, choices: list[Any] | None) -> None:
    if choices is not None:
        labels = [label_of(choice) for choice in choices]
        axes.set_xticks(range(len(labels)), [label if len(label) < 14 else f"{label[:12]}…" for label in labels])
        axes.set_xlim(-0.5, len(labels) - 0.5)
        axes.tick_params(axis="x", labelsize=7)


def _tidied(figure: Figure) -> Figure:
    for axes in figure.axes:
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return figure
