"""What native code writes to standard error goes to the log, and what we write stays on the screen."""

import os
import sys
from pathlib import Path

import pytest

from seqrec.scoring.library_log import LOG_VARIABLE, log_with_content, name_log, native_errors_in_log, opened_log


def test_native_errors_go_to_the_log_and_ours_to_the_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(LOG_VARIABLE, str(tmp_path / "job.log"))
    assert log_with_content() is None

    print("before", file=sys.stderr)
    with native_errors_in_log():
        os.write(2, b"Unable to register cuBLAS factory\n")
    print("after", file=sys.stderr)

    assert capfd.readouterr().err == "before\nafter\n"
    assert log_with_content() == str(tmp_path / "job.log")
    assert (tmp_path / "job.log").read_text() == "Unable to register cuBLAS factory\n"


@pytest.mark.parametrize("place", [None, "/nowhere/job.log"])
def test_without_a_log_libraries_write_to_the_screen(
    place: str | None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(LOG_VARIABLE, raising=False)
    if place:
        monkeypatch.setenv(LOG_VARIABLE, place)

    with native_errors_in_log():
        os.write(2, b"noise\n")

    assert capfd.readouterr().err == "noise\n"
    with opened_log() as log:
        assert log is None


def test_a_log_is_named_once_for_a_job_and_what_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LOG_VARIABLE, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    name_log("pipeline")
    first = os.environ[LOG_VARIABLE]
    name_log("train")

    assert os.environ[LOG_VARIABLE] == first
    assert Path(first).parent.parent == tmp_path
    monkeypatch.delenv(LOG_VARIABLE)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    name_log("train")
    assert LOG_VARIABLE not in os.environ
