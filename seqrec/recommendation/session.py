"""The Spark settings that this stage needs, in a session of its own beside the caller's."""

from pyspark.sql import SparkSession

from seqrec.preparation.session import own_session

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
