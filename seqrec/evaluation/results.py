"""An evaluation as it is stored, and its table for the screen and for a README."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table
from rich.text import Text

from seqrec.core.console import print_table
from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset
from seqrec.core.metrics import METRICS, cutoff_of
from seqrec.core.storage import Storage
from seqrec.evaluation.config import EvaluationConfig

FORMAT_VERSION = 2  # Stored evaluations of another version count as missing.
KINDS = [(split, protocol) for split in ("test", "validation") for protocol in ("sampled", "full")]
MODEL = "model"
BASELINE = "baseline"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RankerResult:
    """The numbers of one ranker: a row of the table."""

    name: str
    kind: str  # MODEL or BASELINE.
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)  # From the bootstrap over users.
    ahead_by: dict[str, tuple[float, float, float]] = field(default_factory=dict)  # The model's lead: value, interval.
    corrected: dict[str, float] = field(default_factory=dict)  # Estimates of the full ranking's metrics.
    ranks: list[tuple[int, int]] = field(default_factory=list)  # (highest rank of a bin, rows in it)


@dataclass(frozen=True, kw_only=True)
class SliceResult:
    """The metrics of all rankers in one part of the rows."""

    slicing: str
    label: str
    num_rows: int
    metrics: dict[str, dict[str, float]]  # Ranker -> metric -> value.


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All numbers of one run, one split and one protocol; `setup` says what they mean."""

    run: str
    model: str
    split: str
    protocol: str
    setup: dict[str, Any]
    results: list[RankerResult]  # The model first.
    slices: list[SliceResult] = field(default_factory=list)
    comparison: dict[str, Any] | None = None
    lineage: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    recipe: str = ""
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        """The text that `from_json` reads."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, default=str, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str) -> "Evaluation":
        """The stored evaluation.

        Raises:
            DataError: `text`, which lies at `where`, is not an evaluation.
        """
        try:
            values = json.loads(text)
            results = [RankerResult(**result) for result in values.pop("results")]
            slices = [SliceResult(**part) for part in values.pop("slices")]
            return cls(results=results, slices=slices, **values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{where}: not a readable evaluation ({error}). Delete it and evaluate again.") from None


def evaluation_path(run: str, split: str, protocol: str) -> str:
    """Where an evaluation lies, relative to the workdir."""
    return f"runs/{run}/evaluations/{split}-{protocol}.json"


def read_evaluation(storage: Storage, run: str, split: str, protocol: str) -> Evaluation | None:
    """A stored evaluation; None if there is none, or only one of another format."""
    path = evaluation_path(run, split, protocol)
    if not storage.exists(path):
        return None
    text = storage.read_bytes(path).decode()
    try:
        if json.loads(text).get("format_version") != FORMAT_VERSION:
            return None
    except (ValueError, AttributeError):
        pass  # The text is not JSON: `from_json` reports it.
    return Evaluation.from_json(text, storage.uri(path))


def current_evaluations(storage: Storage, run: str) -> list[Evaluation]:
    """The stored evaluations of a run's present weights; a warning names each that was made from other weights.

    Training a run again leaves its evaluations where they are, though they do not describe its new weights.
    """
    current = []
    for split, protocol in KINDS:
        evaluation = read_evaluation(storage, run, split, protocol)
        if evaluation is None:
            continue
        if is_current(storage, evaluation):
            current.append(evaluation)
        else:
            path = storage.uri(evaluation_path(run, split, protocol))
            _LOG.warning(
                "%s: left out, because it was made from older weights. Run the job 'evaluate' again with "
                "--set evaluation.split=%s --set evaluation.protocol=%s.",
                *(path, split, protocol),
            )
    return current


def is_current(storage: Storage, evaluation: Evaluation) -> bool:
    """Whether the run still has the evaluated weights, and so has the run it was compared with, unless that is gone."""

    def content(run: dict[str, Any]) -> str | None:
        manifest = Dataset(storage, "runs", run["name"]).manifest()
        return None if manifest is None else manifest.content

    own, *others = evaluation.lineage["runs"]
    return content(own) == own["content"] and all(content(other) in (None, other["content"]) for other in others)


def comparison_table(evaluations: Sequence[Evaluation]) -> Table:
    """One table of several runs: for each set of candidates the baselines once, then every model.

    Runs that were evaluated on other candidates (data, split, protocol or negatives) are shown with their own
    baselines, as their numbers do not compare.
    """
    first = evaluations[0]
    table = Table(title=_title(first), title_justify="left", title_style="bold", caption=_caption(first))
    table.caption_justify = "left"
    names = _shown_metrics(first)
    table.add_column("ranking", no_wrap=True)
    for name in names:
        table.add_column(heading_of(name), justify="right", no_wrap=True)
    for group in _same_candidates(evaluations):
        if group[0] is not first:
            table.add_section()
            table.add_row(Text(_title(group[0]), style="italic"))
        baselines = [result for result in group[0].results if result.kind == BASELINE]
        models = [result for evaluation in group for result in evaluation.results if result.kind == MODEL]
        unique = {result.name: result for result in reversed(models)}
        shown = [*baselines, *reversed(unique.values())]
        best = {name: _best(name, shown) for name in names}
        for index, result in enumerate(shown):
            cells = [_cell(result.metrics.get(name), best[name]) for name in names]
            label = Text(result.name, style="bold" if result.kind == MODEL else "")
            table.add_row(label, *cells, end_section=index + 1 == len(baselines))
    return table


def varies(name: str, evaluation: Evaluation) -> bool:
    """Whether a metric can differ between rankings: the hit rate@k among k or fewer candidates is 1 for all of them."""
    k = cutoff_of(name)
    is_hit_rate = k is not None and METRICS["hit_rate"].is_name(name)
    return not is_hit_rate or k < evaluation.setup.get("num_candidates", 1 << 62)


def _shown_metrics(evaluation: Evaluation) -> list[str]:
    """Few enough for a screen of 80 columns: metrics with a heading, each with its smallest and its largest k.

    Where it can be, k is less than the number of candidates.
    """
    num_candidates = evaluation.setup.get("num_candidates", 1 << 62)
    chosen: list[str] = []
    for metric in METRICS.values():
        measured = [name for name in evaluation.results[0].metrics if varies(name, evaluation)]
        own = [name for name in measured if metric.heading and metric.is_name(name)]
        if metric.has_cutoff:
            own = [name for name in own if int(name.partition("@")[2]) < num_candidates] or own
        chosen += dict.fromkeys([*own[:1], *own[-1:]])
    return chosen


def heading_of(name: str) -> str:
    """Column title of a metric's value, such as hit@10."""
    kind, at, k = name.partition("@")
    return f"{METRICS[kind].heading}{at}{k}"


