"""What this machine, or the container that a process runs in, allows it to use."""

import os
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
