"""Ten times as many reviews as there are: disjoint copies, each with users and items of its own.

Ten copies of 23.31 million synthetic reviews are 233.1 million with the dump's numbers of users and items, made in a
sixth of the time, and every count of the whole must be exactly ten times that of one copy.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seqrec.core.manifest import Dataset, FileEntry, Recipe, Table
from seqrec.core.storage import Storage

COPIES = 10  # One digit makes them different.
_HASH_STEP = 0x1851F42D4C957F2D


def write_copies(storage: Storage, name: str, of: str) -> None:
    """`ingested/<name>` from `ingested/<of>`."""
    source = Dataset(storage, "ingested", of).require("ingest")
    recipe = Recipe(stage="ingest", settings={"copies": COPIES}, inputs={"of": source.content})
    attempt = Dataset(storage, "ingested", name).begin(recipe)
    tables = {}
    for table, entry in source.tables.items():
        files = []
        for copy in range(COPIES):
            for file in entry.files:
                rows = _copied(pq.read_table(storage.local(file.path)), copy)
                path = f"{attempt.path}/{table}/part-{len(files):05d}.parquet"
                target = storage.local(path)
                target.parent.mkdir(parents=True, exist_ok=True)
                _write(rows, target)
                files.append(FileEntry(path=path, rows=rows.num_rows, size=target.stat().st_size))
        tables[table] = Table(
            rows=sum(file.rows for file in files), content=f"{COPIES} copies of {entry.content}", files=tuple(files)
        )
    attempt.publish(tables=tables, counts={})


def _copied(rows: pa.Table, copy: int) -> pa.Table:
    for place, field in enumerate(rows.schema):
        column = rows.column(place)
        if field.name in ("user_id", "item_id"):
            rows = rows.set_column(place, field, _renamed(column, copy))
        elif field.name == "line_hash":
            rows = rows.set_column(place, field, pc.bit_wise_xor(column, pa.scalar(copy * _HASH_STEP % 2**62)))
    return rows


def _renamed(ids: pa.ChunkedArray, copy: int) -> pa.ChunkedArray:
    """The first character is 0 for ids of digits alone, and one letter for all others."""
    letter = pc.utf8_replace_slice(ids, 0, 1, chr(ord("B") + copy))
    return pc.if_else(pc.starts_with(ids, "0"), pc.utf8_replace_slice(ids, 0, 1, str(copy)), letter)


def _write(rows: pa.Table, target: Path) -> None:
    dictionaries = [name for name in rows.column_names if name not in ("user_id", "line_hash")]
    pq.write_table(rows, target, compression="zstd", row_group_size=1 << 20, use_dictionary=dictionaries)
