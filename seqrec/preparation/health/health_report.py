"""The health figures for people: `health.json`, a PNG of the two distributions, a table on the screen."""

import io
import json
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from seqrec.core.manifest import Attempt
from seqrec.preparation.health.health_figures import WARN_ABOVE_AUC

_ONE_SIDED = 0.9  # Share of same-day pairs that only an order by id reaches; by chance it is about a half.
_BY_TIES = "part_of_it_that_the_order_of_same_day_events_explains"
_BY_AGE = "part_of_it_that_the_age_of_items_explains"
_CHANCE = 3 * 12**-0.5  # Three standard errors of the AUC of one target among many negatives.
_FEW_TARGETS = 30  # With fewer targets than this, chance may reach that share too.


def publish_health(attempt: Attempt, health: dict[str, Any]) -> list[str]:
    """Returns the warnings; writes `health.json` and `health.png` beside the tables, and prints the figures."""
    health["warnings"] = warnings_of(health)
    attempt.storage.write_bytes(f"{attempt.path}/health.json", json.dumps(health, indent=1).encode())
    attempt.storage.write_bytes(f"{attempt.path}/health.png", draw_distributions(health))
    print_health(health, attempt.dataset.name)
    warnings: list[str] = health["warnings"]
    return warnings


def warnings_of(health: dict[str, Any]) -> list[str]:
    """The problems that should be fixed before results are trusted; empty if there are none."""
    found = list(filter(None, [_tie_leak(health), _drift(health)]))
    for part in ("validation", "test"):
        if not health["split"][part]:
            found.append(f"There is no {part} target: nothing can be measured on that part.")
    if health["steps"].get("unknown_events"):
        share = health["steps"]["unknown_events"] / health["steps"]["events"]
        found.append(f"The run's vocabulary does not know the items of {share:.1%} of the events: they are left out.")
    return found


def _tie_leak(health: dict[str, Any]) -> str | None:
    """What to say of an order of same-day events that gives targets away."""
    auc, by_ties = health["auc_of_ranking_by_item_id"], health.get(_BY_TIES)
    by_ids = health["settings"]["tie_order"] == "item_id"
    if auc is not None and auc > WARN_ABOVE_AUC and by_ids:
        part = "" if by_ties is None else f"; the order of same-day events explains {by_ties:.3f} of it"
        return (
            f"Ranking test candidates by item id alone reaches an AUC of {auc:.3f}{part}: the order of ties gives the "
            "target away. Set preparation.tie_order=hash."
        )
    if (higher := _one_sided_share(health)) is not None:
        remedy = "Set preparation.tie_order=hash." if by_ids else "Check whether the times are those of the events."
        return (
            f"Where a test target shares user and day with another item, its id is the higher one in {higher:.0%}: the "
            f"order of ties gives the target away to whatever learns ids. {remedy}"
        )
    return None


def _drift(health: dict[str, Any]) -> str | None:
    """What to say of a catalogue that changes with time, so that targets are newer than their negatives."""
    by_age = health.get("group_auc_of_ranking_by_the_first_day_of_items")
    sampling, targets = health["settings"]["negative_sampling"], health["split"]["test"]
    by_chance = _CHANCE / max(targets, 1) ** 0.5
    if by_age is None or sampling == "popularity_at_time" or by_age <= max(WARN_ABOVE_AUC, 0.5 + by_chance):
        return None
    explained, by_id = health[_BY_AGE], health["group_auc_of_ranking_by_item_id"]
    part = "" if explained is None else f", and explains {explained:.3f} of the {by_id:.3f} that item ids reach"
    return (
        f"Targets are newer than their negatives: preferring items whose first event is later reaches an AUC of "
        f"{by_age:.3f}{part}. So popular items of the last days may beat a good model. Set "
        "preparation.negative_sampling=popularity_at_time to compare targets with the items of their time."
    )


def _one_sided_share(health: dict[str, Any]) -> float | None:
    """Share of tied pairs whose target has the higher id, if only an order by id can explain it; else None.

    The AUC of the id alone misses such an order where popular items tend to have ids at the other end.
    """
    higher = health["share_of_same_day_pairs_with_the_higher_id_as_target"]
    tied = health["share_of_test_targets_on_the_day_of_the_last_history_event"]
    if higher is None or tied is None or tied * health["split"]["test"] < _FEW_TARGETS:
        return None
    return higher if max(higher, 1.0 - higher) > _ONE_SIDED else None


def print_health(health: dict[str, Any], name: str) -> None:
    """Prints the figures as a table, the rounds of the k-core as a second one, and the warnings below."""
    console = Console()
    table = Table(title=f"prepared '{name}'", show_header=False)
    table.add_column("what")
    table.add_column("figure", justify="right")
    for step, value in health["steps"].items():
        if step != "k_core_rounds":
            table.add_row(_words(step), _text(value))
    table.add_section()
    for part, value in health["split"].items():
        table.add_row(f"split: {_words(part)}", _text(value))
    table.add_section()
    for key, value in health.items():
        if isinstance(value, float | int | None):
            table.add_row(_words(key), _text(value))
    for name, figures in health.get("features", {}).items():
        table.add_row(f"feature {name}", ", ".join(f"{_words(key)} {_text(value)}" for key, value in _flat(figures)))
    for key in ("events_per_user", "events_per_item"):
        table.add_row(_words(key), ", ".join(f"{_words(k)} {_text(v)}" for k, v in health[key].items()))
    console.print(table)
    if health["steps"].get("k_core_rounds"):
        rounds = Table("k-core round", "users", "items", "interactions")
        for number, sizes in enumerate(health["steps"]["k_core_rounds"], start=1):
            rounds.add_row(str(number), *[_text(sizes[key]) for key in ("users", "items", "interactions")])
        console.print(rounds)
    for warning in health["warnings"]:
        console.print(f"[bold yellow]Warning:[/] {warning}", highlight=False, soft_wrap=True)


def draw_distributions(health: dict[str, Any]) -> bytes:
    """A PNG of two histograms: users and items by their number of events."""
    # Imported here because it loads slowly; this backend needs no screen and has no global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    for place, (key, what) in enumerate((("users_by_events", "users"), ("items_by_events", "items"))):
        axes = figure.add_subplot(1, 2, place + 1)
        classes = health[key]
        axes.bar(range(len(classes)), list(classes.values()), color="#4477aa")
        axes.set_xticks(range(len(classes)), list(classes), rotation=60)
        axes.set_yscale("log")
        axes.set_xlabel("events")
        axes.set_ylabel(what)
        axes.set_title(f"{what} by number of events")
    image = io.BytesIO()
    FigureCanvasAgg(figure).print_png(image)
    return image.getvalue()


def _flat(figures: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in figures.items():
        if isinstance(value, dict):
            yield from ((f"{key} in {part}", share) for part, share in value.items())
        else:
            yield key, value


def _words(key: str) -> str:
    return key.replace("_", " ")


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
