"""Writes the tables of docs/sizing.md: what each stage needs, from constants fitted to the benchmarks.

python docs/make_sizing.py
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parent / "sizing.md"
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"


@dataclass(frozen=True, kw_only=True)
class Load:
    """A run, in millions of rows."""

    title: str
    reviews: float
    items: float  # In the vocabulary.
    targets: float  # Training targets.
    users: float  # Test rows.


@dataclass(frozen=True, kw_only=True)
class Stage:
    name: str
    formula: str  # How the core-seconds follow from the sizes.
    core_seconds: Callable[[Load], float]
    memory: str
    memory_gib: Callable[[Load], float]
    disk: str
    disk_gb: Callable[[Load], float]
    basis: str  # What the constants come from.
    up_to: float  # Millions of reviews, or targets, that were measured: above, the figure is extrapolated.


def _training_gib(load: Load) -> float:
    """Memory of a worker: the embedding table of 32 numbers an item, its two moments, and what handling them takes."""
    return 0.77 + 0.44 * load.items


STAGES = (
    Stage(
        name="`ingest`, ratings CSV",
        formula="10 + 0.5 R",
        core_seconds=lambda x: 10 + 0.5 * x.reviews,
        memory="2 to 4 GiB",
        memory_gib=lambda x: 3.9 if x.reviews > 100 else 2.0,
        disk="17 R MB",
        disk_gb=lambda x: 0.0172 * x.reviews,
        basis="20 million synthetic ratings: 9.6 core-seconds by the compiled reader in a session that runs; memory "
        "and disk of 233.1 million by Spark alone, 3.85 GiB and 4.0 GB (659 core-seconds)",
        up_to=20.0,
    ),
    Stage(
        name="`prepare`, 5-core",
        formula="60 + 14 R, above 20 million 155 + 9.2 R",
        core_seconds=lambda x: min(60 + 14 * x.reviews, 155 + 9.2 * x.reviews),
        memory="3.3 + 0.034 R GiB",
        memory_gib=lambda x: 3.3 + 0.034 * x.reviews,
        disk="24 R MB, and scratch of 60 R MB",
        disk_gb=lambda x: (0.024 + 0.06) * x.reviews,
        basis="2, 20, 23 and 233 million synthetic reviews: 87 (on a busy machine), 348, 369 and 2,291 core-seconds; "
        "3.4, 3.9 and 11.2 GiB with heaps of 4, 4 and 8 GiB for 2, 20 and 233 million; a larger heap is used too "
        "(23 million: 6.8 GiB with one of 8)",
        up_to=233.1,
    ),
    Stage(
        name="`train` A2SVD, an epoch",
        formula="37 T to 54 T",
        core_seconds=lambda x: 37 * x.targets,
        memory="0.77 + 0.44 I GiB a worker",
        memory_gib=_training_gib,
        disk="0.4 I GB for each of 3 checkpoints",
        disk_gb=lambda x: 3 * 0.4 * x.items,
        basis="Amazon Beauty: 54,600 targets/s on two cores (mean history 8); all 50 long 1.46 times as slow; memory: "
        "whole runs (figures not kept); steps alone take 0.6 and 6.6 GiB with 20 thousand and 15.5 million items",
        up_to=0.2,
    ),
    Stage(
        name="`train` SLi-Rec, an epoch",
        formula="203 T to 830 T",
        core_seconds=lambda x: 203 * x.targets,
        memory="the same",
        memory_gib=_training_gib,
        disk="the same",
        disk_gb=lambda x: 3 * 0.4 * x.items,
        basis="Amazon Beauty: 9,860 targets/s on two cores (mean history 8); all 50 long 4.1 times as slow",
        up_to=0.2,
    ),
    Stage(
        name="`evaluate` A2SVD, 1+49",
        formula="55 + 35 U",
        core_seconds=lambda x: 55 + 35 * x.users,
        memory="2 GiB + 0.12 I GiB a core",
        memory_gib=lambda x: 2 + 2 * 0.12 * x.items,
        disk="nothing to speak of",
        disk_gb=lambda x: 0,
        basis="Amazon Beauty: 57,100 groups/s on two cores; start, 4 baselines and 1,000 bootstrap draws are the 55",
        up_to=0.2,
    ),
    Stage(
        name="`evaluate` SLi-Rec, 1+49",
        formula="55 + 278 U",
        core_seconds=lambda x: 55 + 278 * x.users,
        memory="the same",
        memory_gib=lambda x: 2 + 2 * 0.12 * x.items,
        disk="nothing to speak of",
        disk_gb=lambda x: 0,
        basis="Amazon Beauty: 7,200 groups/s on two cores",
        up_to=0.2,
    ),
)
LOADS = (
    Load(title="Amazon Beauty, 5-core", reviews=0.1985, items=0.0121, targets=0.1314, users=0.0224),
    Load(title="Movies & TV 2014, 5-core", reviews=1.6975, items=0.0501, targets=1.3257, users=0.124),
    Load(title="the whole dump of 2018", reviews=233.1, items=11.0, targets=105.0, users=11.7),
)


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text.split(BEGIN)[0] + generated() + text.split(END)[1], encoding="utf-8")


def generated() -> str:
    """The part of the page between its two marks, both included."""
    parts = [BEGIN, "", "| stage | core-seconds | memory | disk | fitted to |", "|---|---|---|---|---|"]
    parts += [f"| {s.name} | {s.formula} | {s.memory} | {s.disk} | {s.basis} |" for s in STAGES]
    for load in LOADS:
        parts += ["", f"### {load.title[0].upper()}{load.title[1:]}", ""]
        parts += [
            f"R = {load.reviews:g}, I = {load.items:g}, T = {load.targets:g}, U = {load.users:g}; two cores, "
            "both at work (`train` with two workers).",
            "",
            "| stage | time on two cores | memory | disk | |",
            "|---|---|---|---|---|",
        ]
        for stage in STAGES:
            mark = "extrapolated" if load.reviews > stage.up_to * 1.01 else "within what was measured"
            time, memory = _time(stage.core_seconds(load) / 2), stage.memory_gib(load)
            disk = stage.disk_gb(load)
            parts.append(f"| {stage.name} | {time} | {memory:.1f} GiB | {_disk(disk)} | {mark} |")
    return "\n".join([*parts, "", END])


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def _disk(gigabytes: float) -> str:
    return "-" if not gigabytes else f"{gigabytes * 1000:.0f} MB" if gigabytes < 1 else f"{gigabytes:.1f} GB"


if __name__ == "__main__":
    main()
