"""Builds Horovod from its source when several workers are first wanted; one worker never needs it.

python -m seqrec.training.workers.horovod_build      builds and installs it now, or finds that it is there

The finished wheel stays in the user's cache, by the versions, the Python and the processor it is for, so a second
environment takes it from there. Only what TensorFlow on CPUs needs is compiled. Horovod is never imported here.
"""

import contextlib
import fcntl
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from seqrec.core.errors import SeqrecError, TrainingError
from seqrec.core.machine import usable_memory
from seqrec.training.workers.horovod_ready import ONE_WORKER, check_can_build, is_ready, tensorflow_version

VERSION = "0.28.1"  # The last release. The digest is that of its source on PyPI.
SHA256 = "92a43f5a94c43907a56805bad15f19700c62ffc83b7ca483f9e104e229f67ef0"
Say: TypeAlias = Callable[[str], None]
_CMAKE = "cmake==3.31.10"  # Where the machine has none that fits: Horovod's build needs 3.13 or later, and not 4.
_SWITCHES = {
    "HOROVOD_WITH_TENSORFLOW": "1",
    "HOROVOD_WITH_GLOO": "1",
    "HOROVOD_WITHOUT_PYTORCH": "1",
    "HOROVOD_WITHOUT_MXNET": "1",
    "HOROVOD_WITHOUT_MPI": "1",
}
_FLAGS = ("avx", "f16c", "fma")  # Instructions that the build uses where the processor has them.
_COMPILER_BYTES = 2 << 30  # Memory of one compiler on TensorFlow's headers.
_PROGRESS_SECONDS = 20.0
# Horovod calls this in the place of CMake. The target leaves out a second gloo, for C++11, which nothing links; XLA's
# operations are registered only under HOROVOD_ENABLE_XLA_OPS; debugging symbols would be most of the library.
_CMAKE_SCRIPT = """#!/bin/sh
set -e
case "$1" in
    --build) folder=$2; shift 2; exec {cmake} --build "$folder" --target tensorflow "$@" ;;
    -*) exec {cmake} "$@" ;;
esac
list="$1/horovod/tensorflow/CMakeLists.txt"
sed '/xla_mpi_ops\\.cc/d' "$list" >"$list.new" && mv "$list.new" "$list"
exec {cmake} "$@" -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="-O2 -DNDEBUG"
"""


def require_horovod() -> None:
    """Returns when Horovod is there: builds it if it is missing, or waits for a build that is under way.

    Raises:
        ConfigError: it is missing, and this environment is not one that seqrec may change, or has no compiler.
        TrainingError: the build has failed.
    """
    if is_ready():
        return
    check_can_build()
    build(lambda line: print(f"train: {line}", file=sys.stderr, flush=True))


def build(say: Say) -> None:
    """Installs Horovod from the cache, or builds it first; one at a time on this machine and user.

    Raises:
        TrainingError: the build has failed.
    """
    place = cached_wheels()
    place.mkdir(parents=True, exist_ok=True)
    log = place / "build.log"
    with _only_one(place / "lock", log, say):
        if is_ready():
            return
        if any(place.glob("*.whl")):
            if _install(place, log):
                return
            say("the Horovod in the cache does not run here; building it again.")
        log.write_text("")
        started = time.monotonic()
        say(f"building Horovod {VERSION} for TensorFlow {tensorflow_version()}, once (log: {log})")
        # Where the short build fails, Horovod's own whole one may still do.
        for is_short in (True, False):
            with tempfile.TemporaryDirectory(prefix="seqrec-horovod-") as folder:
                if _compile(Path(folder), place, log, say, is_short) and _install(place, log):
                    break
        else:
            raise TrainingError(_failure(log))
        say(f"Horovod was built in {time.monotonic() - started:.0f} s.")


def cached_wheels() -> Path:
    """The folder of the user's cache for wheels of these versions, this Python and this kind of processor."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kind = "_".join([sys.platform, platform.machine(), *_processor_flags(), "".join(platform.libc_ver())])
    operations = os.environ.get("HOROVOD_GPU_OPERATIONS", "")
    name = f"{VERSION}-tensorflow_{tensorflow_version()}-{sysconfig.get_config_var('SOABI')}-{kind}{operations}"
    return root / "seqrec" / "horovod" / name


def progress_of(log: Path) -> str:
    """How far a build's log says it is, such as " (57 %)"; empty before anything is compiled."""
    with contextlib.suppress(OSError):
        found = re.findall(r"^ *\[ *(\d+)%\]", log.read_text(errors="replace"), re.MULTILINE)
        return f" ({found[-1]} %)" if found else ""
    return ""


@contextlib.contextmanager
def _only_one(lock: Path, log: Path, say: Say) -> Iterator[None]:
    """Context in which no other process builds or installs from this folder; tells how far the other one is."""
    with lock.open("w") as file:
        next_line, started = 2.0, time.monotonic()
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waited = time.monotonic() - started
                if waited >= next_line:
                    say(f"waiting for Horovod's build{progress_of(log)}, {waited:.0f} s so far (log: {log})")
                    next_line += _PROGRESS_SECONDS
                time.sleep(0.2)
        yield


