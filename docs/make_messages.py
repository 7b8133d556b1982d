"""Writes the list of messages in docs/troubleshooting.md: every error that the code raises, with its remedy.

python docs/make_messages.py

A message says what to do itself, in its last words; where a word or two are not enough, REMEDIES has more.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "troubleshooting.md"
BEGIN, END = "<!-- messages: begin -->", "<!-- messages: end -->"
_ERRORS = ("SeqrecError", "ConfigError", "DataError", "StorageError", "TrainingError", "ValueError")
_ANY = "…"  # Stands for what the message fills in.
# Packages in the order of the stages, with their headings.
PACKAGES = {
    "pipeline": "Command line and configuration",
    "core": "Files and settings",
    "ingestion": "`download`, `synthesize`, `ingest`",
    "preparation": "`prepare`",
    "tables": "Tables on disk",
    "events": "Events and vocabularies",
    "feed": "Reading sequences",
    "models": "Models",
    "training": "`train`",
    "scoring": "Finished runs",
    "evaluation": "`evaluate`",
    "tuning": "`tune`",
    "neighbours": "What candidates are found in",
    "reranking": "The learned last stage",
    "recommendation": "`candidates`, `rank`, `recommend`, `export`",
}
# The first word of what to do.
_VERBS = (
    "Add|Check|Choose|Correct|Delete|Drop|Evaluate|Fix|Free|Give|Go|Install|Keep|Leave|Loosen|Lower|Make|Mend|Move|Name|"
    "Prepare|Put|Raise|Run|Set|Start|Submit|Swap|Tell|Train|Unset|Use|Wait|Widen|Write|Pip|Ask|Copy|Pass|Remove|Send|"
    "Rename|Repair|Report|Export|Read|Upgrade|Turn|Replace|Call|Clear|Point|Take|Try|Retry|Define|Spell|Fill|Look|Ship|Pack|Rebuild"
)
_REMEDY = re.compile(rf"(?<=[.:;,)'] )({_VERBS})\b", re.IGNORECASE)
# Part of a message -> what to do, where the message alone does not say it.
REMEDIES = {
    "Then training would be refused, too": "Set all that the message names, in one go.",
    "No interaction is left of": "Lower preparation.min_interactions, or loosen the other filters.",
    "Usage: ./spark-submit.sh": "Correct the command; `./spark-submit.sh JOB --help` shows what it takes.",
    "a row group without rows": "Prepare the data again (--set force=true): a file is damaged.",
    "differ in length within a row": "Prepare the data again (--set force=true): a file is damaged.",
    "differs in length between rows": "Prepare the data again (--set force=true): a file is damaged.",
    "holds nulls or": "Prepare the data again (--set force=true): a file is damaged.",
    "a history has not as many timestamps": "Prepare the data again (--set force=true): a file is damaged.",
    "negatives: all must have as many": "Prepare the data again (--set force=true): a file is damaged.",
    "item ids collide under": "Run the job 'ingest' again with --set force=true.",
    "padding must have category 0": "Prepare the data again (--set force=true): the vocabulary is damaged.",
    "expected int32 of one dimension": "Prepare the data again (--set force=true): the vocabulary is damaged.",
    "do not belong together": "Prepare the data again (--set force=true): the vocabulary is damaged.",
    "and so is every other file": "Check what source.reviews and source.metadata name.",
    "add up to": "Run the stage again (--set force=true).",
    "does not divide the": "Use one of the numbers that the message names, or prepare with another num_streams_max.",
    "has no table": "Run the stage that makes the dataset again (--set force=true).",
    "can be sought": "Keep fewer items in preparation.",
    "cannot read the config file": "Fix what the message names: permission, or UTF-8 text.",
    "not valid YAML": "Fix the line that the message names.",
    "expected a mapping of sections": "Write `section:` and its keys below it, as in conf/demo.yaml.",
    "not a section": "Set the keys of the section one by one.",
    "expected section.key=value": "Write it so, such as --set training.num_epochs=3.",
    "expected low and high, or choices": "Write {low: 0.1, high: 1.0} or {choices: [1, 2]}.",
    "expected Spark settings": "Write one setting per line, such as spark.executor.memory: 8g.",
    "expected text, a number or true/false": "Give the Spark setting a plain value.",
    "cannot open this storage": "Check the address, its credentials and that pyarrow knows its kind.",
    "Known keys": "Correct the key; `--help` lists them.",
    "unknown key": "Correct the key; the message names the nearest one, `--help` all of them.",
    "is not possible": "Fix the bounds or choices: each value must be one that the key takes.",
    "it does not change what is learned": "Name a key of model or training that does.",
    "a logarithmic range begins above 0": "Raise low, or leave log out.",
    "array format": "Train again, or use another checkpoint: the file comes from another NumPy.",
    "trials was trained to its end": "Fix the last error, which is named, and run the same command again.",
    "results for": "Run the same command again: finished trials are kept.",
    "there is no model": "Choose one of those that the message lists.",
    "there is no objective": "Choose one of those that the message lists.",
    "optimizer.name: there is no": "Choose one of those that the message lists.",
    "cannot look up": "Check the path and your permission.",
    "cannot write": "Free some space, or choose a folder you may write to.",
    "…/…: cannot …": "Read the end of the line: the disk is full, permission is denied, or the path is wrong.",
    "download.categories: ": "Name some of the categories that the message lists.",
    "has no edition": "Correct download.edition, or the catalogue of download.catalogue.",
    "not a readable Parquet file": "Run the stage that makes it again (--set force=true).",
    "column … is …, expected": "Prepare the data again (--set force=true).",
    "not a readable vocabulary file": "Prepare the data again (--set force=true).",
    "The weights are of other model settings": "Use the settings and the data that the run was trained with.",
    "known are": "Name one of those that the message lists.",
    "give low and high, or choices": "Give the entry one of the two.",
    "not a readable table of histories": "Prepare the data again (--set force=true), or fix your own file.",
    "histories_file: …: cannot be read": "Give JSON lines or Parquet with user_id, item_ids and timestamps.",
}


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(before + generated() + after, encoding="utf-8")


def generated() -> str:
    """The part of the page between its two marks, both included.

    Raises:
        SystemExit: messages do not say what to do, and REMEDIES does not either.
    """
    silent = [text for package in PACKAGES for text in messages(ROOT / "seqrec" / package) if not split(text)[1]]
    if silent:
        raise SystemExit(
            "docs/make_messages.py: these messages do not say what to do: let each end in an imperative, or add what "
            "to do to REMEDIES.\n" + "\n".join(f"  {text}" for text in silent)
        )
    parts = [BEGIN, ""]
    for package, title in PACKAGES.items():
        rows = {split(message) for message in messages(ROOT / "seqrec" / package)}
        shown = sorted((row for row in rows if re.search("[a-z]{2}", row[0])), key=lambda row: (_place(row), row))
        if shown:
            parts += [f"### {title}", "", "| it says | do |", "|---|---|"]
            parts += [f"| {_cell(what)} | {_cell(remedy)} |" for what, remedy in shown]
            parts += [""]
    return "\n".join([*parts, END])


def messages(package: Path) -> Iterator[str]:
    """Every message that a package raises, with … for what is filled in."""
    return (text for _, text in located_messages(package))


def located_messages(package: Path) -> Iterator[tuple[Path, str]]:
    """Every message with the file that raises it."""
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _ERRORS and node.args:
                text = _text(node.args[0])
                if re.search(r"[a-z]{3}", text.replace("such as", "")):
                    yield path, text


def split(message: str) -> tuple[str, str]:
    """What a message says, and what to do about it; "" if nothing is known."""
    found = list(_REMEDY.finditer(message))
    if found:
        start = found[0].start()
        remedy = message[start:].rstrip(".")
        return message[:start].rstrip(" ;,:"), (
            remedy if remedy.startswith("pip ") else remedy[0].upper() + remedy[1:]
        ) + "."
    for part, remedy in REMEDIES.items():
        if part in message:
            return message, remedy
    return message, ""


def _text(node: ast.expr) -> str:
    """A message as it is written, a placeholder for each value."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        text = "".join(str(part.value) if isinstance(part, ast.Constant) else _ANY for part in node.values)
        return re.sub(f"{_ANY}+", _ANY, text)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    return ""  # Put together elsewhere: described by hand in the page.


def _place(row: tuple[str, str]) -> tuple[str, str]:
    return re.sub(r"[^a-z ]", "", row[0].lower()).strip(), row[1]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


if __name__ == "__main__":
    main()
