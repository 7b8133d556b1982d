import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqrec.preparation.writing.file_plan import deal_evenly, num_files_for, routing_keys


@pytest.mark.parametrize(
    ("num_targets", "expected"),
    [(0, 1), (100, 1), (1_592, 8), (8_191, 32), (8_192, 64), (131_413, 64), (64_000_000, 64), (64_000_001, 128)],
)
def test_num_files_for_is_a_multiple_of_the_streams_but_for_tiny_data(num_targets, expected):
    assert num_files_for(num_targets, 1_000_000, 128, 64) == expected


@given(st.lists(st.integers(1, 30), min_size=1, max_size=300), st.integers(1, 16), st.integers(0, 100))
def test_deal_evenly_ends_within_one_row(sizes, num_files, rotation):
    files = deal_evenly(np.array(sizes), num_files, rotation)

    loads = np.bincount(files, weights=sizes, minlength=num_files)
    assert loads.max() - loads.min() <= max(sizes)


def test_deal_evenly_is_near_exact_for_many_rows():
    sizes = np.minimum(np.random.default_rng(3).zipf(1.6, 20_000), 200)

    loads = np.bincount(deal_evenly(sizes, 64, 5), weights=sizes, minlength=64)

    assert loads.max() - loads.min() <= 0.002 * loads.mean()


def test_routing_keys_bring_rows_to_their_partition(spark):
    keys = routing_keys(spark, 13)

    rows = spark.createDataFrame([(int(key), file) for file, key in enumerate(keys)], "key long, file int")
    found = rows.repartition(13, "key").rdd.mapPartitionsWithIndex(lambda i, rs: [(i, r["file"]) for r in rs]).collect()
    assert sorted(found) == [(file, file) for file in range(13)]
