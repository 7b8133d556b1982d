import pyarrow as pa
import pytest

from seqrec.tables.arrow_bytes import pack, packed_schema, unpack
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
def test_unpack_gives_back_each_batch_that_was_packed(users):
    rows = pa.Table.from_batches([pack(users, num_users=3), pack(USERS, num_users=1)]).combine_chunks().to_batches()[0]

    assert rows.schema.names == packed_schema(USER_EVENTS, "num_users").names
    assert rows.column("num_users").to_pylist() == [3, 1]
    assert list(unpack(rows.select(USER_EVENTS.names))) == [users, USERS]


def test_unpack_needs_no_more_columns_than_are_asked_for():
    rows = pack(USERS).select(["item_indices"])

    assert [batch.to_pydict() for batch in unpack(rows)] == [{"item_indices": [[1, 2], [], [3]]}]
