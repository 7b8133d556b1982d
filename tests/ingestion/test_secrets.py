"""A download whose address holds a password and a token: neither is written or shown anywhere."""

import base64
import gzip
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from seqrec.core.errors import ConfigError
from seqrec.ingestion.download.public_files import files_to_download
from seqrec.pipeline.command_line import run_job
from seqrec.pipeline.config import load_run_config

SECRET = "hunter2"
# The header of a .gz may name a file; this one would lie outside of wherever it is unpacked.
ESCAPING = b"\x1f\x8b\x08\x08\0\0\0\0\0\xff../../escaped\0" + gzip.compress(b'{"line": 1}\n', mtime=0)[10:]


CUT_SHORT = 0  # A fault: fewer bytes than promised.


class Handler(BaseHTTPRequestHandler):
    faults: list[int] = []

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:  # noqa: N802
        known = base64.b64encode(f"me:{SECRET}".encode()).decode() in self.headers.get("Authorization", "")
        status = 403 if not known or f"token={SECRET}" not in self.path else self.faults.pop() if self.faults else 200
        self.send_response(200 if status == CUT_SHORT else status)
        self.send_header("Content-Length", str({200: len(ESCAPING), CUT_SHORT: 99}.get(status, 0)))
        # A name that the server gives is not taken.
        self.send_header("Content-Disposition", 'attachment; filename="../../escaped"')
        self.end_headers()
        self.wfile.write(ESCAPING if status == 200 else b"")


@pytest.fixture
def mirror() -> Iterator[str]:
    Handler.faults = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://me:{SECRET}@127.0.0.1:{server.server_port}/all"
    server.shutdown()
    server.server_close()


def arguments(tmp_path: Path, mirror: str, path: str, category: str = "Gifts") -> list[str]:
    edition = {"mirrors": [mirror], "reviews": path, "ratings": "r", "metadata": "m", "categories": [category]}
    (tmp_path / "catalogue.yaml").write_text(yaml.safe_dump({"2018": edition}))
    values = {
        "workdir": tmp_path / "in" / "work",
        "download.edition": "'2018'",
        "download.categories": f"['{category}']",
        "download.with_metadata": "false",
        "download.catalogue": tmp_path / "catalogue.yaml",
        "download.max_attempts": 2,
        "download.first_wait_seconds": 0.01,
    }
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def written(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_credentials_reach_neither_the_files_nor_the_screen(
    tmp_path: Path, mirror: str, capsys: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture
) -> None:
    Handler.faults = [404, CUT_SHORT]
    for handler in logging.getLogger().handlers:
        handler.filters.clear()

    path = f"{{category}}.json.gz?token={SECRET}"
    with pytest.raises(SystemExit):
        run_job("download", __file__, arguments(tmp_path, mirror, path))
    run_job("download", __file__, arguments(tmp_path, mirror, path))

    files = written(tmp_path / "in")
    assert "token=***" in caplog.text  # The log says that the download is tried again.
    [manifest] = [content for name, content in files.items() if name.endswith("_manifest.json")]
    said = capsys.readouterr()
    assert "Gifts.json.gz?token=***: the server answers 404" in said.err
    assert b"Gifts.json.gz?token=***" in manifest
    shown = said.out + said.err + caplog.text
    assert SECRET not in shown
    assert [name for name, content in files.items() if SECRET.encode() in content or SECRET in name] == []


def test_no_name_of_an_archive_or_a_server_leads_out_of_the_folder(tmp_path: Path, mirror: str) -> None:
    run_job("download", __file__, arguments(tmp_path, mirror, f"%2e%2e%2f{{category}}.gz?token={SECRET}"))

    names = {name.rpartition("/")[2] for name in written(tmp_path / "in")}
    outside = set(written(tmp_path)) - {f"in/{name}" for name in written(tmp_path / "in")}
    assert "%2e%2e%2fGifts.gz" in names
    assert outside == {"catalogue.yaml"}


@pytest.mark.parametrize("category", ["..", ".", "a/..", "a/"])
def test_a_path_that_names_no_file_is_refused(tmp_path: Path, category: str) -> None:
    config = load_run_config(None, arguments(tmp_path, "http://127.0.0.1:9/all", "{category}", category)[1::2])

    with pytest.raises(ConfigError, match="names no file"):
        files_to_download(config.run.download)


@pytest.mark.parametrize(
    "override",
    [
        f"workdir=s3://me:{SECRET}@bucket/work",
        f"workdir=s3://bucket/work?token={SECRET}",
        f"source.reviews=https://me:{SECRET}@host/reviews.json.gz",
        f"source.metadata=[a.json, 's3://bucket/meta.json?sig={SECRET}']",
        f"training.mlflow=https://me:{SECRET}@host",
        f"export.mlflow_tracking_uri=https://me:{SECRET}@host",
    ],
)
def test_credentials_in_an_address_that_would_be_kept_are_refused_unseen(override: str) -> None:
    with pytest.raises(ConfigError, match=r"with credentials in it: give these in the environment") as refused:
        load_run_config(None, ["source.kind=files", "source.reviews=a.json", override])

    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "key",
    [
        "name",
        "training.run",
        "training.start_from",
        "tuning.study",
        "preparation.vocabulary",
        "evaluation.compare_to",
    ],
)
def test_no_name_leads_out_of_the_workdir(key: str) -> None:
    with pytest.raises(ConfigError, match="it names folders"):
        load_run_config(None, [f"{key}=../../elsewhere"])


def test_no_run_of_a_report_leads_out_of_the_workdir() -> None:
    with pytest.raises(ConfigError, match="it names folders"):
        load_run_config(None, ["evaluation.report_runs=[mine, ../../elsewhere]"])
