from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from seqrec.evaluation.statistics import exact_sums as sums
from seqrec.evaluation.statistics.exact_sums import Part, collect_sums, counted_part, dense_part
from seqrec.tables.arrow_bytes import BYTE_ROWS, to_byte_rows

VALUES = np.random.default_rng(0).integers(0, 50, 1000)


def parts_of(batch: pa.RecordBatch) -> Iterator[Part]:
    values = batch.column(0).to_numpy()
    yield counted_part("seen", 3, values)
    yield dense_part("total", -1, np.array([[len(values)], [values.sum()]]))


def packed_in(spark: SparkSession, num_batches: int, num_partitions: int) -> DataFrame:
    batches = [pa.RecordBatch.from_arrays([pa.array(each)], ["value"]) for each in np.array_split(VALUES, num_batches)]
    rows = [(value.as_py(),) for each in to_byte_rows(batches, 1 << 20) for value in each.column(0)]
    return spark.createDataFrame(rows, BYTE_ROWS).repartition(num_partitions)


@pytest.mark.parametrize(("num_batches", "num_partitions"), [(1, 1), (7, 3)])
def test_collect_sums_adds_up_whatever_the_batches(spark: SparkSession, num_batches: int, num_partitions: int) -> None:
    found = collect_sums(packed_in(spark, num_batches, num_partitions), parts_of)

    cells, counts = found.sparse("seen", 3)
    assert np.array_equal(cells, np.unique(VALUES))
    assert np.array_equal(counts, np.bincount(VALUES)[cells])
    assert found.dense("total", -1, (2, 1)).tolist() == [[1000], [VALUES.sum()]]
    assert found.dense("not there", -1, (2,)).tolist() == [0, 0]


def test_sums_that_wait_are_added_before_they_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "_WAITING_CELLS", 10)

    totals = [*sums._packed_totals(counted_part("seen", 3, each) for each in np.array_split(VALUES, 40))]

    assert len(totals) == 1
    cells, counts = np.frombuffer(totals[0].column(2)[0].as_py(), "<i8").reshape(2, -1)
    assert np.array_equal(counts, np.bincount(VALUES)[cells])
