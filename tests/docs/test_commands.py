"""Every command of the documentation runs, in a copy of the project with the demo's data made small."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import PAGES, ROOT, Block, blocks_of

RUN = ("bash", "diff", "indented")
# One process instead of a spark-submit for each stage, and few reviews: the same commands in a tenth of the time.
SMALL = {
    "synthesis": {"num_reviews": 3000, "num_users": 300, "num_items": 100},
    "training": {"num_epochs": 2, "global_batch_size": 100},
    "evaluation": {"num_replicates": 100},
    "pipeline": {"one_process": True},
}
CONFIGS = ("conf/demo.yaml",)


def to_run(page: Path) -> list[Block]:
    """Blocks of a page that are run, in their order, with the files that they need."""
    blocks = [block for block in blocks_of(page) if block.not_run is None]
    return [block for block in blocks if block.language in RUN or block.file is not None]


def without_placeholders(block: Block, folder: Path) -> Block:
    """The README's commands: not those that show a form, nor those on files that are missing."""
    commands = []
    missing: set[str] = set()  # The workdirs that are not made, as the files for them are not there.
    for words in block.commands():
        files = [word.partition("=")[2] or word for word in words if word.endswith(".json.gz")]
        is_form = words[:2] == ["./spark-submit.sh", "JOB"] or any("USER_ID" in word for word in words)
        if not all((folder / file).exists() for file in files):
            missing |= {word for word in words if word.startswith("workdir=")}
        elif not is_form and not missing & set(words):
            commands.append(shlex.join(words))
    return replace(block, text="\n".join(commands) + "\n")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files of the checkout, the demo's data made small."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("needs a checkout of git, to know which files belong to the project")
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    for name in CONFIGS:
        config = yaml.safe_load((tmp_path / name).read_text())
        for section, values in SMALL.items():
            config[section] = config.get(section, {}) | values
        (tmp_path / name).write_text(yaml.safe_dump(config))
    for name in ("Gift_Cards_5.json.gz", "meta_Gift_Cards.json.gz"):  # The README's example, where it is available.
        file = Path(os.environ.get("SEQREC_SHARED", ROOT.parent / "shared")) / "data" / name
        if file.exists():
            shutil.copy(file, tmp_path / name)
    return tmp_path


@pytest.fixture
def run(copy: Path) -> Callable[[Block], None]:
    environment = {**os.environ, "SEQREC_ENV": "current", "PYTHONPATH": str(copy)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def run_block(block: Block) -> None:
        if block.file is not None:
            (copy / block.file).write_text(block.text)
            return
        if block.language == "indented":
            block = without_placeholders(block, copy)
        command = ["patch", "-p1", "--forward"] if block.language == "diff" else ["bash", "-euo", "pipefail", "-s"]
        done = subprocess.run(command, input=block.text, cwd=copy, env=environment, capture_output=True, text=True)
        output = "\n".join([done.stdout[-3000:], done.stderr[-3000:]])
        assert done.returncode == 0, f"{block.page}:\n{block.text}\n{output}"

    return run_block


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if to_run(page)], ids=lambda page: page.name)
def test_the_commands_of_a_page_run(page: Path, run: Callable[[Block], None]) -> None:
    for block in to_run(page):
        run(block)


@pytest.mark.slow
def test_the_code_of_the_python_page_runs(copy: Path) -> None:
    code = "\n".join(block.text for block in blocks_of(ROOT / "docs" / "python.md") if block.language == "python")
    environment = {**os.environ, "PYTHONPATH": str(copy)}

    done = subprocess.run([sys.executable, "-c", code], cwd=copy, env=environment, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr[-3000:]
    assert "co_visitation" in done.stdout
    assert "rejected" in done.stdout
