"""The pages of the documentation, and the blocks of code in them."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# `<!-- not run: cluster -->` before a block: the only reasons for which a command need not be run.
REASONS = ("cluster", "Databricks", "internet", "the test suite itself", "hours", "set-up", "files of your own")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NOTE = re.compile(r"<!-- (not run|file): (.*?) -->\n\s*\Z")
_INDENTED = re.compile(r"(?:^    .+\n?)+", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    page: str
    language: str
    text: str
    not_run: str | None = None  # Why, if it is not run.
    file: str | None = None  # What the block is the content of.

    def commands(self) -> list[list[str]]:
        """The words of every command that calls the project, continued lines joined."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [shlex.split(line, comments=True) for line in lines if line.strip().startswith(("./", "seqrec "))]


def blocks_of(page: Path) -> list[Block]:
    """Fenced blocks in their order; the README's commands may be indented instead."""
    text = page.read_text(encoding="utf-8")
    blocks = []
    for match in _FENCE.finditer(text):
        note = _NOTE.search(text[: match.start()])
        kind, value = note.groups() if note else (None, None)
        blocks.append(
            Block(
                page=page.name,
                language=match[1],
                text=match[2],
                not_run=value if kind == "not run" else None,
                file=value if kind == "file" else None,
            )
        )
    if page.name == "README.md":
        for match in _INDENTED.finditer(_FENCE.sub("", text)):
            content = re.sub(r"^    ", "", match[0], flags=re.MULTILINE)
            if content.startswith("./"):
                blocks.append(Block(page.name, "indented", content))
    return blocks
