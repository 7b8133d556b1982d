"""233.1 million synthetic ratings as the 9 GB CSV, through `ingest`, with memory and CPU of all processes watched.

    python benchmarks/ingest_full_size.py --workdir WORKDIR [--reviews 233100000] [--cores 2] [--heap 6g]

Resumable: ratings that are synthesized already are not made again, and `ingest` starts over on its own.
Prints a table; keep it in benchmarks/results/ingest_<yyyymmdd>.md.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import SparkSession
from watch import Watch

from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.ingestion.config import IngestionConfig, SourceConfig, SynthesisConfig
from seqrec.ingestion.stage import run_ingest, run_synthesize

_USERS_SHARE, _ITEMS_SHARE = 43 / 233.1, 15 / 233.1


@contextmanager
def spark_of(cores: int, heap: str, workdir: str) -> Iterator[SparkSession]:
    session = (
        SparkSession.builder.master(f"local[{cores}]")
        .config("spark.driver.memory", heap)
        .config("spark.ui.enabled", False)
        .config("spark.local.dir", f"{workdir}/spark")
        .config("spark.sql.shuffle.partitions", 64)
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    try:
        yield session
    finally:
        session.stop()


def measured(name: str, action: Callable[[], Manifest], results: Path) -> Manifest:
    """Runs a stage and appends what it took to `results`, one JSON line."""
    started = time.monotonic()
    with Watch() as watch:
        manifest = action()
    seconds = time.monotonic() - started
    if seconds < manifest.seconds:  # It was made before, and skipped now.
        return manifest
    record = {
        "stage": name,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(watch.cpu_seconds, 1),
        "peak_rss_gib": round(watch.peak_rss / 2**30, 2),
        "counts": manifest.counts,
    }
    with results.open("a") as file:
        file.write(json.dumps(record) + "\n")
    print(record, flush=True)
    return manifest


def dump_like(num_reviews: int) -> SynthesisConfig:
    """Ratings with the proportions of the 2018 dump."""
    return SynthesisConfig(
        num_reviews=num_reviews,
        num_users=int(num_reviews * _USERS_SHARE),
        num_items=int(num_reviews * _ITEMS_SHARE),
        min_reviews_per_user=1,
        max_reviews_per_user=20_000,
        num_clusters=200,
        format="csv",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--reviews", type=int, default=233_100_000)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--heap", default="6g")
    arguments = parser.parse_args()
    storage = Storage(arguments.workdir)
    Path(arguments.workdir).mkdir(parents=True, exist_ok=True)
    results = Path(arguments.workdir) / "measured.jsonl"
    config = dump_like(arguments.reviews)
    with spark_of(arguments.cores, arguments.heap, arguments.workdir) as spark:
        raw = measured("synthesize", lambda: run_synthesize(spark, storage, "full", config, 1, False), results)
        made = measured(
            "ingest", lambda: run_ingest(spark, storage, "full", SourceConfig(), IngestionConfig(), False), results
        )
    bytes_in = sum(file["size"] for file in raw.details["files"])
    bytes_out = sum(file.size for file in made.table("reviews").files)
    ingest = [json.loads(line) for line in results.read_text().splitlines() if '"stage": "ingest"' in line][-1]
    print(
        f"\n| rows | GB in | GB out | ingest s | CPU s | rows/s | rows/CPU s | peak RSS GiB |\n|{'---|' * 8}\n"
        f"| {made.counts['reviews']:,} | {bytes_in / 1e9:.2f} | {bytes_out / 1e9:.2f} | {ingest['seconds']:.0f} "
        f"| {ingest['cpu_seconds']:.0f} | {made.counts['reviews'] / ingest['seconds']:,.0f} "
        f"| {made.counts['reviews'] / ingest['cpu_seconds']:,.0f} | {ingest['peak_rss_gib']:.1f} |"
    )


if __name__ == "__main__":
    main()
