import pytest

from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset, Recipe
from seqrec.core.storage import Storage
from seqrec.tables.files import read_table, write_table

RECIPE = Recipe(stage="ingest", settings={}, inputs={})


@pytest.fixture
def published(spark, tmp_path):
    """A dataset of ten rows in two files, its storage and its schema."""
    storage = Storage(str(tmp_path))
    attempt = Dataset(storage, "ingested", "demo").begin(RECIPE)
    numbers = spark.range(10).repartition(2)
    table = write_table(numbers, attempt, "numbers")
    return storage, attempt.publish(tables={"numbers": table}, counts={}), numbers.schema


def test_read_table_gives_the_rows_that_were_written(spark, published):
    storage, manifest, schema = published

    rows = read_table(spark, storage, manifest, "numbers", schema).collect()

    assert sorted(row.id for row in rows) == list(range(10))
    assert manifest.tables["numbers"].rows == 10
    assert len(manifest.tables["numbers"].files) == 2


def test_read_table_ignores_files_that_the_manifest_does_not_list(spark, published):
    storage, manifest, schema = published
    folder = manifest.tables["numbers"].files[0].path.rpartition("/")[0]
    spark.range(5).write.parquet(storage.uri(folder), mode="append")

    assert read_table(spark, storage, manifest, "numbers", schema).count() == 10


def test_read_table_names_a_missing_file(spark, published):
    storage, manifest, schema = published
    storage.delete(manifest.tables["numbers"].files[0].path)

    with pytest.raises(DataError, match=r"part-.*parquet: is missing. Run the stage that makes it again"):
        read_table(spark, storage, manifest, "numbers", schema)


def test_read_table_names_a_file_that_was_cut_off(spark, published):
    storage, manifest, schema = published
    file = manifest.tables["numbers"].files[0]
    storage.write_bytes(file.path, storage.read_bytes(file.path)[:-7])

    with pytest.raises(DataError, match=f"has {file.size - 7} bytes, not {file.size}"):
        read_table(spark, storage, manifest, "numbers", schema)


def test_a_table_that_is_not_in_the_manifest_names_those_that_are(spark, published):
    storage, manifest, schema = published

    with pytest.raises(DataError, match="has no table 'letters', only numbers"):
        read_table(spark, storage, manifest, "letters", schema)


def test_write_table_of_no_rows_lists_no_files(spark, tmp_path):
    attempt = Dataset(Storage(str(tmp_path)), "ingested", "demo").begin(RECIPE)

    table = write_table(spark.range(0), attempt, "numbers")

    assert (table.rows, table.files) == (0, ())
