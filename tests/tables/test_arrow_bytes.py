import numpy as np
import pyarrow as pa
import pytest

from seqrec.tables.arrow_bytes import arrow_row_schema, from_arrow_rows, from_byte_rows, to_arrow_row, to_byte_rows
from seqrec.tables.prepared_schemas import USER_EVENTS

USERS = pa.RecordBatch.from_pydict(
    {
        "user_id": ["ann", "", "çid"],
        "user_key": [5, -1, 2**62],
        "item_indices": pa.array([[1, 2], [], [3]], pa.list_(pa.int32())),
        "timestamps": [[7, 8], [], [-9]],
    }
)


@pytest.mark.parametrize("users", [USERS, USERS.slice(1, 2), USERS.slice(0, 0)])
def test_from_arrow_rows_gives_back_each_batch(users):
    rows = [to_arrow_row(users, num_users=3), to_arrow_row(USERS, num_users=1)]

    assert {tuple(row.schema.names) for row in rows} == {tuple(arrow_row_schema(USER_EVENTS, "num_users").names)}
    assert [row.column("num_users").to_pylist() for row in rows] == [[3], [1]]
    together = pa.Table.from_batches(rows).select(USER_EVENTS.names).combine_chunks().to_batches()
    assert len(together) == 1
    assert list(from_arrow_rows(together)) == [users, USERS]


def test_from_arrow_rows_needs_no_more_columns_than_are_asked_for():
    rows = to_arrow_row(USERS).select(["item_indices"])

    assert [batch.to_pydict() for batch in from_arrow_rows([rows])] == [{"item_indices": [[1, 2], [], [3]]}]


def test_to_byte_rows_cuts_a_batch_into_values_of_bounded_size():
    values = np.random.default_rng(1).integers(0, 100, 1000)
    lists = pa.ListArray.from_arrays(pa.array(range(0, 1001, 10), pa.int32()), pa.array(values))
    batch = pa.RecordBatch.from_arrays([lists], ["values"])

    rows = [*to_byte_rows([batch], 2000)]

    assert 3 <= len(rows) <= 8
    assert max(each.nbytes for each in rows) < 4000
    assert pa.Table.from_batches([*from_byte_rows(rows)]).combine_chunks().column(0).to_pylist() == lists.to_pylist()


def test_to_byte_rows_keeps_a_batch_whole_and_drops_an_empty_one():
    assert list(from_byte_rows(to_byte_rows([USERS, USERS.slice(0, 0), USERS.slice(1)]))) == [USERS, USERS.slice(1)]
