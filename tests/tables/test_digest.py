import random

from seqrec.tables.digest import content_digest

SCHEMA = "user string, items array<int>, rating double"
ROWS = [("ann", [1, 2], 5.0), ("bob", [], None), ("bob", [], None), (None, [3], 1.0), ("eve", None, 2.0)]


def test_content_digest_does_not_depend_on_order_or_partitions(spark):
    shuffled = random.Random(0).sample(ROWS, k=len(ROWS))

    digests = {
        content_digest(spark.createDataFrame(rows, SCHEMA).repartition(partitions))
        for rows in (ROWS, shuffled)
        for partitions in (1, 3)
    }

    assert len(digests) == 1
    assert digests.pop()[0] == 5


def test_content_digest_sees_every_change(spark):
    changed = [
        ROWS[1:],  # A row less.
        [*ROWS, ROWS[0]],  # A row twice.
        [("ann", [2, 1], 5.0), *ROWS[1:]],  # Another order inside a list.
        [("ann", [1, 2], None), *ROWS[1:]],  # A value turned null.
        [("bob", [1, 2], 5.0), ("ann", [], None), *ROWS[2:]],  # Values that changed rows.
        [*ROWS[:4], ("eve", [], 2.0)],  # A null list is no empty list.
    ]

    digests = [content_digest(spark.createDataFrame(rows, SCHEMA))[1] for rows in [ROWS, *changed]]

    assert len(set(digests)) == len(digests)


def test_content_digest_tells_apart_which_column_is_null(spark):
    one, other = (spark.createDataFrame([row], "a int, b int") for row in [(1, None), (None, 1)])

    assert content_digest(one)[1] != content_digest(other)[1]


def test_content_digest_of_no_rows_is_zero(spark):
    assert content_digest(spark.createDataFrame([], SCHEMA)) == (0, "0" * 16)
