"""Real jobs on odd machines: each gives the same tables, or ends in one line that names the cause.

Names of files, users and items have letters of several scripts, which must come through whatever the language is.
"""

import contextlib
import ctypes.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from seqrec.core.manifest import Dataset
from seqrec.core.storage import Storage
from tests.pipeline.test_shells import shadow

ROOT = Path(__file__).parents[2]
USERS = ("Zo\u00eb", "\u0418\u0432\u0430\u043d", "\u5c0f\u660e", "\u0131\u0130iI", "\U0001f600", "a", "b", "c")
ITEMS = ("Caf\u00e9", "\u0447\u0430\u0439", "\u304a\u8336", "INF\u0130", "\u20ac", "x")
AS_ROOT = os.geteuid() == 0
JAVA_25 = "/usr/lib/jvm/temurin-25-jdk-amd64"
GROUP = f"seqrec-test-{os.getpid()}"
WRAPPER = "libnss_wrapper"


def in_mounts(*mounts: str) -> tuple[str, ...]:
    """A command prefix under which file systems are mounted that nobody else sees."""
    return ("unshare", "--mount", "sh", "-c", " && ".join([*mounts, 'exec "$@"']), "sh")


def limited(limits: str) -> tuple[str, ...]:
    return ("bash", "-c", f'ulimit {limits} && exec "$@"', "bash")


def in_group(memory_mb: int, cores: float) -> tuple[str, ...]:
    """A command prefix that runs in a control group of its own, of the first version of control groups."""
    folder = f"{GROUP}-{memory_mb}"
    memory, processor = f"/sys/fs/cgroup/memory/{folder}", f"/sys/fs/cgroup/cpu/{folder}"
    return (
        "sh",
        "-c",
        f"mkdir -p {memory} {processor} && echo {memory_mb << 20} >{memory}/memory.limit_in_bytes && "
        f"echo {int(cores * 100_000)} >{processor}/cpu.cfs_quota_us && echo $$ >{memory}/cgroup.procs && "
        f'echo $$ >{processor}/cgroup.procs && exec "$@"',
        "sh",
    )


@dataclass(frozen=True)
class Machine:
    prefix: tuple[str, ...] = ()
    variables: dict[str, str | None] = field(default_factory=dict)  # None takes a variable away.
    refused: str | None = None  # The last line, where there is no way to work.
    needs_root: bool = False
    needs: str | None = None  # A program, a library or a folder.
    jobs: tuple[str, ...] = ("ingest",)
    shadowed: bool = False  # Whether the job is called in a folder with modules of the names of those that it needs.


def speaking(**variables: str | None) -> Machine:
    """A machine of another language, or time zone: each stage has to keep all letters and days."""
    return Machine(variables=variables, jobs=("ingest", "prepare"))


