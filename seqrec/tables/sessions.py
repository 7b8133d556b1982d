"""Spark sessions: that of a job (the one that runs already, or one of our own), and those of stages beside it."""

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pyspark import SparkContext
from pyspark.sql import SparkSession

_ON_DATABRICKS = "DATABRICKS_RUNTIME_VERSION"  # Set on every node there.


@contextmanager
def spark_session(name: str, settings: Mapping[str, str] | None = None) -> Iterator[SparkSession]:
    """Yields a session; stops it afterwards only if it was started here.

    A session that runs already (Databricks, a notebook, another stage in this process) is neither stopped nor
    configured, and is the active one again afterwards. Settings given to `spark-submit` win over `settings`.
    """
    running = _running_session()
    if running is not None:
        try:
            yield running
        finally:
            make_active(running)
        return
    builder = SparkSession.builder.appName(f"seqrec-{name}")
    for key, value in (settings or {}).items():
        builder = builder.config(key, value)
    on_interrupt = signal.getsignal(signal.SIGINT)
    session = builder.getOrCreate()
    if threading.current_thread() is threading.main_thread():
        # Spark's own handler calls the JVM in the midst of another call to it, which breaks both.
        signal.signal(signal.SIGINT, on_interrupt)
    session.sparkContext.setLogLevel("ERROR")
    try:
        yield session
    finally:
        session.stop()


def _running_session() -> SparkSession | None:
    """The session of whoever started Spark; None if nobody has.

    A thread other than the one that started it has no active session, though Spark runs.
    """
    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    is_running = SparkContext._active_spark_context is not None or _ON_DATABRICKS in os.environ
    return SparkSession.builder.getOrCreate() if is_running else None


def keep_jvm_at_interrupts() -> None:
    """Has the JVM of `spark-submit` ignore a Ctrl-C, which reaches it too, and end when this process has ended.

    Otherwise it is gone at once: what this process prints goes through it, and so does the end of its session.
    """
    if "PYSPARK_GATEWAY_PORT" not in os.environ or _ON_DATABRICKS in os.environ:
        return  # Nobody's JVM yet (one that Python starts ignores it anyway), or not ours alone.
    SparkContext._ensure_initialized()  # type: ignore[attr-defined]
    java = SparkContext._jvm.sun.misc  # type: ignore[union-attr]
    java.Signal.handle(java.Signal("INT"), java.SignalHandler.SIG_IGN)


def make_active(session: SparkSession) -> None:
    """Makes `session` what new tables and `getOrCreate` use, whichever was active before.

    A stage with a session of its own leaves that one active, with other SQL settings than its caller's.
    """
    session._jvm.SparkSession.setActiveSession(session._jsparkSession)  # type: ignore[union-attr]
    SparkSession._activeSession = session  # type: ignore[attr-defined]


# One scratch file is one partition (a bucket of users): files cost as much to open as a partition may hold.
_WHOLE_FILES = str(1 << 40)

_SETTINGS = {
    "spark.sql.adaptive.enabled": "false",  # The number of partitions is the number of files written.
    "spark.sql.autoBroadcastJoinThreshold": "-1",  # A broadcast join brings strings to the driver.
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "100000",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.files.maxPartitionBytes": _WHOLE_FILES,
    "spark.sql.files.openCostInBytes": _WHOLE_FILES,
    "spark.sql.files.maxRecordsPerFile": "0",  # As a cluster may set it, it would cut a partition into more files.
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.sql.parquet.compression.codec": "zstd",
}


def own_session(spark: SparkSession) -> SparkSession:
    """A session on the same Spark context whose SQL settings are this stage's; `spark` keeps its own.

    Tables of one session can be read in the other; only settings and temporary views are apart.
    """
    session = spark.newSession()
    for key, value in _SETTINGS.items():
        session.conf.set(key, value)
    return session


def packed_session(spark: SparkSession) -> SparkSession:
    """As `own_session`, but Python gets a few rows at a time: a packed one is a bucket of users."""
    session = own_session(spark)
    session.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "8")
    return session


def num_tasks(spark: SparkSession) -> int:
    """How many tasks to cut a cheap pass into: results do not depend on it."""
    return max(2, spark.sparkContext.defaultParallelism)


# Here no partition becomes a file that lasts, so Spark may pack small files and small shuffles into few tasks: with a
# task for every file and every shuffle partition, a small catalogue's candidates cost mostly the starting of tasks.
_PACKED = {
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.files.maxPartitionBytes": str(128 << 20),
    "spark.sql.files.openCostInBytes": str(4 << 20),
}


def packing_session(spark: SparkSession) -> SparkSession:
    """A session that spreads its work by the size of the data; `spark` keeps its own settings."""
    session = own_session(spark)
    for key, value in _PACKED.items():
        session.conf.set(key, value)
    return session
