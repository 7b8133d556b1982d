"""The compiled reader inside `ingest`: by threads, by Spark's tasks, by tasks that are killed, and not at all."""

import gzip
import json
import subprocess
import sys

import numpy as np
import pytest

from seqrec.core.errors import DataError
from seqrec.ingestion import clean_lines
from seqrec.ingestion.compiled import kernel

# Every task dies once its file is written, before anybody knows of it; then it runs again.
KILLED = """
import os, signal, sys
from pathlib import Path
from pyspark.sql import SparkSession
from seqrec.core.storage import Storage
from seqrec.ingestion import clean_lines
from seqrec.ingestion.compiled.parts import PartReader
from seqrec.ingestion.config import IngestionConfig, SourceConfig
from seqrec.ingestion.stage import run_ingest

reviews, work = sys.argv[1:]

class KilledReader(PartReader):
    def __call__(self, part):
        read = super().__call__(part)
        mark = Path(work, f"killed-{part.number}")
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return read

clean_lines.PartReader = KilledReader
config = IngestionConfig(in_process_mb=0)
session = SparkSession.builder.master("local[2,3]").config("spark.ui.enabled", False).getOrCreate()
run_ingest(session, Storage(work), "test", SourceConfig(kind="files", reviews=reviews), config, False)
"""


@pytest.fixture
def reviews(raw, review):
    """Two files with clean lines, doubtful ones, bad ones and blank ones."""
    lines = [review(asin=f"B{number % 7}", unixReviewTime=10**9 + number, vote=f"{number}") for number in range(500)]
    odd = [review(overall="5.0"), review(unixReviewTime=1.4e9), str({"reviewerID": "A1"}), "", " ", lines[0] + lines[1]]
    raw("reviews/Gift_Cards.json", [*lines[:300], *odd])
    return raw("reviews/mine.json.gz", ["\ufeff" + lines[0], *odd, *lines[300:], *lines[:20]]).parent


def outcome(made):
    """All that a manifest says of the tables, but for the names and sizes of their files."""
    return {name: (table.rows, table.content) for name, table in made.manifest.tables.items()}, [
        {key: value for key, value in file.items() if key != "source"} for file in made.manifest.details["files"]
    ]


def test_all_ways_of_reading_give_the_same_tables_and_counts(ingested, reviews, monkeypatch):
    by_threads = ingested(reviews, name="threads", max_reject_fraction=0.5)
    by_tasks = ingested(reviews, name="tasks", max_reject_fraction=0.5, in_process_mb=0)
    by_spark = ingested(reviews, name="spark", max_reject_fraction=0.5, compiled=False)
    monkeypatch.setattr(clean_lines, "compiled_library", lambda: None)
    without_compiler = ingested(reviews, name="without", max_reject_fraction=0.5)

    assert outcome(by_threads) == outcome(by_tasks) == outcome(by_spark) == outcome(without_compiler)
    assert by_threads.rows("reviews") == by_spark.rows("reviews")
    assert by_threads.rows("rejects", "reason", "line") == by_spark.rows("rejects", "reason", "line")
    assert by_threads.manifest.counts["reviews"] == 300 + 221 + 4
    names = [file.path.rpartition("/")[2] for file in by_threads.manifest.table("reviews").files]
    assert sum(name.startswith("clean-") for name in names) == 2  # Lest all of them went by Spark's rules.


@pytest.mark.parametrize("name", ["Gift_Cards_5.json.gz", "Magazine_Subscriptions.csv"])
def test_real_files_give_the_same_tables_by_both_readers(ingested, shared_data, name):
    compiled = ingested(shared_data / name, name="compiled")
    by_spark = ingested(shared_data / name, name="spark", compiled=False)

    assert outcome(compiled) == outcome(by_spark)


def test_tasks_that_are_killed_count_once(ingested, reviews, tmp_path):
    whole = [review for review in reviews.iterdir() if review.suffix == ".json"]
    folder = tmp_path / "clean"
    folder.mkdir()
    lines = [line for line in whole[0].read_text().splitlines() if line.startswith("{") and line.endswith("}")][:300]
    for number in range(3):
        content = "".join(f"{line}\n" for line in lines[number::3]).encode()
        (folder / f"{number}.json.gz").write_bytes(gzip.compress(content))
    work = tmp_path / "killed"
    work.mkdir()

    done = subprocess.run([sys.executable, "-c", KILLED, folder, work], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr[-2000:]
    assert sorted(path.name for path in work.glob("killed-*")) == ["killed-0", "killed-1", "killed-2"]
    made = json.loads((work / "ingested" / "test" / "_manifest.json").read_text())
    expected = ingested(folder, name="expected")
    assert made["tables"]["reviews"]["content"] == expected.digest
    assert made["counts"] == expected.manifest.counts == {"reviews": 300, "items": 0, "rejects": 0}


def test_a_compiler_that_cannot_build_is_as_none(monkeypatch, tmp_path, caplog):
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho no such option >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert kernel.compiled_library.__wrapped__() is None
    assert "no such option" in caplog.text


def test_the_library_is_built_once_and_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = kernel.compiled_library.__wrapped__()
    monkeypatch.setattr(kernel.subprocess, "run", None)

    assert kernel.compiled_library.__wrapped__() == first
    assert [path.suffix for path in (tmp_path / "seqrec").iterdir()] == [".so"]


def test_a_machine_that_cannot_load_the_library_reads_by_spark_or_says_so(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert kernel.compiled_library.__wrapped__() is not None
    (kept,) = (tmp_path / "seqrec").iterdir()
    kept.write_bytes(b"for another machine")

    assert kernel.compiled_library.__wrapped__() is None  # The driver: Spark reads all lines.
    assert "lines are read several times slower" in caplog.text
    with pytest.raises(DataError, match=r"cannot load the compiled reader .* Set ingestion.compiled=false\.$"):
        kernel.last_newline(b"for another machine", np.zeros(1, np.uint8))  # In a task.
