"""How Horovod comes into an environment; it is compiled for real by every set-up, not here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from seqrec.core.errors import ConfigError
from seqrec.core.machine import how_to_install
from seqrec.training.workers import horovod_build, horovod_ready

HOLD = """
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def own_environment(monkeypatch):
    """This environment, as one that seqrec may change."""
    for name in ("SEQREC_ENV", "DATABRICKS_RUNTIME_VERSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "base_prefix", "/elsewhere")


def without_horovod(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "horovod", raising=False)


def test_a_machine_without_a_compiler_is_told_what_to_install(monkeypatch, own_environment):
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(
        ConfigError, match=r"no g\+\+ and no make here\. Install it \(.*\), or set training\.num_workers=1"
    ):
        horovod_ready.check_can_build()


def test_an_environment_of_others_is_not_changed(monkeypatch):
    monkeypatch.setenv("SEQREC_ENV", "current")
    without_horovod(monkeypatch)

    assert not horovod_ready.is_ready()
    with pytest.raises(ConfigError, match=r"has no Horovod\. Install it .*, or set training\.num_workers=1"):
        horovod_build.require_horovod()


@pytest.mark.parametrize(
    ("release", "command"),
    [
        ("ID=debian", "apt-get install g++ make"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"', "dnf install gcc-c++ make"),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"', "zypper install gcc-c++ make"),
        ("ID=gentoo", "this system's packages of g++ and make"),
    ],
)
def test_packages_have_the_names_of_the_distribution(tmp_path, release, command):
    (tmp_path / "os-release").write_text(release + "\n")

    assert how_to_install(["g++", "make"], tmp_path / "os-release") == command


def test_who_waits_for_another_build_sees_how_far_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = horovod_build.cached_wheels()
    place.mkdir(parents=True)
    (place / "build.log").write_text("  [ 12%] Building CXX object\n  [ 57%] Building CXX object\n")
    command = [sys.executable, "-c", HOLD, place / "lock"]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    holder.stdout.readline()
    monkeypatch.setattr(horovod_build, "is_ready", lambda: True)  # What the other one has done by its end.
    lines = []

    def say(line):
        lines.append(line)
        holder.stdin.close()  # The other one ends.

    horovod_build.build(say)

    assert holder.wait() == 0
    assert len(lines) == 1
    assert lines[0].startswith("waiting for Horovod's build (57 %)")


def test_a_failure_names_the_first_error_and_the_way_without(tmp_path):
    log = tmp_path / "build.log"
    log.write_text("[ 3%] Building\nmpi_ops.cc:21:10: fatal error: tensorflow/x.h: No such file\nmake: *** Error 1\n")

    message = horovod_build._failure(log)

    assert "could not be built: mpi_ops.cc:21:10: fatal error: tensorflow/x.h: No such file." in message
    assert str(log) in message
    assert message.endswith("set training.num_workers=1, which needs no Horovod.")


def test_only_the_library_for_tensorflow_is_built(tmp_path):
    """The script that stands for CMake, before a program that shows how it is called."""
    shown = tmp_path / "shown"
    shown.write_text('#!/bin/sh\nfor word; do printf "<%s>" "$word"; done\n')
    shown.chmod(0o755)
    script = tmp_path / "cmake"
    script.write_text(horovod_build._CMAKE_SCRIPT.format(cmake=shown))
    sources = tmp_path / "horovod" / "tensorflow" / "CMakeLists.txt"
    sources.parent.mkdir(parents=True)
    sources.write_text('list(APPEND "mpi_ops.cc")\nlist(APPEND "xla_mpi_ops.cc")\n')

    def called(*words: str | Path) -> str:
        return subprocess.run(["sh", script, *words], check=True, capture_output=True, text=True).stdout

    assert called("--version") == "<--version>"
    configured = called(tmp_path, "-DCMAKE_BUILD_TYPE=RelWithDebInfo")
    assert configured.startswith(f"<{tmp_path}><-DCMAKE_BUILD_TYPE=RelWithDebInfo>")
    assert configured.endswith("<-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O2 -DNDEBUG>")
    assert sources.read_text() == 'list(APPEND "mpi_ops.cc")\n'
    assert called("--build", ".", "--config", "Release", "--", "VERBOSE=1") == (
        "<--build><.><--target><tensorflow><--config><Release><--><VERBOSE=1>"
    )


def test_a_wheel_is_kept_apart_by_what_it_was_built_for(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = horovod_build.cached_wheels()
    monkeypatch.setattr(horovod_build, "tensorflow_version", lambda: "2.99.0")

    assert before.is_relative_to(tmp_path)
    assert before.name != horovod_build.cached_wheels().name
    assert f"-{os.uname().machine}-linux" in before.name
