"""Nothing in the documentation is stale: links, commands, generated parts."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from seqrec.pipeline.command_line import parse_arguments
from seqrec.pipeline.config import load_run_config
from seqrec.pipeline.keys import describe_keys, sections
from seqrec.pipeline.stages import STAGES
from tests.docs.pages import PAGES, REASONS, ROOT, blocks_of

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
_LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)")
_PLACEHOLDERS = ("JOB", "[--config", "...")  # They mark lines that show a form, not a command.


def script(name: str) -> ModuleType:
    """A script of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def anchors_of(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}, which is not there"
        assert not anchor or anchor in anchors_of(target), f"{page.name} links to {link}, which has no such heading"


def test_every_page_can_be_reached() -> None:
    seen, ahead = set(), [ROOT / "README.md", ROOT / "docs" / "README.md"]
    while ahead:
        page = ahead.pop()
        seen.add(page)
        linked = {(page.parent / link.partition("#")[0]).resolve() for link in _LINK.findall(page.read_text())}
        ahead += [other for other in linked & set(PAGES) if other not in seen]

    assert set(PAGES) - seen == set()


@every_page
def test_commands_are_ones_that_the_jobs_take(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    blocks = blocks_of(page)
    # A page that changes the code may use what it adds: those commands are only run, by `test_commands`.
    made_here = {Path(block.file).stem for block in blocks if block.file is not None and block.file.startswith("jobs/")}
    changes_code = any(block.language == "diff" for block in blocks)
    for block in blocks:
        for words in block.commands():
            if words[0] not in ("./spark-submit.sh", "seqrec") or any(mark in words for mark in _PLACEHOLDERS):
                continue
            job, *arguments = words[1:]
            if job in made_here:
                continue
            assert job in STAGES, f"{page.name}: {' '.join(words)}"
            arguments = arguments[: arguments.index("--")] if "--" in arguments else arguments
            parsed = parse_arguments(job, arguments)
            if not changes_code:
                load_run_config(parsed.config, parsed.overrides)


@every_page
def test_a_command_that_is_not_run_says_why(page: Path) -> None:
    for block in blocks_of(page):
        is_plain = block.language in ("", "sh", "shell", "console", "text")
        is_command = re.search(r"^(\./|seqrec |python|pip|export |bash )", block.text, re.MULTILINE)
        assert block.not_run or not (is_plain and is_command), (
            f"{page.name}: mark as bash, or say why not: {block.text}"
        )
        if block.not_run is not None:
            reason = block.not_run.partition(" (")[0]
            assert reason in REASONS, f"{page.name}: '{block.not_run}' is none of {', '.join(REASONS)}"


def test_the_page_of_the_configuration_is_up_to_date() -> None:
    made = script("make_configuration")

    assert made.PAGE.read_text(encoding="utf-8") == made.page(), "run: python docs/make_configuration.py"


@pytest.mark.parametrize("section", ["", *sections()])
def test_every_key_has_a_meaning(section: str) -> None:
    assert [key.name for key in describe_keys(section) if not key.meaning] == []


def test_the_list_of_messages_is_up_to_date() -> None:
    made = script("make_messages")

    assert made.generated() in made.PAGE.read_text(encoding="utf-8"), "run: python docs/make_messages.py"


def test_the_tree_is_the_real_one() -> None:
    made = script("make_tree")

    assert {package for layer in made.LAYERS for package in layer} == {
        path.parent.name for path in (ROOT / "seqrec").glob("*/__init__.py")
    }
    assert made.generated() in made.PAGE.read_text(encoding="utf-8"), "run: python docs/make_tree.py"


def test_the_tables_of_sizes_are_up_to_date() -> None:
    made = script("make_sizing")

    assert made.generated() in made.PAGE.read_text(encoding="utf-8"), "run: python docs/make_sizing.py"


def test_split_parts_a_message_from_its_remedy() -> None:
    made = script("make_messages")

    assert made.split("reviews.json: no line holds a review. Check the path.") == (
        "reviews.json: no line holds a review.",
        "Check the path.",
    )
    assert made.split("k is 0: give at least 1.") == ("k is 0", "Give at least 1.")
    assert made.split("it is broken") == ("it is broken", "")


@pytest.mark.parametrize("config", sorted((ROOT / "conf").glob("*.yaml")), ids=lambda path: path.name)
def test_every_config_passes_the_check_of_the_jobs(config: Path) -> None:
    loaded = load_run_config(str(config))

    head = config.read_text(encoding="utf-8").splitlines()[:12]
    assert any(f"--config conf/{config.name}" in line for line in head), "a config begins with its command"
    assert loaded.run.name


def test_the_changes_of_extending_apply(tmp_path: Path) -> None:
    """In their order, each to the files that the ones before have left. The slow tests also run the result."""
    for block in blocks_of(ROOT / "docs" / "extending.md"):
        if block.file is not None:
            (tmp_path / block.file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / block.file).write_text(block.text)
        elif block.language == "diff":
            for name in re.findall(r"^--- a/(.*)$", block.text, re.MULTILINE):
                if not (tmp_path / name).exists():
                    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / name, tmp_path / name)
            command = ["patch", "-p1", "--forward"]  # As the slow tests do.
            done = subprocess.run(command, input=block.text, cwd=tmp_path, capture_output=True, text=True)
            assert done.returncode == 0, f"{block.text}\n{done.stdout}"
