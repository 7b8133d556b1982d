"""Writes the tables of docs/sizing.md: time, memory and disk of each stage, from constants fitted to the benchmarks.

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
    reviews: float  # Lines of reviews.
    gigabytes: float  # Of review lines, uncompressed.
    items: float  # In the vocabulary.
    targets: float  # Training targets.
    users: float  # Test rows, and users to recommend to.


@dataclass(frozen=True, kw_only=True)
class Stage:
    name: str
    formula: str  # Of the core-seconds.
    core_seconds: Callable[[Load], float]
    memory: str
    memory_gib: Callable[[Load], float]
    disk: str
    disk_gb: Callable[[Load], float]
    basis: str  # What the constants come from.


ITEM_DIM = 32
# Weights and the optimizer's two moments, float32, and the category of each item.
BYTES_PER_ITEM = 3 * 4 * ITEM_DIM + 4
STAGES = (
    Stage(
        name="ingest",
        formula="20 + 3.4 R + 30 G",
        core_seconds=lambda x: 20 + 3.4 * x.reviews + 30 * x.gigabytes,
        memory="heap of the driver, 2 GiB is enough",
        memory_gib=lambda x: 2.5,
        disk="33 R MB",
        disk_gb=lambda x: 0.033 * x.reviews,
        basis="FILL",
    ),
    Stage(
        name="prepare",
        formula="45 + 17.2 R",
        core_seconds=lambda x: 45 + 17.2 * x.reviews,
        memory="2 GiB + 55 R MB",
        memory_gib=lambda x: 2.05 + 0.054 * x.reviews,
        disk="7 bytes a target, 3 times as much scratch",
        disk_gb=lambda x: 0.007 * x.targets * 4,
        basis="FILL",
    ),
)
LOADS = (Load(title="demo", reviews=0.096, gigabytes=0.02, items=0.0016, targets=0.072, users=0.008),)


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text.split(BEGIN)[0] + generated() + text.split(END)[1], encoding="utf-8")


def generated() -> str:
    """The part of the page between its two marks, both included."""
    parts = [BEGIN, "", "| stage | core-seconds | memory | disk | fitted to |", "|---|---|---|---|---|"]
    parts += [f"| {s.name} | {s.formula} | {s.memory} | {s.disk} | {s.basis} |" for s in STAGES]
    return "\n".join([*parts, "", END])


if __name__ == "__main__":
    main()
