"""Real jobs on odd machines: each gives the same tables, or ends in one line that names the cause.

Names of files, users and items have letters of several scripts, which must come through whatever the language is.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from seqrec.core.manifest import Dataset
from seqrec.core.storage import Storage

ROOT = Path(__file__).parents[2]
USERS = ("Zo\u00eb", "\u0418\u0432\u0430\u043d", "\u5c0f\u660e", "\u0131\u0130iI", "\U0001f600", "a", "b", "c")
ITEMS = ("Caf\u00e9", "\u0447\u0430\u0439", "\u304a\u8336", "INF\u0130", "\u20ac", "x")
AS_ROOT = os.geteuid() == 0
JAVA_25 = "/usr/lib/jvm/temurin-25-jdk-amd64"


def in_mounts(*mounts: str) -> tuple[str, ...]:
    """A command prefix under which file systems are mounted that nobody else sees."""
    return ("unshare", "--mount", "sh", "-c", " && ".join([*mounts, 'exec "$@"']), "sh")


def limited(limits: str) -> tuple[str, ...]:
    return ("bash", "-c", f'ulimit {limits} && exec "$@"', "bash")


@dataclass(frozen=True)
class Machine:
    prefix: tuple[str, ...] = ()
    variables: dict[str, str | None] = field(default_factory=dict)  # None takes a variable away.
    refused: str | None = None  # The last line, where there is no way to work.
    needs_root: bool = False
    needs: str | None = None  # A program or folder.


MACHINES = {
    "a user id without a name": Machine(
        ("setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"),
        refused=r"the user id 54321 has no name, and Java needs one: add a line to /etc/passwd",
        needs_root=True,
    ),
    "no HOME": Machine(variables={"HOME": None}),
    "a HOME that is not there": Machine(variables={"HOME": "/nonexistent"}),
    "no USER and LOGNAME": Machine(variables={"USER": None, "LOGNAME": None}),
    "a TMPDIR that is not there": Machine(variables={"TMPDIR": "/nonexistent"}),
    "a TMPDIR without execution": Machine(
        in_mounts("mount -t tmpfs -o noexec tmpfs /mnt"), {"TMPDIR": "/mnt"}, needs_root=True
    ),
    "a full TMPDIR": Machine(
        in_mounts("mount -t tmpfs -o size=64k tmpfs /mnt", "(cat /dev/zero >/mnt/full; true) 2>/dev/null"),
        {"TMPDIR": "/mnt"},
        needs_root=True,
    ),
    "a small /dev/shm": Machine(in_mounts("mount -t tmpfs -o size=64k tmpfs /dev/shm"), needs_root=True),
    "LC_ALL=C": Machine(variables={"LC_ALL": "C"}),
    "LC_ALL=POSIX": Machine(variables={"LC_ALL": "POSIX"}),
    "LANG=C and no other": Machine(variables={"LANG": "C", "LC_ALL": None}),
    "no LANG": Machine(variables={"LANG": None, "LC_ALL": None}),
    "a language that is not installed": Machine(variables={"LC_ALL": "xx_YY.UTF-8"}),
    "Turkish": Machine(variables={"LC_ALL": "tr_TR.UTF-8", "JAVA_TOOL_OPTIONS": "-Duser.language=tr"}),
    "Japanese in another encoding": Machine(variables={"LC_ALL": "ja_JP.eucJP"}),
    "UTC+5:30": Machine(variables={"TZ": "Asia/Kolkata"}),
    "UTC-9:30": Machine(variables={"TZ": "Pacific/Marquesas"}),
    "a time zone that is none": Machine(variables={"TZ": "Nowhere/Else"}),
    "a host name that does not resolve": Machine(
        ("unshare", "--uts", "sh", "-c", 'hostname no-such-host.invalid && exec "$@"', "sh"), needs_root=True
    ),
    "no network but the loopback": Machine(
        ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"), needs_root=True, needs="ip"
    ),
    "256 open files": Machine(limited("-n 256")),
    "no core files": Machine(limited("-c 0")),
    "Java 25": Machine(
        variables={"JAVA_HOME": JAVA_25},
        refused=r"is Java 25, with which Spark does not run: set JAVA_HOME to a Java 11 or 17",
        needs=JAVA_25,
    ),
    "a JAVA_HOME that is not there": Machine(
        variables={"JAVA_HOME": "/nowhere"},
        refused="JAVA_HOME is /nowhere, which has no bin/java: name a Java 11 or 17",
    ),
}


def write_reviews(folder: Path) -> Path:
    lines = [
        json.dumps(
            {"reviewerID": user, "asin": item, "overall": 5.0, "unixReviewTime": 1_400_000_000 + day * 86_400},
            ensure_ascii=False,
        )
        for user in USERS
        for day, item in enumerate(ITEMS)
    ]
    path = folder / "B\u00fccher \u66f8.json"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def run(job: str, folder: Path, machine: Machine) -> subprocess.CompletedProcess[str]:
    settings = {
        "workdir": folder / "w\u00f6rk",
        "name": "odd",
        "source.kind": "files",
        "source.reviews": folder / "B\u00fccher \u66f8.json",
        "preparation.num_test_negatives": 3,
    }
    command = [*machine.prefix, str(ROOT / "spark-submit.sh"), job]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    environment = dict(os.environ)
    for name, value in machine.variables.items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment)


def tables(folder: Path) -> dict[str, tuple[int, str]]:
    storage = Storage(str(folder / "w\u00f6rk"))
    return {
        f"{kind}/{name}": (table.rows, table.content)
        for kind, job in (("ingested", "ingest"), ("prepared", "prepare"))
        for name, table in Dataset(storage, kind, "odd").require(job).tables.items()
    }


def made(folder: Path, machine: Machine) -> dict[str, tuple[int, str]]:
    write_reviews(folder)
    for job in ("ingest", "prepare"):
        done = run(job, folder, machine)
        assert done.returncode == 0, done.stderr[-4000:]
    return tables(folder)


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    found = made(tmp_path_factory.mktemp("usual"), Machine())
    assert found["ingested/reviews"][0] == len(USERS) * len(ITEMS)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_works_or_is_refused_in_one_line(
    name: str, usual: dict[str, tuple[int, str]], tmp_path: Path
) -> None:
    machine = MACHINES[name]
    if machine.needs_root and not AS_ROOT:
        pytest.skip("needs root")
    if machine.needs and not (shutil.which(machine.needs) or os.path.exists(machine.needs)):
        pytest.skip(f"needs {machine.needs}")
    if machine.prefix[:1] == ("setpriv",) and subprocess.run([*machine.prefix, sys.executable, "-c", ""]).returncode:
        pytest.skip("this Python may be run by its owner only")
    if machine.refused is None:
        assert made(tmp_path, machine) == usual
        return
    write_reviews(tmp_path)
    tmp_path.chmod(0o777)
    done = run("ingest", tmp_path, machine)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert re.search(f"^seqrec ingest: error: .*{machine.refused}", last), done.stderr
    assert not (tmp_path / "w\u00f6rk").exists()
