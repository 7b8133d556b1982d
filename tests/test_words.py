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
ANY_RETIRED = re.compile("|".join(RETIRED), re.IGNORECASE)
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
    for found in ANY_RETIRED.finditer(text):
        plain = next(word for pattern, word in RETIRED.items() if re.search(pattern, found[0], re.IGNORECASE))
        yield f"'{found[0]}': write {plain}"
    if BEGINS_WITH_OF.search(text):
        yield "a sentence begins with 'Of'"


@pytest.mark.parametrize("folder", FOLDERS)
def test_comments_and_messages_are_plain(folder: str) -> None:
    files = sorted(path for path in (ROOT / folder).rglob("*.py") if path != Path(__file__))

    found = [f"{path}:{line}: {stumble}" for path in files for line, text in spoken(path) for stumble in stumbles(text)]

    assert found == []


def test_pages_are_plain() -> None:
    found = [f"{page.name}: {stumble}" for page in PAGES for stumble in stumbles(page.read_text(encoding="utf-8"))]

    assert found == []


@pytest.mark.parametrize("text", ["Of a worker: its memory.", "Mend the file.", "It is told by its name.", "x. Of two"])
def test_a_stumble_is_found(text: str) -> None:
    assert list(stumbles(text))
