import json

import pytest

from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset, FileEntry, Recipe, Table
from seqrec.core.storage import Storage

RECIPE = Recipe(stage="ingest", settings={"k": 5}, inputs={"raw": "ab"})


@pytest.fixture
def dataset(tmp_path):
    return Dataset(Storage(str(tmp_path)), "ingested", "demo")


def publish(dataset, recipe=RECIPE):
    attempt = dataset.begin(recipe)
    dataset.storage.write_bytes(f"{attempt.path}/reviews/part-0", b"rows")
    files = (FileEntry(path=f"{attempt.path}/reviews/part-0", rows=3, size=4),)
    return attempt.publish(tables={"reviews": Table(rows=3, content="0" * 16, files=files)}, counts={"reviews": 3})


def test_a_dataset_is_not_there_before_publish(dataset):
    attempt = dataset.begin(RECIPE)
    dataset.storage.write_bytes(f"{attempt.path}/reviews/part-0", b"rows")

    assert dataset.manifest() is None
    assert dataset.manifest_of(RECIPE) is None
    with pytest.raises(DataError, match="ingested/demo: not there or not finished. Run the job 'ingest' first."):
        dataset.require("ingest")


def test_a_published_manifest_reads_back_as_it_was_written(dataset):
    published = publish(dataset)

    assert dataset.manifest() == published
    assert dataset.manifest_of(RECIPE) is not None


def test_a_killed_attempt_is_deleted_by_the_next_one_and_never_read(dataset):
    publish(dataset)
    killed = dataset.begin(Recipe(stage="ingest", settings={"k": 6}, inputs={"raw": "ab"}))
    dataset.storage.write_bytes(f"{killed.path}/reviews/part-0", b"half")

    before = dataset.manifest()
    dataset.begin(RECIPE)

    assert before is not None
    assert before.id != killed.id
    assert not dataset.storage.exists(killed.path)
    assert dataset.storage.exists(before.tables["reviews"].files[0].path)


def test_begin_with_resume_goes_on_with_the_unfinished_attempt_at_the_same_recipe(dataset):
    killed = dataset.begin(RECIPE, resume=True)
    dataset.storage.write_bytes(f"{killed.path}/checkpoint", b"half")

    again = dataset.begin(RECIPE, resume=True)

    assert again.id == killed.id
    assert dataset.storage.read_bytes(f"{again.path}/checkpoint") == b"half"


def test_publish_keeps_the_last_two_ids(dataset):
    ids = [publish(dataset).id for _ in range(4)]

    assert dataset.storage.list_folders(dataset.path) == sorted(ids[-2:])


@pytest.mark.parametrize(
    "other",
    [
        Recipe(stage="ingest", settings={"k": 6}, inputs={"raw": "ab"}),
        Recipe(stage="ingest", settings={"k": 5}, inputs={"raw": "cd"}),
        Recipe(stage="prepare", settings={"k": 5}, inputs={"raw": "ab"}),
        Recipe(stage="ingest", settings={"k": 5}, inputs={"raw": "ab"}, format_version=99),
    ],
)
def test_another_recipe_is_not_current(dataset, other):
    publish(dataset)

    assert dataset.manifest_of(other) is None


def test_a_manifest_of_another_format_counts_as_not_there(dataset):
    publish(dataset)
    path = f"{dataset.path}/_manifest.json"
    values = json.loads(dataset.storage.read_bytes(path))
    dataset.storage.write_bytes(path, json.dumps({**values, "format_version": 0}).encode())

    assert dataset.manifest() is None


def test_a_damaged_manifest_is_an_error_and_not_an_empty_dataset(dataset):
    publish(dataset)
    dataset.storage.write_bytes(f"{dataset.path}/_manifest.json", b'{"stage": ')

    with pytest.raises(DataError, match="not a readable manifest .* run the stage again"):
        dataset.manifest()


def test_publish_refuses_what_another_job_has_deleted(dataset):
    first = dataset.begin(RECIPE)
    dataset.storage.write_bytes(f"{first.path}/reviews/part-0", b"rows")
    second = dataset.begin(RECIPE)
    files = (FileEntry(path=f"{first.path}/reviews/part-0", rows=3, size=4),)

    with pytest.raises(DataError, match="reviews/part-0: is missing. Something deletes or writes it: two jobs at once"):
        first.publish(tables={"reviews": Table(rows=3, content="0" * 16, files=files)}, counts={})

    assert dataset.manifest() is None
    assert dataset.storage.exists(second.path)


def test_two_attempts_that_have_written_nothing_yet_are_two(dataset):
    assert dataset.begin(RECIPE).id != dataset.begin(RECIPE).id


def test_begin_with_resume_goes_on_with_what_failed_while_it_was_published(dataset, monkeypatch):
    before = publish(dataset, Recipe(stage="ingest", settings={"k": 6}, inputs={"raw": "ab"}))
    write = dataset.storage.write_bytes

    def full(path, data):
        if path.endswith("_manifest.json"):
            raise OSError("the disk is full")
        write(path, data)

    monkeypatch.setattr(dataset.storage, "write_bytes", full)
    with pytest.raises(OSError, match="full"):
        publish(dataset)
    monkeypatch.undo()
    again = dataset.begin(RECIPE, resume=True)

    assert dataset.storage.exists(f"{again.path}/reviews/part-0")
    assert dataset.storage.exists(before.tables["reviews"].files[0].path)
    assert publish(dataset).id.endswith("-2")  # Not resumed: another id than the unfinished one's.
