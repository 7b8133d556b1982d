"""What Spark needs of a machine: a name for the user, a language in UTF-8, a host name that resolves, a Java that fits.

All are given where they are missing, or refused in one line, before a JVM starts and ends in a trace.
"""

import ctypes.util
import locale
import os
import pwd
import re
import resource
import shutil
import socket
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

from seqrec.core.errors import ConfigError

_JAVA_NEEDED = range(8, 24)  # Later ones have no security manager, which Hadoop's login asks for.
_FILES_NEEDED, _FILES_WANTED = 512, 4096
_WRAPPER = "nss_wrapper"  # The library that reads users from a file of ours.


def prepare_environment(environment: MutableMapping[str, str], *, is_local: bool) -> None:
    """Completes the environment variables of a job.

    Args:
        is_local: whether Spark runs on this machine only.

    Raises:
        ConfigError: Java is of a version that Spark cannot run with, the user has no name and cannot be given one,
            there is no loopback, or too few files may be open at a time.
    """
    _use_utf8(environment)
    _name_user(environment)
    _check_java(environment)
    _check_loopback()
    _allow_open_files()
    if is_local and not _resolves(socket.gethostname()):
        environment.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        environment.setdefault("SPARK_LOCAL_HOSTNAME", "localhost")


def _use_utf8(environment: MutableMapping[str, str]) -> None:
    """Gives all processes one language: in others Java loses letters of file names, or takes `i` for no `I`."""
    environment["PYTHONUTF8"] = "1"
    before = locale.setlocale(locale.LC_CTYPE)
    for name in ("C.UTF-8", "en_US.UTF-8"):
        try:
            locale.setlocale(locale.LC_CTYPE, name)
        except locale.Error:
            continue
        locale.setlocale(locale.LC_CTYPE, before)
        environment["LC_ALL"] = name
        return


def _name_user(environment: MutableMapping[str, str]) -> None:
    """Gives a user id without an entry in the list of users a name, by a list of our own if the system can read one."""
    number = os.geteuid()
    try:
        pwd.getpwuid(number)
        return
    except KeyError:
        library = ctypes.util.find_library(_WRAPPER)
    if _WRAPPER in environment.get("LD_PRELOAD", ""):
        return
    if library is None:
        raise ConfigError(
            f"the user id {number} has no name, and Java needs one: add a line to /etc/passwd (echo "
            f"'seqrec:x:{number}:0::/tmp:/bin/sh' >>/etc/passwd), start the container with a user that has one, or "
            "install libnss-wrapper."
        )
    folder = Path(tempfile.gettempdir()) / f"seqrec-user-{number}"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "passwd").write_text(f"seqrec:x:{number}:{os.getegid()}::{tempfile.gettempdir()}:/bin/sh\n")
    (folder / "group").write_text(f"seqrec:x:{os.getegid()}:\n")
    environment["LD_PRELOAD"] = ":".join(filter(None, [environment.get("LD_PRELOAD"), library]))
    environment["NSS_WRAPPER_PASSWD"] = str(folder / "passwd")
    environment["NSS_WRAPPER_GROUP"] = str(folder / "group")


def _check_java(environment: MutableMapping[str, str]) -> None:
    """Refuses a Java whose release file states another version; one that states none is left to Spark."""
    home = environment.get("JAVA_HOME")
    found = Path(home) / "bin" / "java" if home else Path(shutil.which("java", path=environment.get("PATH")) or "")
    if home and not found.exists():
        raise ConfigError(f"JAVA_HOME is {home}, which has no bin/java: name a Java 11 or 17, or unset it.")
    if found.name != "java":
        raise ConfigError("there is no Java: install Java 11 or 17, or unset SEQREC_ENV to let seqrec install one.")
    major = java_version(found.resolve().parents[1])
    if major is not None and major not in _JAVA_NEEDED:
        raise ConfigError(
            f"{found} is Java {major}, with which Spark does not run: set JAVA_HOME to a Java 11 or 17, or unset "
            "SEQREC_ENV to let seqrec find or install one."
        )


def java_version(home: Path) -> int | None:
    """The major version that a Java states in its folder; 8 for "1.8.0_392". None if it states none."""
    for release in (home / "release", home.parent / "release"):  # Java 8 keeps its programs in jre/bin.
        try:
            stated = re.search(r'JAVA_VERSION="(?:1\.)?(\d+)', release.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
        if stated:
            return int(stated[1])
    return None


def _check_loopback() -> None:
    """Refuses a machine without 127.0.0.1, as containers with IPv6 alone are: Python and its JVM talk by it."""
    try:
        with socket.socket(socket.AF_INET) as probe:
            probe.bind(("127.0.0.1", 0))
    except OSError as error:
        raise ConfigError(
            f"this machine has no address 127.0.0.1 ({error.strerror}), by which Python and Java talk: add it (ip addr "
            "add 127.0.0.1/8 dev lo)."
        ) from None


def _allow_open_files() -> None:
    """Raises the soft limit of open files as far as it may be; Spark's JVM opens hundreds of archives of classes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    most = _FILES_WANTED if hard == unlimited else min(hard, _FILES_WANTED)
    if soft != unlimited and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if hard != unlimited and hard < _FILES_NEEDED:
        raise ConfigError(
            f"this user may have only {hard} files open at a time, and Spark needs {_FILES_NEEDED}: raise the limit "
            "(ulimit -n 4096)."
        )


def _resolves(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True
