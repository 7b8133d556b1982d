"""The two shell scripts, called in every way that a shell allows; no environment is made here."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = (
    "plain",
    "with blanks in it",
    'quote\'s "end"',
    "h\u00e9t\u00e9rog\u00e8ne-\u6f22\u5b57",
    "-dash",
    "$HOME `date`",
)


def copy_to(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in ("conf", "jobs", "seqrec"):
        shutil.copytree(ROOT / name, folder / name)  # With compiled modules, which need not be compiled again.
    for name in ("spark-submit.sh", "setup.py"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_to(tmp_path_factory.mktemp("launcher") / "checkout")


def call(*words: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if name in ("HOME", "LANG", "TMPDIR", "JAVA_HOME")}
    environment = kept | {"PATH": path, "SEQREC_ENV": "current"} | more
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True)


def check_help(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(HELP), done.stdout
    assert done.stderr == ""


HELP = (ROOT / "jobs" / "ingest.py").read_text().splitlines()[0].strip('"')


def test_a_link_to_the_script(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "seqrec").symlink_to(checkout / "spark-submit.sh")
    (tmp_path / "bin" / "again").symlink_to("seqrec")

    check_help(call(str(tmp_path / "bin" / "seqrec"), "ingest", "--help", cwd=tmp_path))
    check_help(call(str(tmp_path / "bin" / "again"), "ingest", "--help", cwd=tmp_path))
    check_help(call("./again", "ingest", "--help", cwd=tmp_path / "bin"))


def test_a_link_to_the_checkout(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "here").symlink_to(checkout)

    check_help(call("bash", "here/spark-submit.sh", "ingest", "--help", cwd=tmp_path))
    check_help(call("here/spark-submit.sh", "ingest", "--help", cwd=tmp_path))
    check_help(call("./spark-submit.sh", "ingest", "--help", cwd=tmp_path / "here"))


def test_a_relative_call_whatever_cdpath_is(checkout: Path) -> None:
    parent, name = checkout.parent, checkout.name
    for cdpath in (str(parent), f".:{parent}", str(checkout)):
        check_help(call("bash", f"{name}/spark-submit.sh", "ingest", "--help", cwd=parent, CDPATH=cdpath))
        check_help(call("bash", "spark-submit.sh", "ingest", "--help", cwd=checkout, CDPATH=cdpath))
        done = call("bash", f"{name}/conf/environment.sh", "pwd", cwd=parent, CDPATH=cdpath)
        assert (done.returncode, done.stdout) == (0, f"{parent}\n"), done.stderr


def test_a_bash_env_is_not_read_again_by_what_runs_inside(checkout: Path, tmp_path: Path) -> None:
    reads, script = tmp_path / "reads", tmp_path / "env.sh"
    script.write_text(f"set -u; echo read >>'{reads}'\n")

    check_help(call("bash", "spark-submit.sh", "ingest", "--help", cwd=checkout, BASH_ENV=str(script)))
    assert reads.read_text() == "read\n"
    done = call("bash", "conf/environment.sh", "bash", "-c", "true", cwd=checkout, BASH_ENV=str(script))
    assert done.returncode == 0, done.stderr
    assert reads.read_text() == "read\n" * 2


@pytest.mark.parametrize("name", FOLDERS)
def test_a_checkout_in_any_folder(name: str, tmp_path: Path) -> None:
    folder = copy_to(tmp_path / name)

    check_help(call(str(folder / "spark-submit.sh"), "ingest", "--help", cwd=tmp_path))
    check_help(call("bash", "spark-submit.sh", "ingest", "--help", cwd=folder))


def test_a_checkout_that_cannot_be_written_to(checkout: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    folder = copy_to(tmp_path / "read_only")
    folder.chmod(0o555)
    try:
        done = call("bash", "spark-submit.sh", "ingest", "--help", cwd=folder, SEQREC_ENV="")
    finally:
        folder.chmod(0o755)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"seqrec set-up: error: cannot write in {folder}")


def recorded(checkout: Path, place: Path) -> None:
    """An environment as a set-up leaves it, for another recipe than today's."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", checkout / ".venv"], check=True)
    (checkout / ".venv" / ".seqrec-complete").write_text(f"1 2\n{place}\n")


def test_an_environment_of_another_place_is_left_alone(tmp_path: Path) -> None:
    folder = copy_to(tmp_path / "moved")
    recorded(folder, tmp_path / "before")
    before = sorted(path.name for path in (folder / ".venv").rglob("*"))

    done = call("bash", "spark-submit.sh", "ingest", "--help", cwd=folder, SEQREC_ENV="")

    assert done.returncode == 1
    assert f"was made in {tmp_path / 'before'} and does not work here: delete it" in done.stderr.splitlines()[-1]
    assert sorted(path.name for path in (folder / ".venv").rglob("*")) == before


def test_an_environment_is_not_mixed_with_another_python(tmp_path: Path) -> None:
    folder = copy_to(tmp_path / "checkout")
    recorded(folder, folder)
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\necho 3.10.99\n")  # Whatever it is asked, it is another version.
    other.chmod(0o755)

    done = call("bash", "spark-submit.sh", "ingest", "--help", cwd=folder, SEQREC_ENV="", SEQREC_PYTHON=str(other))

    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert f"but SEQREC_PYTHON is '{other}' (Python 3.10.99): unset SEQREC_PYTHON, or delete" in last
