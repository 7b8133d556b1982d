"""The Spark session of a job: the one that runs already, or one of our own."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pyspark.sql import SparkSession


@contextmanager
def spark_session(name: str, settings: Mapping[str, str] | None = None) -> Iterator[SparkSession]:
    """Yields a session; stops it afterwards only if it was started here.

    A session that runs already (Databricks, a notebook, another stage in this process) is neither stopped nor
    configured. Settings given to `spark-submit` win over `settings`.
    """
    running = SparkSession.getActiveSession()
    if running is not None:
        yield running
        return
    builder = SparkSession.builder.appName(f"seqrec-{name}")
    for key, value in (settings or {}).items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    try:
        yield session
    finally:
        session.stop()
