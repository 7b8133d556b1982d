"""Fixtures that every part shares: one local Spark, and the real files where they are available."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).parents[1]
settings.register_profile("untimed", deadline=None)  # A slow machine must not fail a test.
settings.load_profile("untimed")
# Read when TensorFlow starts: with more threads the last bits vary from run to run.
os.environ["TF_NUM_INTEROP_THREADS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # The workers need the Python with the packages.
# For every JVM of Spark that a test starts. Queries of tests run once or twice on a few rows: without the second
# compiler and parallel garbage collection, tests of filters and pairs took 30.3 instead of 43.5 s of processor time.
os.environ.setdefault("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")


@pytest.fixture(scope="session")
def spark() -> Iterator["SparkSession"]:
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", "2g")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", 2)
        .config("spark.ui.enabled", False)
        .config("spark.ui.showConsoleProgress", False)
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.execution.arrow.pyspark.enabled", True)
        .config("spark.sql.warehouse.dir", "/tmp/seqrec-tests-warehouse")
        .getOrCreate()
    )
    yield session
    session.stop()


@pytest.fixture(autouse=True)
def _begins_with_the_shared_session_active(request: pytest.FixtureRequest) -> None:
    """Tests of a stage's parts leave that stage's own session active; the next test must not depend on it."""
    if "spark" in request.fixturenames:
        from seqrec.tables.sessions import make_active

        make_active(request.getfixturevalue("spark"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with golden fixtures and real files: SEQREC_SHARED, or `shared` beside the checkout."""
    folder = Path(os.environ.get("SEQREC_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"needs the real files, which are not in {folder}")
    return folder


@pytest.fixture(scope="session")
def shared_data(shared: Path) -> Path:
    return shared / "data"
