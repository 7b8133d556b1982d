"""Comments, docstrings and messages are plain modern English, without words that a reader stumbles over."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("seqrec", "jobs", "benchmarks", "docs", "tests")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if path != Path(__file__))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# Each with the plain word.
RETIRED = {
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\b(is|are|was|were|be|been) told\b": "reported, or given",
    r"\bhangs on\b": "depends on",
    r"\bgoes on\b": "resumes, or continues",
    r"\bunasked\b": "by itself",
    r"\bin vain\b": "without success",
    r"\bas asked\b": "as requested",
    r"\bat hand\b": "current, or available",
    r"\bno sound\b": "not a valid",
}
BEGINS_WITH_OF = re.compile(r"(?:^|[.:] |\n\s*)Of [a-z]")


def spoken(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of every comment and every string of more than three words."""
    source = path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.count(" ") > 2:
            yield node.lineno, node.value


def stumbles(text: str) -> Iterator[str]:
    for pattern, plain in RETIRED.items():
        if found := re.search(pattern, text, re.IGNORECASE):
            yield f"'{found[0]}': write {plain}"
    if BEGINS_WITH_OF.search(text):
        yield "a sentence begins with 'Of'"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_comments_and_messages_are_plain(path: Path) -> None:
    found = [f"{path.name}:{line}: {stumble}" for line, text in spoken(path) for stumble in stumbles(text)]

    assert found == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_are_plain(page: Path) -> None:
    assert list(stumbles(page.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("text", ["Of a worker: its memory.", "Mend the file.", "It is told by its name.", "x. Of two"])
def test_a_stumble_is_found(text: str) -> None:
    assert list(stumbles(text))
