"""Sizes are read from the control groups of both versions, the own group and those above it."""

import os
from pathlib import Path

from seqrec.core.machine import usable_cores, usable_memory

GIB = 1 << 30


def group(root: Path, **files: str) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (root / name.replace("__", ".")).write_text(text)


def test_the_narrowest_group_counts(tmp_path: Path) -> None:
    own = tmp_path / "self"
    own.write_text("0::/outer/inner\n")
    group(tmp_path / "g" / "outer", memory__max=f"{GIB // 4}\n", cpu__max="max 100000\n")
    group(tmp_path / "g" / "outer" / "inner", memory__max="max\n", cpu__max="50000 100000\n")

    assert usable_memory(tmp_path / "g", own) == GIB // 4
    assert usable_cores(tmp_path / "g", own) == 1


def test_groups_of_the_first_version(tmp_path: Path) -> None:
    own = tmp_path / "self"
    own.write_text("5:memory:/docker/a\n4:cpu,cpuacct:/docker/a\n")
    group(tmp_path / "g" / "memory" / "docker" / "a", memory__limit_in_bytes=f"{GIB // 8}")
    group(tmp_path / "g" / "cpu,cpuacct" / "docker" / "a", cpu__cfs_quota_us="90000", cpu__cfs_period_us="100000")

    assert usable_memory(tmp_path / "g", own) == GIB // 8
    assert usable_cores(tmp_path / "g", own) == 1


def test_a_container_sees_its_own_group_at_the_root(tmp_path: Path) -> None:
    group(tmp_path / "g", memory__max=str(GIB // 2), cpu__max="10000 100000")

    assert usable_memory(tmp_path / "g", tmp_path / "none") == GIB // 2
    assert usable_cores(tmp_path / "g", tmp_path / "none") == 1


def test_without_limits_it_is_the_machine(tmp_path: Path) -> None:
    group(tmp_path / "g", memory__max="max", cpu__max="max 100000")

    assert usable_memory(tmp_path / "g", tmp_path / "none") == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert usable_cores(tmp_path / "g", tmp_path / "none") == len(os.sched_getaffinity(0))
