"""Every stage on storage that is not a local disk: an S3-compatible server, and a mount that takes files only whole.

Slow, and skipped where something is missing: moto's server (see tests/core/object_store.py), the jars of hadoop-aws
3.3.4 and aws-java-sdk-bundle 1.12.262 in the folder SEQREC_HADOOP_AWS (or in ~/.ivy2/jars, where
`spark-submit --packages org.apache.hadoop:hadoop-aws:3.3.4` puts them), FUSE (see tests/core/strict_mount.py).
"""

import os
from pathlib import Path
from typing import Any

import pytest

from seqrec.core.storage import Storage
from tests.core.object_store import BUCKET, environment_of, object_store
from tests.core.strict_mount import strict_mount
from tests.pipeline.every_stage import assert_same, contents, run_stages

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("disk")
    run_stages(str(folder / "work"))
    return contents(Storage(str(folder / "work")), folder)


@pytest.fixture(scope="module")
def jars() -> str:
    folder = Path(os.environ.get("SEQREC_HADOOP_AWS", Path.home() / ".ivy2" / "jars"))
    found = [str(jar) for name in ("hadoop-aws", "aws-java-sdk-bundle") for jar in folder.glob(f"*{name}-*.jar")]
    if len(found) != 2:
        pytest.skip(f"needs the jars of hadoop-aws 3.3.4, which are not in {folder}")
    return ",".join(found)


def test_every_stage_on_an_s3_server(
    on_disk: dict[str, Any], jars: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with object_store() as url:
        for name, value in environment_of(url).items():
            monkeypatch.setenv(name, value)
        said = run_stages(f"s3a://{BUCKET}/work", options=("--jars", jars))
        made = contents(Storage(f"s3a://{BUCKET}/work"), tmp_path)

    assert_same(made, dict(on_disk))
    assert "hunter2" not in said


def test_every_stage_on_a_mount_that_takes_files_only_whole(on_disk: dict[str, Any], tmp_path: Path) -> None:
    with strict_mount(tmp_path) as mount:
        run_stages(str(mount / "work"))
        made = contents(Storage(str(mount / "work")), tmp_path)

    assert_same(made, dict(on_disk))