def _best(name: str, results: Sequence[RankerResult]) -> float | None:
    values = [result.metrics[name] for result in results if name in result.metrics]
    if not values:
        return None
    return min(values) if METRICS[name.partition("@")[0]].less_is_better else max(values)


def markdown_table(evaluations: Sequence[Evaluation]) -> str:
    """The same table in Markdown, every number with half the width of its interval; for a README.

    Raises:
        DataError: the runs were not evaluated on the same candidates.
    """
    groups = _same_candidates(evaluations)
    if len(groups) > 1:
        first, other = groups[0][0], groups[1][0]
        raise DataError(
            f"runs '{first.run}' and '{other.run}' were evaluated on other candidates: their numbers do not compare. "
            "Evaluate both on the same prepared data, split and protocol."
        )
    names = _shown_metrics(evaluations[0])
    baselines = [result for result in evaluations[0].results if result.kind == BASELINE]
    models = {result.name: result for evaluation in evaluations for result in evaluation.results[:1]}
    lines = [f"| {' | '.join(['ranking', *names])} |", f"|{'---|' * (1 + len(names))}"]
    for result in [*baselines, *models.values()]:
        lines.append(f"| {' | '.join([result.name, *(_with_margin(result, name) for name in names)])} |")
    return "\n".join([*lines, "", f"{_title(evaluations[0])}; {_caption(evaluations[0])}.", ""])


def print_comparison(storage: Storage, runs: Sequence[str], config: EvaluationConfig) -> None:
    """Prints the table of the runs' stored evaluations of `config.split` and `config.protocol`.

    Raises:
        DataError: a run has no such evaluation.
    """
    found = [read_evaluation(storage, run, config.split, config.protocol) for run in runs]
    missing = [run for run, evaluation in zip(runs, found, strict=True) if evaluation is None]
    if missing:
        path = storage.uri(evaluation_path(missing[0], config.split, config.protocol))
        raise DataError(f"{path}: not there. Run the job 'evaluate' for this run first.")
    print_table(comparison_table([evaluation for evaluation in found if evaluation is not None]))


def _same_candidates(evaluations: Sequence[Evaluation]) -> list[list[Evaluation]]:
    groups: dict[str, list[Evaluation]] = {}
    for evaluation in evaluations:
        groups.setdefault(str(evaluation.setup.get("candidates_key")), []).append(evaluation)
    return list(groups.values())


def _title(evaluation: Evaluation) -> str:
    setup = evaluation.setup
    return f"{setup.get('data')}, {evaluation.split} split, {evaluation.protocol}: {setup.get('num_users'):,} users"


def _caption(evaluation: Evaluation) -> str:
    setup = evaluation.setup
    parts = [
        f"candidates: {setup.get('candidates')}",
        f"negatives: {setup.get('negative_sampling')}",
        f"split: {setup.get('split_method')}, ties {setup.get('tie_order')}",
        f"seed {setup.get('seed')}",
    ]
    return "; ".join(parts)


def _with_margin(result: RankerResult, name: str) -> str:
    value = f"{result.metrics[name]:.4f}" if name in result.metrics else ""
    low, high = result.intervals.get(name, (0.0, 0.0))
    return f"{value} ± {(high - low) / 2:.4f}" if high > low else value


def _cell(value: float | None, best: float | None) -> Text:
    if value is None:
        return Text("-")
    return Text(f"{value:.4f}", style="bold" if value == best else "")
