"""What a machine may lack is given, or refused in one line. `test_machines.py` tries it with real jobs."""

import os
import pwd
from pathlib import Path

import pytest

from seqrec.core.errors import ConfigError
from seqrec.pipeline import machine_environment
from seqrec.pipeline.machine_environment import java_version, prepare_environment


def java(folder: Path, version: str, program: str = "bin/java") -> Path:
    (folder / program).parent.mkdir(parents=True)
    (folder / program).write_text("")
    (folder / program).chmod(0o755)
    (folder / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    return folder


@pytest.mark.parametrize(
    ("stated", "major"), [("1.8.0_392", 8), ("11.0.2", 11), ("17", 17), ("25.0.1", 25), ("", None)]
)
def test_java_states_its_version(stated: str, major: int | None, tmp_path: Path) -> None:
    assert java_version(java(tmp_path / "java", stated)) == major
    (tmp_path / "jre" / "bin").mkdir(parents=True)
    assert java_version(tmp_path / "none") is None


@pytest.mark.parametrize("version", ["1.7.0", "24.0.1", "25"])
def test_a_java_that_spark_cannot_use_is_refused(version: str, tmp_path: Path) -> None:
    home = java(tmp_path / "java", version)

    with pytest.raises(ConfigError, match=r"is Java \d+, with which Spark does not run: set JAVA_HOME to a Java 11"):
        prepare_environment({"JAVA_HOME": str(home)}, is_local=True)
    with pytest.raises(ConfigError, match="with which Spark does not run"):
        prepare_environment({"PATH": str(home / "bin")}, is_local=True)
    prepare_environment({"JAVA_HOME": str(java(tmp_path / "good", "17.0.1"))}, is_local=True)


def test_a_java_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="which has no bin/java: name a Java 11 or 17, or unset it"):
        prepare_environment({"JAVA_HOME": str(tmp_path)}, is_local=True)
    with pytest.raises(ConfigError, match="there is no Java: install"):
        prepare_environment({"PATH": str(tmp_path)}, is_local=True)


def test_all_processes_speak_utf8(tmp_path: Path) -> None:
    environment = {"JAVA_HOME": str(java(tmp_path / "java", "17")), "LC_ALL": "tr_TR.UTF-8", "LANG": "xx_YY"}

    prepare_environment(environment, is_local=True)

    assert environment["LC_ALL"].endswith(".UTF-8")
    assert environment["LC_ALL"] != "tr_TR.UTF-8"
    assert environment["PYTHONUTF8"] == "1"


@pytest.mark.parametrize("is_local", [True, False])
def test_a_host_whose_name_does_not_resolve(is_local: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "no-such-host.invalid")
    environment = {"JAVA_HOME": str(java(tmp_path / "java", "17"))}

    prepare_environment(environment, is_local=is_local)

    assert environment.get("SPARK_LOCAL_IP") == ("127.0.0.1" if is_local else None)


def test_a_user_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(machine_environment.ctypes.util, "find_library", lambda name: None)
    environment = {"JAVA_HOME": str(java(tmp_path / "java", "17"))}

    with pytest.raises(ConfigError, match=rf"the user id {os.geteuid()} has no name, .*: add a line to /etc/passwd"):
        prepare_environment(environment, is_local=True)

    monkeypatch.setattr(machine_environment.ctypes.util, "find_library", lambda name: f"lib{name}.so")
    prepare_environment(environment, is_local=True)
    assert environment["LD_PRELOAD"] == "libnss_wrapper.so"
    assert Path(environment["NSS_WRAPPER_PASSWD"]).read_text().startswith(f"seqrec:x:{os.geteuid()}:")
    prepare_environment(environment, is_local=True)
    assert environment["LD_PRELOAD"] == "libnss_wrapper.so"
