import pytest
from pyspark.sql import SparkSession

from seqrec.tables.sessions import fitted_shuffles, own_session, spark_session


def settings_of(spark: SparkSession) -> dict[str, str]:
    return {row["key"]: row["value"] for row in spark.sql("SET").collect()}


def test_spark_session_gives_the_running_one_as_it_is(spark: SparkSession) -> None:
    before = settings_of(spark)

    with spark_session("ingest", {"spark.sql.shuffle.partitions": "77"}) as session:
        assert session is spark

    assert settings_of(spark) == before
    assert spark.range(3).count() == 3  # Not stopped.


def test_spark_session_finds_the_running_one_where_no_session_is_active(spark: SparkSession) -> None:
    before = settings_of(spark)
    spark._jvm.SparkSession.clearActiveSession()  # As in another thread than the one that started it.

    with spark_session("ingest", {"spark.sql.shuffle.partitions": "77"}) as session:
        assert session.sparkContext is spark.sparkContext
        assert settings_of(session) == before

    assert spark.range(3).count() == 3


@pytest.mark.parametrize("fails", [False, True])
def test_a_stage_with_a_session_of_its_own_leaves_the_callers_active(spark: SparkSession, fails: bool) -> None:
    def stage() -> None:
        with spark_session("prepare"):
            own = spark.newSession()
            own.conf.set("spark.sql.shuffle.partitions", "77")
            own.createDataFrame([(1,)], "number int").count()  # Makes it the active one.
            if fails:
                raise RuntimeError

    if fails:
        with pytest.raises(RuntimeError):
            stage()
    else:
        stage()

    assert SparkSession.getActiveSession() is spark
    assert SparkSession.builder.getOrCreate().conf.get("spark.sql.shuffle.partitions") == "2"


def test_few_rows_are_shuffled_into_few_partitions_and_many_as_given(spark: SparkSession) -> None:
    key, given = "spark.sql.shuffle.partitions", spark.conf.get("spark.sql.shuffle.partitions")
    session = own_session(spark)
    session.conf.set(key, "200")

    with fitted_shuffles(session, 3_200):
        few = own_session(session)
        assert few.range(9).groupBy("id").count().rdd.getNumPartitions() == 2
    with fitted_shuffles(session, 233_000_000):
        assert session.conf.get(key) == "200"

    assert session.conf.get(key) == "200"
    assert spark.conf.get(key) == given
