"""233.1 million synthetic ratings as the 9 GB CSV, through `ingest`, with the memory of all processes watched.

    python benchmarks/ingest_full_size.py --workdir /tmp/full_size [--reviews 233100000] [--cores 2] [--heap 10g]

Resumable: ratings that are synthesized already are not made again, and `ingest` starts over on its own.
Prints a table; keep it in benchmarks/results/ingest_full_size_<yyyymmdd>.md.
"""

import argparse
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from pyspark.sql import SparkSession

from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.sources.config import IngestionConfig, SourceConfig, SynthesisConfig
from seqrec.sources.stage import run_ingest, run_synthesize

_USERS_SHARE, _ITEMS_SHARE = 43 / 233.1, 15 / 233.1


class PeakMemory:
    """The greatest sum of resident memory over this process and all its children, in bytes, sampled every second."""

    def __init__(self) -> None:
        self.peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._done.wait(1.0):
            total = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak = max(self.peak, total)


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
    with PeakMemory() as memory:
        manifest = action()
    seconds = time.monotonic() - started
    if seconds < manifest.seconds:  # It was made before, and skipped now.
        return manifest
    record = {
        "stage": name,
        "seconds": round(seconds, 1),
        "peak_rss_gib": round(memory.peak / 2**30, 2),
        "counts": manifest.counts,
    }
    with results.open("a") as file:
        file.write(json.dumps(record) + "\n")
    print(record, flush=True)
    return manifest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", default="/tmp/full_size")
    parser.add_argument("--reviews", type=int, default=233_100_000)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--heap", default="10g")
    arguments = parser.parse_args()
    storage = Storage(arguments.workdir)
    Path(arguments.workdir).mkdir(parents=True, exist_ok=True)
    results = Path(arguments.workdir) / "measured.jsonl"
    config = SynthesisConfig(
        num_reviews=arguments.reviews,
        num_users=int(arguments.reviews * _USERS_SHARE),
        num_items=int(arguments.reviews * _ITEMS_SHARE),
        min_reviews_per_user=1,
        max_reviews_per_user=20_000,
        num_clusters=200,
        format="csv",
    )
    with spark_of(arguments.cores, arguments.heap, arguments.workdir) as spark:
        raw = measured("synthesize", lambda: run_synthesize(spark, storage, "full", config, 1, False), results)
        made = measured(
            "ingest", lambda: run_ingest(spark, storage, "full", SourceConfig(), IngestionConfig(), False), results
        )
    bytes_in = sum(file["size"] for file in raw.details["files"])
    bytes_out = sum(file.size for file in made.table("reviews").files)
    ingest = [json.loads(line) for line in results.read_text().splitlines() if '"stage": "ingest"' in line][-1]
    print(
        f"\n| rows | GB in | GB out | ingest s | rows/s | peak RSS GiB |\n|---|---|---|---|---|---|\n"
        f"| {made.counts['reviews']:,} | {bytes_in / 1e9:.2f} | {bytes_out / 1e9:.2f} | {ingest['seconds']:.0f} "
        f"| {made.counts['reviews'] / ingest['seconds']:,.0f} | {ingest['peak_rss_gib']:.1f} |"
    )


if __name__ == "__main__":
    main()