def _compile(folder: Path, place: Path, log: Path, say: Say, is_short: bool) -> bool:
    """Compiles the wheel in `folder` and moves it to `place`; False if the build fails.

    Args:
        is_short: whether parts that nothing here uses are left out.
    """
    wanted = folder / "horovod.txt"
    wanted.write_text(f"horovod=={VERSION} --hash=sha256:{SHA256}\n")
    cmake = _cmake(folder, log)
    if is_short:
        script = folder / "cmake"
        script.write_text(_CMAKE_SCRIPT.format(cmake=shlex.quote(cmake)))
        script.chmod(0o755)
        cmake = str(script)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = max(1, min(cores, usable_memory() // _COMPILER_BYTES))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    settings = {**_SWITCHES, "HOROVOD_CMAKE": cmake, "MAKEFLAGS": f"-j{jobs}", "PATH": path}
    # Its own dependencies (cloudpickle, packaging, psutil, PyYAML) are in the environment already.
    command = [*_pip("wheel"), "--verbose", "--no-deps", "--no-build-isolation", "--no-cache-dir", "--require-hashes"]
    command += ["--no-binary", "horovod", "--wheel-dir", str(folder / "wheels"), "-r", str(wanted)]
    _run(command, log, settings, say)
    wheels = list((folder / "wheels").glob("horovod-*.whl"))
    if not wheels:
        return False
    for old in place.glob("*.whl"):
        old.unlink()
    part = place / f"{wheels[0].name}.part"  # In the cache's folder, so that the wheel appears whole.
    shutil.copyfile(wheels[0], part)
    part.rename(place / wheels[0].name)
    return True


def _run(command: list[str], log: Path, settings: dict[str, str], say: Say) -> int:
    """Runs a command with its output in the log; ends it with this process."""
    environment = {**os.environ, **settings}
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # So that its compilers can be ended with it.
        )
        next_line, started = _PROGRESS_SECONDS, time.monotonic()
        try:
            while True:
                try:
                    return child.wait(timeout=0.5)
                except subprocess.TimeoutExpired:
                    waited = time.monotonic() - started
                    if waited >= next_line:
                        say(f"building Horovod{progress_of(log)}, {waited:.0f} s so far")
                        next_line += _PROGRESS_SECONDS
        except BaseException:
            os.killpg(child.pid, signal.SIGTERM)
            raise


def _install(place: Path, log: Path) -> bool:
    """Installs the cached wheel; False if it does not run here, and then it is deleted."""
    wheel = max(place.glob("*.whl"))
    command = [*_pip("install"), "--no-deps", "--no-index", "--force-reinstall", str(wheel)]
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    check = [sys.executable, "-c", "import horovod.tensorflow"]
    with log.open("ab") as output:
        for words in (command, check):
            done = subprocess.run(words, env={**os.environ, **quiet}, stdout=output, stderr=output, check=False)
            if done.returncode != 0:
                wheel.unlink()
                return False
    return True


def _cmake(folder: Path, log: Path) -> str:
    """A CMake that Horovod's build takes: the machine's, or one from the package index in `folder`."""
    for program in (str(Path(sys.executable).parent / "cmake"), "cmake"):
        if found := shutil.which(program):
            shown = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
            numbers = re.search(r"(\d+)\.(\d+)", shown)
            if numbers and int(numbers[1]) == 3 and int(numbers[2]) >= 13:
                return found
    _run([*_pip("install"), "--target", str(folder / "packages"), _CMAKE], log, {}, lambda _: None)
    return str(folder / "packages" / "cmake" / "data" / "bin" / "cmake")


def _pip(action: str) -> list[str]:
    return [sys.executable, "-m", "pip", action, "--disable-pip-version-check"]


def _processor_flags() -> list[str]:
    try:
        flags = set(re.findall(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)[0].split())
    except (OSError, IndexError):
        return []
    return [flag for flag in _FLAGS if flag in flags]


def _failure(log: Path) -> str:
    """The message for a build that failed: the line of the log that tells why, and what to do."""
    text = log.read_text(errors="replace") if log.exists() else ""
    found = re.findall(r"^.*(?:fatal error|\berror\b|Error|No space left|not found)[: ].*$", text, re.MULTILINE)
    reason = found[0].strip()[:200] if found else "its log has no line with an error"
    return f"Horovod could not be built: {reason}. Read {log} and fix the cause, or {ONE_WORKER}."


def _tell(line: str) -> None:
    print(f"seqrec set-up: {line}", file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """Builds and installs Horovod; the exit status is 1, with one line, where that is impossible."""
    is_quiet = "--quiet" in argv  # Beside other work, which comes first: only the end is reported.
    if is_quiet:
        os.nice(10)
    os.environ.pop("SEQREC_ENV", None)  # Whoever runs this module asks for it.
    try:
        if not is_ready():
            check_can_build()
            build(lambda line: _tell(line) if not is_quiet or "was built" in line else None)
    except SeqrecError as error:
        print(f"seqrec set-up: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
