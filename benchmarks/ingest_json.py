"""JSON review lines with text: as many small .gz and as one .gz, rows and megabytes per second and core.

    python benchmarks/ingest_json.py --workdir /tmp/ingest_json [--reviews 5000000] [--cores 2]

The one .gz is split by `ingest` on all cores before it is parsed; its time includes that.
Prints a table; keep it in benchmarks/results/ingest_json_<yyyymmdd>.md.
"""

import argparse
import time
from pathlib import Path

from ingest_full_size import spark_of

from seqrec.core.storage import Storage
from seqrec.sources.archives import read_chunks
from seqrec.sources.config import IngestionConfig, SourceConfig, SynthesisConfig
from seqrec.sources.line_formats import Compression
from seqrec.sources.raw_files import find_raw_files
from seqrec.sources.stage import run_ingest, run_synthesize

_FILES = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", default="/tmp/ingest_json")
    parser.add_argument("--reviews", type=int, default=5_000_000)
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    storage = Storage(arguments.workdir)
    config = SynthesisConfig(
        num_reviews=arguments.reviews,
        num_users=arguments.reviews // 5,
        num_items=arguments.reviews // 15,
        min_reviews_per_user=1,
        num_clusters=100,
        text_words=80,
        num_files=_FILES,
    )
    with spark_of(arguments.cores, "4g", arguments.workdir) as spark:
        raw = run_synthesize(spark, storage, "json", config, 1, False)
        one = one_archive(raw.details["reviews"], Path(arguments.workdir) / "one.json.gz")
        megabytes = num_bytes(one) / 1e6
        print(f"{arguments.reviews:,} lines, {megabytes:,.0f} MB, {arguments.cores} cores\n")
        print("| input | s | rows/s | MB/s | MB/s/core |\n|---|---|---|---|---|")
        seconds = {}
        for name, place in ((f"{_FILES} .gz", raw.details["reviews"]), ("one .gz", str(one))):
            source = SourceConfig(kind="files", reviews=place)
            ingestion = IngestionConfig(split_above_mb=1 if name == "one .gz" else 0)
            storage.delete("ingested")
            started = time.monotonic()
            run_ingest(spark, storage, "measured", source, ingestion, False)
            seconds[name] = time.monotonic() - started
            rate = megabytes / seconds[name]
            print(
                f"| {name} | {seconds[name]:.1f} | {arguments.reviews / seconds[name]:,.0f} | {rate:.1f} "
                f"| {rate / arguments.cores:.1f} |"
            )
    print(f"\none .gz / many: {seconds['one .gz'] / seconds[f'{_FILES} .gz']:.2f}")


def one_archive(folder: str, target: Path) -> Path:
    """All files of `folder` as one: .gz members may stand one after the other."""
    if not target.exists():
        part = target.with_name("part")
        with part.open("wb") as output:
            for file in find_raw_files([folder], "benchmark"):
                with file.open() as stream:
                    output.write(stream.read())
        part.replace(target)
    return target


def num_bytes(archive: Path) -> int:
    [file] = find_raw_files([str(archive)], "benchmark")
    return sum(map(len, read_chunks(file, Compression.GZIP)))


if __name__ == "__main__":
    main()
