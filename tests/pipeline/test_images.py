"""The files for Docker and conda, as far as they can be checked where neither runs."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
INSTRUCTIONS = {"FROM", "RUN", "WORKDIR", "COPY", "USER", "VOLUME", "ENTRYPOINT", "CMD"}


def instructions(name: str) -> list[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.gpu"])
def test_an_image_copies_what_there_is_and_runs_without_rights(name):
    lines = instructions(name)
    copied = [shlex.split(words)[:-1] for word, words in lines if word == "COPY" and "--from" not in words]
    stages = [number for number, (word, _) in enumerate(lines) if word == "FROM"]

    assert {word for word, _ in lines} <= INSTRUCTIONS
    assert all((ROOT / path).exists() for paths in copied for path in paths)
    # All that the recipe of the environment reads, or it would be made again at every start.
    assert {"setup.py", "conf", "seqrec", "jobs", "spark-submit.sh"} <= {path for paths in copied for path in paths}
    assert len(stages) == 2
    assert ("USER", "seqrec") in lines[stages[1] :]


def test_the_conda_environment_names_a_python_and_extras_of_the_package():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    [pip] = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    [extras] = [re.search(r"\[(.*)\]", line)[1].split(",") for line in pip if line.startswith("-e")]

    assert "python=3.11" in environment["dependencies"]
    assert (ROOT / pip[0].removeprefix("-c ")).exists()
    assert all(f'"{extra}":' in (ROOT / "setup.py").read_text() for extra in extras)
