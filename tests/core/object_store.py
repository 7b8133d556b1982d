"""An S3-compatible server on loopback: moto's, from PyPI, in this environment or in that of SEQREC_MOTO."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow.fs as pafs
import pytest

BUCKET = "seqrec"


def environment_of(url: str) -> dict[str, str]:
    """What makes pyarrow, Spark and Amazon's own programs use the server."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "anyone",
        "AWS_SECRET_ACCESS_KEY": "hunter2",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def object_store() -> Iterator[str]:
    """Yields the address of a server with one empty bucket; skips the test where there is no moto."""
    python = os.environ.get("SEQREC_MOTO") or (sys.executable if importlib.util.find_spec("moto") else None)
    if python is None:
        pytest.skip(
            "needs moto: pip install 'moto[s3]' flask flask-cors, or name a Python that has them in SEQREC_MOTO"
        )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [python, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(port, server)
        files = pafs.S3FileSystem(
            access_key="anyone",
            secret_key="hunter2",
            endpoint_override=f"127.0.0.1:{port}",
            scheme="http",
            region="us-east-1",
            connect_timeout=60,
            request_timeout=60,
            allow_bucket_creation=True,
        )
        files.create_dir(BUCKET)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def _wait(port: int, server: subprocess.Popen) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError("moto's server did not start")
