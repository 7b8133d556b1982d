import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset, FileEntry, Recipe, Table
from seqrec.core.storage import Storage
from seqrec.preparation.config import PreparationConfig
from seqrec.preparation.stage import run_prepare
from tests.preparation.ingested import DAY, publish_ingested, read_rows, reviews_of

CONFIG = PreparationConfig(min_interactions=0, num_validation_negatives=1, num_test_negatives=2, vocabulary="old")


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path))


def publish_run(storage, items, categories):
    attempt = Dataset(storage, "runs", "old").begin(Recipe(stage="train", settings={}, inputs={}))
    item_types = pa.schema(
        [
            ("item_index", pa.int32()),
            ("item_id", pa.string()),
            ("category_index", pa.int32()),
            ("train_count", pa.int64()),
        ]
    )
    category_types = pa.schema([("category_index", pa.int32()), ("category", pa.string()), ("train_count", pa.int64())])
    tables = {}
    for name, rows, schema in (("items", items, item_types), ("categories", categories, category_types)):
        path = f"{attempt.path}/vocabulary/{name}.parquet"
        local = storage.local(path)
        local.parent.mkdir(parents=True, exist_ok=True)
        values = [dict(zip(schema.names, row, strict=True)) for row in rows]
        pq.write_table(pa.Table.from_pylist(values, schema), local)
        file = FileEntry(path=path, rows=len(rows), size=local.stat().st_size)
        tables[f"vocabulary/{name}"] = Table(rows=len(rows), content="of the test", files=(file,))
    return attempt.publish(tables=tables, counts={})


def test_run_prepare_indexes_with_a_run_s_vocabulary(spark, storage):
    items = [(1, "c", 1, 9), (2, "a", 0, 4), (3, "z", 1, 2), (4, "b", 0, 0)]
    publish_run(storage, items, [(1, "Toys", 11)])
    reviews = reviews_of(
        *[(user, item, day * DAY) for user in ("ann", "bob") for day, item in enumerate(["a", "new", "b", "c", "a"])],
        ("eve", "new", 0),
        ("flo", "b", 0),
    )
    publish_ingested(spark, storage, reviews, {"a": "Books"})

    manifest = run_prepare(spark, storage, "small", CONFIG, 7)

    latest = {row["user_id"]: row["history_items"] for row in read_rows(storage, manifest, "sequences/latest")}
    assert latest == {"ann": [2, 4, 1, 2], "bob": [2, 4, 1, 2], "flo": [4]}
    assert [tuple(row.values()) for row in read_rows(storage, manifest, "vocabulary/items")] == items
    assert manifest.details["num_trained_items"] == 3
    assert (manifest.counts["unknown_items"], manifest.counts["unknown_events"]) == (1, 3)


def test_run_prepare_names_a_run_that_is_not_there(spark, storage):
    publish_ingested(spark, storage, reviews_of(("ann", "a", 0)))

    with pytest.raises(DataError, match=r"runs/old: not there or not finished. Run the job 'train' first"):
        run_prepare(spark, storage, "small", CONFIG, 7)


def test_run_prepare_names_a_file_of_the_run_that_is_missing(spark, storage):
    run = publish_run(storage, [(1, "a", 1, 9)], [(1, "Toys", 9)])
    publish_ingested(spark, storage, reviews_of(("ann", "a", 0)))
    path = run.table("vocabulary/categories").files[0].path

    storage.delete(path)

    with pytest.raises(DataError, match=rf"{path}: is missing. Run the stage that makes it again"):
        run_prepare(spark, storage, "small", CONFIG, 7)
