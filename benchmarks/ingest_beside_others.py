"""The same ratings (CSV) and review lines (JSON) to the same Parquet: seqrec, DuckDB, Polars, the reference's reader.

    python benchmarks/ingest_beside_others.py --workdir WORKDIR --engines ENGINES_PYTHON --reference REFERENCE_PYTHON
        [--ratings 20000000] [--lines 2000000] [--kinds csv json] [--cores 2] [--rounds 3]

ENGINES_PYTHON is a Python that has duckdb and polars, REFERENCE_PYTHON one that has recommenders 1.2.1; both are the
benchmark's dependencies only. Each reader runs in a process of its own on the same files, one after the other, in
every round; the reference only in the first. DuckDB and Polars run twice: see `ingest_engines` for `plain` and `same
work`. Beyond the latter, seqrec hashes whole lines, accounts for every line of every file by reason, and computes the
digest of its table. Its seconds are those of the stage in a session that has started, theirs those of a process; its
peak of memory is that of this process and the JVM together. Prints a table of medians; keep it in
benchmarks/results/ingest_<yyyymmdd>.md.
"""

import argparse
import gzip
import os
import shutil
import statistics
import subprocess
import time
from collections import defaultdict
from pathlib import Path

from ingest_full_size import Watch, spark_of

from seqrec.core.storage import Storage
from seqrec.ingestion.config import IngestionConfig, SourceConfig, SynthesisConfig
from seqrec.ingestion.files.raw_files import find_raw_files
from seqrec.ingestion.stage import run_ingest, run_synthesize

# The reference evaluates every line as Python, in which the `true` of a 2018 line is no name: it gets one.
_REFERENCE = """
import sys
import recommenders.datasets.amazon_reviews as reader
reader.true, reader.false, reader.null = True, False, None
reader._reviews_preprocessing(sys.argv[1])
"""
_ENGINES = str(Path(__file__).with_name("ingest_engines.py"))

Taken = tuple[float, float, float]  # Seconds, CPU seconds, peak of resident memory in GiB.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--ratings", type=int, default=20_000_000)
    parser.add_argument("--lines", type=int, default=2_000_000)
    parser.add_argument("--kinds", nargs="+", default=["csv", "json"])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engines", help="Python that has duckdb and polars")
    parser.add_argument("--reference", help="Python that has recommenders 1.2.1")
    arguments = parser.parse_args()
    work = Path(arguments.workdir)
    print(f"| input | reader | s | CPU s | peak GiB | rows/s | seconds of seqrec / its seconds |\n|{'---|' * 7}")
    for kind, rows in (("csv", arguments.ratings), ("json", arguments.lines)):
        if kind not in arguments.kinds:
            continue
        folder = synthesized(work, kind, rows, arguments.cores)
        taken: dict[str, list[Taken]] = defaultdict(list)
        for number in range(arguments.rounds):
            taken["seqrec"].append(by_seqrec(work, kind, folder, arguments.cores))
            for engine in ("duckdb", "polars") if arguments.engines else ():
                for amount in ("plain", "same"):
                    target = work / f"{engine}.parquet"
                    command = [arguments.engines, _ENGINES, engine, kind, amount, folder, target, arguments.cores]
                    taken[f"{engine}, {amount}{' work' if amount == 'same' else ''}"].append(by_process(command))
            if kind == "json" and arguments.reference and number == 0:
                command = [arguments.reference, "-c", _REFERENCE, joined(folder, work)]
                taken["recommenders 1.2.1"].append(by_process(command))
        ours = statistics.median(seconds for seconds, _, _ in taken["seqrec"])
        for reader, runs in taken.items():
            seconds, cpu_seconds, peak = (statistics.median(values) for values in zip(*runs, strict=True))
            print(
                f"| {kind}, {rows:,} | {reader} | {seconds:.1f} | {cpu_seconds:.1f} | {peak:.2f} "
                f"| {rows / seconds:,.0f} | {ours / seconds:.2f} |",
                flush=True,
            )


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


def by_seqrec(work: Path, kind: str, folder: Path, cores: int) -> Taken:
    """What `ingest` takes in a session that has started, as a pipeline's has; starting one takes about 10 s."""
    storage = Storage(str(work))
    with spark_of(cores, "4g", str(work)) as spark:
        spark.range(10).count()
        started = time.monotonic()
        with Watch() as watch:
            run_ingest(spark, storage, kind, SourceConfig(kind="files", reviews=str(folder)), IngestionConfig(), True)
        return time.monotonic() - started, watch.cpu_seconds, watch.peak_rss / 2**30


def by_process(command: list[object]) -> Taken:
    started = time.monotonic()
    process = subprocess.Popen([str(word) for word in command], env={**os.environ, "PYTHONPATH": ""})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with status {process.returncode}")
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


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
