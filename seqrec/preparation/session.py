"""The Spark settings that this stage needs, in a session of its own beside the caller's."""

from pyspark.sql import SparkSession

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
