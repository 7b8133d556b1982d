"""What takes this environment to a cluster; on a real one: tests/pipeline/test_cluster.py."""

import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import pytest

from seqrec.core.errors import ConfigError
from seqrec.pipeline import cluster_environment as shipping
from seqrec.pipeline import submit
from seqrec.pipeline.command_line import Arguments
from seqrec.pipeline.config import load_run_config

CLUSTER = ["--master", "spark://host:7077"]
SITE = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small virtual environment into which this package is only linked."""
    pytest.importorskip("venv_pack", reason="needs venv-pack")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    prefix = tmp_path / "environment"
    venv.create(prefix, symlinks=True, with_pip=False)
    (prefix / SITE / "__editable__.seqrec-0.1.0.pth").write_text("import nothing_that_is_there")
    (prefix / SITE / "pyspark" / "jars").mkdir(parents=True)
    (prefix / SITE / "pyspark" / "jars" / "spark.jar").write_bytes(b"large")
    return prefix


def test_the_archive_runs_this_package_wherever_it_is_unpacked(environment: Path, tmp_path: Path) -> None:
    archive = shipping.packed_environment(environment)

    with tarfile.open(archive) as content:
        names = content.getnames()
        content.extractall(tmp_path / "node")
    python = tmp_path / "node" / "bin" / "python"
    code = "import seqrec.core.errors as e; print(e.__file__)"
    found = subprocess.run([python, "-E", "-c", code], capture_output=True, text=True, cwd="/", check=True).stdout
    assert Path(found.strip()) == tmp_path / "node" / SITE / "seqrec" / "core" / "errors.py"
    assert [name for name in names if "__editable__" in name or name.endswith(".jar")] == []


def test_the_archive_is_packed_again_only_when_a_file_has_changed(environment: Path) -> None:
    first = shipping.packed_environment(environment)
    made = first.stat().st_mtime_ns
    again = shipping.packed_environment(environment)
    remade = again.stat().st_mtime_ns
    (environment / SITE / "new.py").write_text("")
    second = shipping.packed_environment(environment)
    (environment / SITE / "new.py").write_text("x = 1")
    third = shipping.packed_environment(environment)

    assert (again, remade) == (first, made)
    assert len({first, second, third}) == 3
    assert sorted(first.parent.iterdir()) == sorted([second, third])


def test_what_is_no_virtual_environment_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("venv_pack", reason="needs venv-pack")

    with pytest.raises(ConfigError, match="cannot be packed for the cluster: .* Run from a virtual environment"):
        shipping.packed_environment(tmp_path)


@pytest.mark.parametrize(
    ("ship", "env", "wanted"),
    [("", "", True), ("", "current", False), ("always", "current", True), ("never", "", False)],
)
def test_the_environment_goes_along_when_it_is_our_own_or_asked_for(
    monkeypatch: pytest.MonkeyPatch, ship: str, env: str, wanted: bool
) -> None:
    monkeypatch.setenv("SEQREC_SHIP", ship)
    monkeypatch.setenv("SEQREC_ENV", env)

    assert shipping.wants_shipping() == wanted


def test_another_wish_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQREC_SHIP", "yes")

    with pytest.raises(ConfigError, match="SEQREC_SHIP is 'yes': set it to always or never"):
        shipping.wants_shipping()


@pytest.mark.parametrize(
    ("job", "options", "overrides", "ships"),
    [
        ("prepare", CLUSTER, [], True),
        ("pipeline", CLUSTER, ["pipeline.one_process=true"], True),
        ("pipeline", CLUSTER, [], False),  # The stages that it submits do.
        ("export", CLUSTER, [], False),
        ("prepare", [], [], False),
        ("prepare", [*CLUSTER, "--archives", "mine.tar.gz#environment"], [], False),
        ("prepare", [*CLUSTER, "--conf", "spark.pyspark.python=/opt/python"], [], False),
        ("prepare", CLUSTER, ["preparation.spark.archives=mine.tar.gz#environment"], False),
    ],
)
def test_only_jobs_on_a_cluster_take_the_environment_along_and_the_users_own_wins(
    monkeypatch: pytest.MonkeyPatch, job: str, options: list[str], overrides: list[str], ships: bool
) -> None:
    monkeypatch.setenv("SEQREC_SHIP", "always")
    monkeypatch.setattr(submit, "shipping_settings", lambda: {"spark.archives": "ours.tar.gz#environment"})
    arguments, config = Arguments(job, None, tuple(overrides)), load_run_config(None, overrides)

    shipped = submit._shipped(arguments, config, options)
    command = submit.build_command(arguments, config, options, shipped)

    assert ("spark.archives=ours.tar.gz#environment" in command) == ships


@pytest.mark.parametrize("option", [["--deploy-mode=cluster"], ["--conf", "spark.submit.deployMode=cluster"]])
def test_cluster_mode_ends_in_one_line_however_it_is_asked_for(capsys: pytest.CaptureFixture, option: list) -> None:
    assert submit.main(["prepare", "--", *CLUSTER, *option]) == 1
    assert capsys.readouterr().err.count("\n") == 1
