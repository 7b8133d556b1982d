"""A second process that begins where the first one writes: refused while that lives, whatever became of it after."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset, Recipe
from seqrec.core.storage import Storage

RECIPE = Recipe(stage="ingest", settings={}, inputs={})
_WRITER = """
import sys
from seqrec.core.manifest import Dataset, Recipe
from seqrec.core.storage import Storage
dataset = Dataset(Storage(sys.argv[1]), "ingested", "demo")
print(dataset.begin(Recipe(stage="ingest", settings={}, inputs={})).path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset(Storage(str(tmp_path)), "ingested", "demo")


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[tuple[subprocess.Popen, str]]:
    """Another process that has begun an attempt, and its folder."""
    command = [sys.executable, "-c", _WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        process.kill()


def test_begin_refuses_where_another_process_writes_until_that_is_gone(dataset, writer):
    process, attempt = writer

    message = rf"{attempt}: the job 'ingest' is writing it, as process {process.pid}. Wait for it, or stop it first."
    for resume in (False, True):
        with pytest.raises(DataError, match=message):
            dataset.begin(RECIPE, resume=resume)
    assert dataset.storage.exists(attempt)

    process.kill()
    process.wait()
    assert dataset.begin(RECIPE, resume=True).path == attempt


@pytest.mark.parametrize("change", [{"host": "another"}, {"started": 0.0}])
def test_begin_takes_over_from_another_machine_and_from_a_number_that_was_given_again(dataset, writer, change):
    _, attempt = writer
    path = f"{attempt}/_begun"
    mark = json.loads(dataset.storage.read_bytes(path))
    dataset.storage.write_bytes(path, json.dumps(mark | change).encode())

    dataset.begin(RECIPE)

    assert not dataset.storage.exists(attempt)


def test_begin_refuses_nothing_of_its_own_process(dataset):
    dataset.begin(RECIPE)

    dataset.begin(RECIPE)
