"""Writes the tree of the package in docs/data_flow.md: every folder, what it is for, and its modules.

python docs/make_tree.py

What a folder is for is the first sentence of its `__init__.py`.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "data_flow.md"
BEGIN, END = "<!-- tree: begin -->", "<!-- tree: end -->"
# From the layer that everything may import to the one that imports everything.
LAYERS = (
    ("core",),
    ("tables", "events"),
    ("ingestion", "preparation", "feed", "models", "neighbours"),
    ("scoring",),
    ("training", "reranking"),
    ("evaluation", "recommendation"),
    ("tuning",),
    ("pipeline",),
    ("interface",),
)


def generated() -> str:
    """The part of the page between the two marks."""
    rows = [row for layer in LAYERS for package in layer for row in _rows(ROOT / "seqrec" / package)]
    return "\n".join([BEGIN, "", "| folder | what it is for | modules |", "|---|---|---|", *rows, "", END])


def _rows(folder: Path) -> list[str]:
    """A row for a folder, then one for each folder inside."""
    modules = ", ".join(f"`{path.stem}`" for path in sorted(folder.glob("*.py")) if path.name != "__init__.py")
    name = folder.relative_to(ROOT / "seqrec").as_posix()
    row = f"| `{name}/` | {_first_sentence(folder / '__init__.py')} | {modules} |"
    inside = sorted(path.parent for path in folder.glob("*/__init__.py"))
    return [row, *(line for chamber in inside for line in _rows(chamber))]


def _first_sentence(path: Path) -> str:
    text = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split())
    return text.partition(". ")[0].rstrip(".")


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    PAGE.write_text(f"{before}{generated()}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
