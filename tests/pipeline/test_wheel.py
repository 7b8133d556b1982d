"""The wheel alone, in an environment of its own that knows nothing of the checkout."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from seqrec.pipeline.stages import STAGES

ROOT = Path(__file__).parents[2]
# As Databricks finds what a python_wheel_task names: in the metadata of the package, by name.
TASK = """
import sys
from importlib import metadata
[entry] = [e for e in metadata.distribution("seqrec").entry_points if e.name == sys.argv[0]]
entry.load()()
"""


def built(folder: Path, **environment: str) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), "."]
    # A copy: a build leaves files beside what it builds.
    source = folder / "source"
    source.mkdir(parents=True)
    for name in ("setup.py", "pyproject.toml", "README.md", "seqrec", "jobs", "conf"):
        subprocess.run(["cp", "-r", ROOT / name, source / name], check=True)
    subprocess.run(command, cwd=source, env={**os.environ, **environment}, check=True)
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel; the wheel's requirements come from the one that runs this test."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = built(folder / "built")
    venv.create(folder / "env", with_pip=False)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "env" / "lib" / version / "site-packages"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(packages), str(wheel)]
    subprocess.run(install, check=True)
    # One .pth file is read, those behind it are not: an editable install of the checkout stays out of sight.
    (packages / "requirements.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "env" / "bin" / "python"


def run(python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    clean |= {"PYSPARK_PYTHON": str(python), "PYSPARK_DRIVER_PYTHON": str(python)}
    return subprocess.run([python, *arguments], cwd=folder, env=clean, capture_output=True, text=True)


def task(python: Path, folder: Path, job: str, *arguments: str) -> subprocess.CompletedProcess:
    return run(python, folder, "-c", f"import sys; sys.argv = {[job, *arguments]!r}\n{TASK}")


def test_the_wheel_has_an_entry_point_for_every_job(python: Path, tmp_path: Path) -> None:
    code = "from importlib import metadata as m; print(*(e.name for e in m.distribution('seqrec').entry_points))"

    done = run(python, tmp_path, "-c", f"import seqrec; print(seqrec.__file__); {code}")

    where, names = done.stdout.splitlines()
    assert Path(where).is_relative_to(python.parents[1])
    assert set(names.split()) == {"seqrec", *STAGES, *(f"seqrec-{job}" for job in STAGES)}


def test_a_command_of_the_wheel_is_named_after_its_job(python: Path, tmp_path: Path) -> None:
    [script] = python.parents[1].glob("lib/*/site-packages/bin/seqrec-prepare")

    done = run(python, tmp_path, str(script), "--help")  # `pip install --target` puts it there.

    assert done.returncode == 0, done.stderr
    assert "min_interactions: int = 5" in done.stdout


def test_a_job_of_the_wheel_has_its_help(python: Path, tmp_path: Path) -> None:
    done = task(python, tmp_path, "prepare", "--help")

    assert done.returncode == 0, done.stderr
    assert "min_interactions: int = 5" in done.stdout


def test_the_command_lists_the_jobs(python: Path, tmp_path: Path) -> None:
    done = task(python, tmp_path, "seqrec", "help")

    assert done.returncode == 0, done.stderr
    assert {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")} == set(STAGES)


def test_a_wheel_for_databricks_requires_nothing_that_the_runtime_has(tmp_path: Path) -> None:
    wheel = built(tmp_path / "built", SEQREC_RUNTIME="databricks")

    with zipfile.ZipFile(wheel) as files:
        [metadata] = [name for name in files.namelist() if name.endswith(".dist-info/METADATA")]
        lines = files.read(metadata).decode().splitlines()
    required = {
        line.split(":")[1].split()[0].rstrip("<>=,.0123456789")
        for line in lines
        if line.startswith("Requires-Dist") and "extra" not in line
    }
    assert required == {"pydantic", "rich", "isal", "rapidgzip", "zstandard", "optuna"}


@pytest.mark.slow
def test_a_task_of_the_wheel_runs_a_packaged_config(python: Path, tmp_path: Path) -> None:
    small = ("synthesis.num_reviews=3000", "synthesis.num_users=300", "synthesis.num_items=100")
    arguments = [word for override in (f"workdir={tmp_path / 'work'}", *small) for word in ("--set", override)]

    done = task(python, tmp_path, "synthesize", "--config", "conf/demo.yaml", *arguments)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "work" / "raw" / "demo" / "_manifest.json").exists()
