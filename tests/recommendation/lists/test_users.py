import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from seqrec.core.errors import DataError
from seqrec.recommendation.config import RecommendationConfig
from seqrec.recommendation.lists.users import listed_users, read_histories_file

STRINGS, SECONDS = pa.list_(pa.string()), pa.list_(pa.int64())


def parquet_file(folder: Path, user: pa.Array, items: pa.Array, times: pa.Array) -> str:
    path = folder / "histories.parquet"
    pq.write_table(pa.table({"user_id": user, "item_ids": items, "timestamps": times}), path)
    return str(path)


def test_listed_users_reads_a_file_with_a_byte_order_mark(tmp_path: Path):
    (tmp_path / "users.txt").write_bytes(b"\xef\xbb\xbfann\r\nbob\r\n")

    assert listed_users(RecommendationConfig(users_file=str(tmp_path / "users.txt"))) == ["ann", "bob"]


@pytest.mark.parametrize("whole", [pa.int16(), pa.int32(), pa.uint32(), pa.int64()])
def test_read_histories_file_takes_whole_numbers_of_any_width(spark: SparkSession, tmp_path: Path, whole: pa.DataType):
    user = pa.array([7, 8], whole)
    times = pa.array([[1, 30_000], [2]], pa.list_(whole))
    path = parquet_file(tmp_path, user, pa.array([["a", "b"], ["c"]], STRINGS), times)

    rows, newest = read_histories_file(spark, path)

    assert sorted(map(tuple, rows.collect())) == [("7", ["a", "b"], [1, 30_000]), ("8", ["c"], [2])]
    assert newest == 30_000


def test_read_histories_file_takes_large_and_repeated_strings(spark: SparkSession, tmp_path: Path):
    user = pa.array(["ann", "ann"]).dictionary_encode()
    path = parquet_file(
        tmp_path, user, pa.array([["a"], []], pa.large_list(pa.large_string())), pa.array([[5], []], SECONDS)
    )

    rows, newest = read_histories_file(spark, path)

    assert sorted(map(tuple, rows.collect())) == [("ann", [], []), ("ann", ["a"], [5])]
    assert newest == 5


@pytest.mark.parametrize(
    ("user", "items", "times", "found"),
    [
        (pa.array([0.5]), pa.array([["a"]], STRINGS), pa.array([[1]], SECONDS), "user_id is double"),
        (pa.array(["ann"]), pa.array([[1]], SECONDS), pa.array([[1]], SECONDS), "item_ids is list<element: int64>"),
        (
            pa.array(["ann"]),
            pa.array(["a"]),
            pa.array([[1]], pa.list_(pa.timestamp("ms"))),
            r"item_ids is string, timestamps is list<element: timestamp\[ms\]>",
        ),
    ],
)
def test_read_histories_file_names_the_columns_of_another_type(
    spark: SparkSession, tmp_path: Path, user: pa.Array, items: pa.Array, times: pa.Array, found: str
):
    with pytest.raises(DataError, match=rf"{found}\. Give user_id as strings"):
        read_histories_file(spark, parquet_file(tmp_path, user, items, times))


def test_read_histories_file_names_a_missing_column(spark: SparkSession, tmp_path: Path):
    path = tmp_path / "histories.parquet"
    pq.write_table(pa.table({"user_id": ["ann"], "items": pa.array([["a"]], STRINGS)}), path)

    with pytest.raises(DataError, match=r"item_ids is missing, timestamps is missing\. Give"):
        read_histories_file(spark, str(path))


def test_read_histories_file_refuses_what_is_only_called_parquet(spark: SparkSession, tmp_path: Path):
    (tmp_path / "histories.parquet").write_text('{"user_id": "ann"}\n')

    with pytest.raises(DataError, match="histories.parquet: cannot be read: .*Give JSON lines or Parquet"):
        read_histories_file(spark, str(tmp_path / "histories.parquet"))


def test_read_histories_file_refuses_milliseconds(spark: SparkSession, tmp_path: Path):
    path = tmp_path / "histories.json"
    path.write_text(json.dumps({"user_id": "ann", "item_ids": ["a"], "timestamps": [1_400_000_000_000]}))

    with pytest.raises(DataError, match="time 1400000000000 is after the year 2100"):
        read_histories_file(spark, str(path))


def test_read_histories_file_refuses_a_file_without_rows(spark: SparkSession, tmp_path: Path):
    (tmp_path / "histories.json").touch()

    with pytest.raises(DataError, match="it holds no rows"):
        read_histories_file(spark, str(tmp_path / "histories.json"))


def test_read_histories_file_refuses_a_damaged_file_whatever_the_cluster_leaves_out(
    spark: SparkSession, tmp_path: Path
):
    line = json.dumps({"user_id": "ann", "item_ids": ["a"], "timestamps": [1]}) + "\n"
    whole = gzip.compress("".join(line.replace("ann", f"{n * n}") for n in range(1000)).encode())
    (tmp_path / "histories.json.gz").write_bytes(whole[: len(whole) // 2])
    session = spark.newSession()
    session.conf.set("spark.sql.files.ignoreCorruptFiles", True)

    with pytest.raises(DataError, match="histories.json.gz: cannot be read: java.io.EOFException: [^\n]*$"):
        read_histories_file(session, str(tmp_path / "histories.json.gz"))
