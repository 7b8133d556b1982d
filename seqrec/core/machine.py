"""What this machine, or the container that a process runs in, allows it to use."""

import math
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")


def usable_memory(root: Path = _GROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """Bytes that this process may use: the machine's memory, or less in a container.

    Args:
        root: where the system shows control groups; `own` tells which of them hold this process.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for folder in _folders(root, own):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = _numbers(folder / name)
            memory = min([memory, *limit[:1]])
    return memory


# What a program's package is called, by the manager of packages that a distribution, or one that it is like, has.
_PACKAGES = {
    ("debian", "ubuntu"): ("apt-get install", {"g++": "g++", "make": "make"}),
    ("fedora", "rhel", "centos", "amzn"): ("dnf install", {"g++": "gcc-c++", "make": "make"}),
    ("suse", "opensuse", "sles"): ("zypper install", {"g++": "gcc-c++", "make": "make"}),
    ("arch",): ("pacman -S", {"g++": "gcc", "make": "make"}),
    ("alpine",): ("apk add", {"g++": "g++", "make": "make"}),
}


def how_to_install(programs: Sequence[str], os_release: Path = Path("/etc/os-release")) -> str:
    """The command that installs programs ("g++", "make") on this very distribution, such as "apt-get install g++"."""
    if sys.platform == "darwin":
        return "xcode-select --install"
    try:
        text = os_release.read_text(encoding="utf-8")
    except OSError:
        text = ""
    names = re.findall(r"[a-z]+", " ".join(re.findall(r"^ID(?:_LIKE)?=(.*)$", text, re.MULTILINE)))
    for families, (command, packages) in _PACKAGES.items():
        if set(families) & set(names):
            return f"{command} {' '.join(packages[name] for name in programs)}"
    return f"this system's packages of {' and '.join(programs)}"


def usable_cores(root: Path = _GROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """Cores that this process may use at a time, at least 1: those it may run on, or less time in a container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _folders(root, own):
        quota = _numbers(folder / "cpu.max") or [
            *_numbers(folder / "cpu.cfs_quota_us"),
            *_numbers(folder / "cpu.cfs_period_us"),
        ]
        if len(quota) == 2 and quota[0] > 0 and quota[1] > 0:
            cores = min(cores, math.ceil(quota[0] / quota[1]))
    return max(1, cores)


def _folders(root: Path, own: Path) -> Iterator[Path]:
    """The control groups of this process, in both versions of the system, up to their roots."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in ["0::/", ":memory:/", ":cpu,cpuacct:/", ":cpu:/", *lines]:
        _, controllers, path = line.split(":", 2)
        base = root / controllers if controllers else root
        inside = base / path.lstrip("/")
        while inside != base:
            yield inside
            inside = inside.parent
        yield base


def _numbers(file: Path) -> list[int]:
    """The numbers in a file; none if it is not there, or if it says "max": no limit."""
    try:
        return [int(word) for word in file.read_text(encoding="utf-8").split()]
    except (OSError, ValueError):
        return []
