"""Spark sessions: the session of a job (one that runs already, or one started here), and sessions of its stages."""

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

    A session that runs already (on Databricks, in a notebook, of another stage in this process) is neither stopped nor
    configured, and it is the active one again afterwards. Settings given to `spark-submit` win over `settings`.
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
        # Spark's own handler calls the JVM in the middle of another call to it, which breaks both calls.
        signal.signal(signal.SIGINT, on_interrupt)
    session.sparkContext.setLogLevel("ERROR")
    try:
        yield session
    finally:
        _stop(session)


def _stop(session: SparkSession) -> None:
    """Stops Spark without a word from the JVM; the next session in the same JVM sets the level of its log again.

    After an interrupt or an error, tasks may still run. They find that parts of Spark are gone and log it, before or
    after the line with which the job reports the reason.
    """
    session.sparkContext.setLogLevel("OFF")
    session.stop()


def _running_session() -> SparkSession | None:
    """The session of the code that started Spark; None if no Spark runs.

    In any other thread than the one that started Spark no session is active, though Spark runs.
    """
    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    return SparkSession.builder.getOrCreate() if is_running() else None


def is_running() -> bool:
    """Whether Spark runs in this process, so that a session need not be started."""
    return SparkContext._active_spark_context is not None or _ON_DATABRICKS in os.environ


def keep_jvm_at_interrupts() -> None:
    """Makes the JVM of `spark-submit` ignore a Ctrl-C, which reaches it too, so that it ends only after this process.

    Otherwise the JVM is gone at once, although this process still prints through it and ends its session through it.
    For a process that `spark-submit` has started: a JVM that Python starts ignores the signal anyway.
    """
    if _ON_DATABRICKS in os.environ:
        return  # Others use this JVM too.
    SparkContext._ensure_initialized()  # type: ignore[attr-defined]
    java = SparkContext._jvm.sun.misc  # type: ignore[union-attr]
    java.Signal.handle(java.Signal("INT"), java.SignalHandler.SIG_IGN)


def make_active(session: SparkSession) -> None:
    """Makes `session` the one that new tables and `getOrCreate` use, whichever was active before.

    A stage with a session of its own leaves that session active, and its SQL settings differ from its caller's.
    """
    session._jvm.SparkSession.setActiveSession(session._jsparkSession)  # type: ignore[union-attr]
    SparkSession._activeSession = session  # type: ignore[attr-defined]


# Opening a file "costs" as much as a partition may hold, so that one scratch file (a bucket of users) is one partition.
_WHOLE_FILES = str(1 << 40)

_SHUFFLES = "spark.sql.shuffle.partitions"
_ROWS_PER_PARTITION = 50_000
_SETTINGS = {
    "spark.sql.adaptive.enabled": "false",  # The number of partitions must be the number of files written.
    "spark.sql.autoBroadcastJoinThreshold": "-1",  # A broadcast join would bring strings to the driver.
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "100000",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.files.maxPartitionBytes": _WHOLE_FILES,
    "spark.sql.files.openCostInBytes": _WHOLE_FILES,
    "spark.sql.files.maxRecordsPerFile": "0",  # A limit set by the cluster would cut a partition into several files.
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.sql.parquet.compression.codec": "zstd",
}


def own_session(spark: SparkSession) -> SparkSession:
    """A session on the same Spark context with the SQL settings that stages need; `spark` keeps its own settings.

    Tables of one session can be read in the other; only settings and temporary views are separate.
    """
    session = spark.newSession()
    session.conf.set(_SHUFFLES, spark.conf.get(_SHUFFLES, "200"))
    for key, value in _SETTINGS.items():
        session.conf.set(key, value)
    return session


@contextmanager
def fitted_shuffles(session: SparkSession, num_rows: int) -> Iterator[None]:
    """Context in which a session, and those made from it, shuffle few rows into few partitions, never into more.

    Spark makes 200 of them by default, each a task through a Python worker: with small data that is most of the work.
    """
    given = session.conf.get(_SHUFFLES, "200")
    fitting = max(num_tasks(session), -(-num_rows // _ROWS_PER_PARTITION))
    try:
        if fitting < int(given or 0):
            session.conf.set(_SHUFFLES, str(fitting))
        yield
    finally:
        session.conf.set(_SHUFFLES, given or "200")


def bucket_session(spark: SparkSession) -> SparkSession:
    """As `own_session`, but Python gets a few rows at a time, because each row is a whole bucket of users."""
    session = own_session(spark)
    session.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "8")
    return session


def num_tasks(spark: SparkSession) -> int:
    """Number of tasks for a cheap pass over a table; results do not depend on it."""
    return max(2, spark.sparkContext.defaultParallelism)


# Where no partition becomes a file that lasts, Spark may pack small files and small shuffles into few tasks: with a
# task for every file and every shuffle partition, a small catalogue's candidates cost mostly the starting of tasks.
_ADAPTIVE = {
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.files.maxPartitionBytes": str(128 << 20),
    "spark.sql.files.openCostInBytes": str(4 << 20),
}


def adaptive_session(spark: SparkSession) -> SparkSession:
    """As `own_session`, but the number of tasks follows the size of the data instead of the number of files."""
    session = own_session(spark)
    for key, value in _ADAPTIVE.items():
        session.conf.set(key, value)
    return session
