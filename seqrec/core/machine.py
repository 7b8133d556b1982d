"""What this machine, or the container that a process runs in, allows it to use."""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path


def usable_memory() -> int:
    """Bytes that this process may use: the machine's memory, or less in a container."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            memory = min(memory, int(Path(limit).read_text()))
        except (OSError, ValueError):  # There is no such control group, or it says "max".
            continue
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
