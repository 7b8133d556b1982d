from pathlib import Path

import numpy as np
import pytest

from seqrec.core.storage import Storage
from seqrec.neighbours.table import NeighbourTable, write_neighbours

PARTS = [
    (np.array([0, 0, 2]), np.array([7, 8, 9], np.int32), np.array([3.0, 1.0, 5.0], np.float32)),
    (np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32)),
    (np.array([2, 3]), np.array([4, 5], np.int32), np.array([2.0, 6.0], np.float32)),
]


def test_write_neighbours_makes_one_table_of_all_parts(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))

    write_neighbours(storage, "table", PARTS, num_keys=5, size=5)

    table = NeighbourTable.open(storage, "table")
    assert table.offsets.tolist() == [0, 2, 2, 4, 5, 5]  # Key 1 has no entry, nor has the last.
    assert table.items.tolist() == [7, 8, 9, 4, 5]
    assert table.weights.tolist() == [3.0, 1.0, 5.0, 2.0, 6.0]


def test_write_neighbours_makes_an_empty_table_of_no_parts(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))

    write_neighbours(storage, "table", [], num_keys=2, size=0)

    assert NeighbourTable.open(storage, "table").offsets.tolist() == [0, 0, 0]


def test_write_neighbours_refuses_parts_out_of_order(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="not ordered by key"):
        write_neighbours(Storage(str(tmp_path)), "table", PARTS[::-1], num_keys=5, size=5)