MACHINES = {
    "a user id without a name": Machine(
        ("unshare", "--user", "--map-user=54321", "--map-group=54321"),
        refused=r"the user id 54321 has no name, and Java needs one: add a line to /etc/passwd",
    ),
    "a user id without a name, and libnss-wrapper": Machine(
        ("unshare", "--user", "--map-user=54321", "--map-group=54321"), needs=WRAPPER
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
    "LC_ALL=C": speaking(LC_ALL="C"),
    "LC_ALL=POSIX": speaking(LC_ALL="POSIX"),
    "LANG=C and no other": speaking(LANG="C", LC_ALL=None),
    "no LANG": speaking(LANG=None, LC_ALL=None),
    "a language that is not installed": speaking(LC_ALL="xx_YY.UTF-8"),
    "Turkish": speaking(LC_ALL="tr_TR.UTF-8", JAVA_TOOL_OPTIONS="-Duser.language=tr"),
    "Japanese in another encoding": speaking(LC_ALL="ja_JP.eucJP"),
    "UTC+5:30": speaking(TZ="Asia/Kolkata"),
    "UTC-9:30": speaking(TZ="Pacific/Marquesas"),
    "a time zone that is none": speaking(TZ="Nowhere/Else"),
    "a host name that does not resolve": Machine(
        ("unshare", "--uts", "sh", "-c", 'hostname no-such-host.invalid && exec "$@"', "sh"), needs_root=True
    ),
    "no network but the loopback": Machine(
        ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"), needs_root=True, needs="ip"
    ),
    "no network but the loopback of IPv6": Machine(
        (
            "unshare",
            "--net",
            "sh",
            "-c",
            'ip link set lo up && ip addr del 127.0.0.1/8 dev lo && exec "$@"',
            "sh",
        ),
        refused="this machine has no address 127.0.0.1 .*, by which Python and Java talk: add it",
        needs_root=True,
        needs="ip",
    ),
    "a control group of 2 GiB and 1.5 cores": Machine(
        in_group(2048, 1.5), needs_root=True, needs="/sys/fs/cgroup/memory"
    ),
    "a control group of 1 GiB and half a core": Machine(
        in_group(1024, 0.5), needs_root=True, needs="/sys/fs/cgroup/memory"
    ),
    "Persian": speaking(LC_ALL="fa_IR.UTF-8", JAVA_TOOL_OPTIONS="-Duser.language=fa"),
    "Thai": speaking(JAVA_TOOL_OPTIONS="-Duser.language=th -Duser.country=TH"),
    "Latin-1": speaking(LC_ALL="de_DE", PYTHONIOENCODING="latin-1", PYTHONUTF8="0"),
    "a folder of other modules": Machine(jobs=("ingest", "prepare"), shadowed=sys.version_info >= (3, 11)),
    "256 open files, unless it asks for more": Machine(limited("-S -n 256")),
    "512 open files": Machine(limited("-n 512")),
    "256 open files": Machine(
        limited("-n 256"),
        refused="this user may have only 256 files open at a time, and Spark needs 512: raise the limit",
    ),
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
    place = shadow(folder / f"shadow-{job}") if machine.shadowed else folder
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", errors="replace", env=environment, cwd=place
    )


KINDS = {"ingest": "ingested", "prepare": "prepared"}


def made(folder: Path, machine: Machine) -> dict[str, tuple[int, str]]:
    """Rows and digests of all tables that the jobs of a machine write."""
    write_reviews(folder)
    for job in machine.jobs:
        done = run(job, folder, machine)
        assert done.returncode == 0, done.stderr[-4000:]
    storage = Storage(str(folder / "w\u00f6rk"))
    return {
        f"{KINDS[job]}/{name}": (table.rows, table.content)
        for job in machine.jobs
        for name, table in Dataset(storage, KINDS[job], "odd").require(job).tables.items()
    }


def library(name: str) -> str | None:
    return ctypes.util.find_library(name.removeprefix("lib"))


@pytest.fixture(autouse=True)
def _no_groups_are_left() -> Iterator[None]:
    yield
    for folder in Path("/sys/fs/cgroup").glob(f"*/{GROUP}-*"):
        with contextlib.suppress(OSError):  # A process may still end.
            folder.rmdir()


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    found = made(tmp_path_factory.mktemp("usual"), speaking())
    assert found["ingested/reviews"][0] == len(USERS) * len(ITEMS)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_works_or_is_refused_in_one_line(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    machine = MACHINES[name]
    if machine.needs_root and not AS_ROOT:
        pytest.skip("needs root")
    if machine.needs and not (shutil.which(machine.needs) or os.path.exists(machine.needs) or library(machine.needs)):
        pytest.skip(f"needs {machine.needs}")
    if "--user" in machine.prefix and bool(library(WRAPPER)) != (machine.needs == WRAPPER):
        pytest.skip(f"{WRAPPER} is there" if library(WRAPPER) else f"needs {WRAPPER}")
    if subprocess.run([*machine.prefix, "true"]).returncode:
        pytest.skip(f"may not run {machine.prefix[0]}")
    if machine.refused is None:
        usual = request.getfixturevalue("usual")
        assert made(tmp_path, machine) == {
            name: table for name, table in usual.items() if name.startswith(tuple(KINDS[job] for job in machine.jobs))
        }
        return
    write_reviews(tmp_path)
    tmp_path.chmod(0o777)
    done = run("ingest", tmp_path, machine)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert re.search(f"^seqrec ingest: error: .*{machine.refused}", last), done.stderr
    assert not (tmp_path / "w\u00f6rk").exists()
