"""The same ratings (CSV) and review lines (JSON) to the same Parquet: seqrec, DuckDB, Polars, the reference's reader.

    python benchmarks/ingest_beside_others.py --workdir /tmp/beside [--ratings 20000000] [--lines 2000000]
        [--others duckdb polars] [--reference /path/to/python-with-recommenders]

Each runs in a process of its own on the same files; DuckDB, Polars and the reference are the benchmark's
dependencies only. The others write user, item, rating and time; seqrec also checks every line, keeps accounts and
hashes, and computes the digest of what it wrote. Prints a table; keep it in
benchmarks/results/ingest_beside_others_<yyyymmdd>.md.
"""

import argparse
import gzip
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from ingest_full_size import spark_of

from seqrec.core.storage import Storage
from seqrec.sources.config import IngestionConfig, SourceConfig, SynthesisConfig
from seqrec.sources.raw_files import find_raw_files
from seqrec.sources.stage import run_ingest, run_synthesize

_DUCKDB = {
    "csv": """
import duckdb
duckdb.sql("SET threads={cores}; SET memory_limit='8GB'")
duckdb.sql(\"\"\"COPY (SELECT column1 AS user_id, column0 AS item_id, column2 AS rating, column3 AS timestamp
  FROM read_csv('{folder}/*.csv', header=false, columns={{'column0': 'VARCHAR', 'column1': 'VARCHAR',
  'column2': 'FLOAT', 'column3': 'BIGINT'}})) TO '{target}' (FORMAT parquet, COMPRESSION zstd)\"\"\")
""",
    "json": """
import duckdb
duckdb.sql("SET threads={cores}; SET memory_limit='8GB'")
duckdb.sql(\"\"\"COPY (SELECT reviewerID AS user_id, asin AS item_id, overall AS rating, unixReviewTime AS timestamp,
  verified FROM read_json('{folder}/*.json', format='newline_delimited', columns={{'reviewerID': 'VARCHAR',
  'asin': 'VARCHAR', 'overall': 'FLOAT', 'unixReviewTime': 'BIGINT', 'verified': 'BOOLEAN'}})) TO '{target}'
  (FORMAT parquet, COMPRESSION zstd)\"\"\")
""",
}
_POLARS = {
    "csv": """
import os
os.environ["POLARS_MAX_THREADS"] = "{cores}"
import polars as pl
names = ["item_id", "user_id", "rating", "timestamp"]
schema = dict(zip(names, [pl.String, pl.String, pl.Float32, pl.Int64]))
pl.scan_csv("{folder}/*.csv", has_header=False, schema=schema).sink_parquet("{target}", compression="zstd")
""",
    "json": """
import os
os.environ["POLARS_MAX_THREADS"] = "{cores}"
import polars as pl
schema = dict(reviewerID=pl.String, asin=pl.String, overall=pl.Float32, unixReviewTime=pl.Int64, verified=pl.Boolean)
pl.scan_ndjson("{folder}/*.json", schema=schema).sink_parquet("{target}", compression="zstd")
""",
}
_REFERENCE = """
from recommenders.datasets.amazon_reviews import _reviews_preprocessing
_reviews_preprocessing("{one}")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", default="/tmp/beside")
    parser.add_argument("--ratings", type=int, default=20_000_000)
    parser.add_argument("--lines", type=int, default=2_000_000)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--others", nargs="*", default=["duckdb", "polars"])
    parser.add_argument("--reference", help="Python of an environment that holds recommenders 1.2.1")
    arguments = parser.parse_args()
    work = Path(arguments.workdir)
    print("| input | reader | s | rows/s |\n|---|---|---|---|")
    for kind, rows in (("csv", arguments.ratings), ("json", arguments.lines)):
        folder = synthesized(work, kind, rows, arguments.cores)
        times = {"seqrec": by_seqrec(work, kind, folder, arguments.cores)}
        for other in arguments.others:
            code = {"duckdb": _DUCKDB, "polars": _POLARS}[other][kind]
            target = work / f"{other}.parquet"
            times[other] = by_process(sys.executable, code.format(folder=folder, target=target, cores=arguments.cores))
        if kind == "json" and arguments.reference:
            times["recommenders 1.2.1"] = by_process(arguments.reference, _REFERENCE.format(one=joined(folder, work)))
        for reader, seconds in times.items():
            print(f"| {kind}, {rows:,} | {reader} | {seconds:.1f} | {rows / seconds:,.0f} |", flush=True)


def synthesized(work: Path, kind: str, rows: int, cores: int) -> Path:
    """A folder of plain files, the same for everyone."""
    folder = work / f"{kind}-{rows}"
    if folder.exists():
        return folder
    config = SynthesisConfig(
        num_reviews=rows,
        num_users=rows // 5,
        num_items=rows // 15,
        min_reviews_per_user=1,
        num_clusters=100,
        format=kind,
        text_words=80 if kind == "json" else 0,
        num_files=8,
    )
    with spark_of(cores, "4g", str(work)) as spark:
        raw = run_synthesize(spark, Storage(str(work)), kind, config, 1, False)
    part = work / "part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for number, file in enumerate(find_raw_files([raw.details["reviews"]], "benchmark")):
        opened = gzip.open if file.name.endswith(".gz") else open
        with opened(file.display, "rb") as source, (part / f"{number}.{kind}").open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    part.rename(folder)
    return folder


def by_seqrec(work: Path, kind: str, folder: Path, cores: int) -> float:
    """Seconds of `ingest` in a session that has run, as a pipeline's has; starting one takes about 10 s."""
    storage = Storage(str(work))
    with spark_of(cores, "4g", str(work)) as spark:
        spark.range(10).count()
        started = time.monotonic()
        run_ingest(spark, storage, kind, SourceConfig(kind="files", reviews=str(folder)), IngestionConfig(), True)
        return time.monotonic() - started


def by_process(python: str, code: str) -> float:
    started = time.monotonic()
    subprocess.run([python, "-c", code], check=True, env={**os.environ, "PYTHONPATH": ""})
    return time.monotonic() - started


def joined(folder: Path, work: Path) -> Path:
    """All lines in one file: what the reference reads."""
    one = work / "one.json"
    with one.open("wb") as target:
        for file in sorted(folder.iterdir()):
            with file.open("rb") as source:
                shutil.copyfileobj(source, target, 1 << 20)
    return one


if __name__ == "__main__":
    main()
