"""JSON review lines with text: as many small .gz and as one .gz, rows and megabytes per second and core.

    python benchmarks/ingest_json.py --workdir WORKDIR [--reviews 5000000] [--cores 2] [--rounds 2]

The one .gz is split by `ingest` on all cores before it is parsed; its time includes that. Megabytes are those of the
lines, uncompressed. Before the first round 1 file in 20 is ingested, so that no measured
run pays for compiling. Prints a table of medians; keep it in benchmarks/results/ingest_<yyyymmdd>.md.
"""

import argparse
import statistics
import time
from collections import defaultdict
from pathlib import Path

from ingest_full_size import Watch, spark_of

from seqrec.core.storage import Storage
from seqrec.ingestion.config import IngestionConfig, SourceConfig, SynthesisConfig
from seqrec.ingestion.files.archives import Compression, read_chunks
from seqrec.ingestion.files.raw_files import find_raw_files
from seqrec.ingestion.stage import run_ingest, run_synthesize

_FILES = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--reviews", type=int, default=5_000_000)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only-synthesize", action="store_true", help="write the lines, measure nothing")
    arguments = parser.parse_args()
    storage = Storage(arguments.workdir)
    with spark_of(arguments.cores, "4g", arguments.workdir) as spark:
        raw = run_synthesize(spark, storage, "json", with_text(arguments.reviews), 1, False)
        one = one_archive(raw.details["reviews"], Path(arguments.workdir) / "one.json.gz")
        if arguments.only_synthesize:
            return
        megabytes = num_bytes(one) / 1e6
        several = sorted(file.uri for file in find_raw_files([raw.details["reviews"]], "benchmark"))

        def take(reviews: list[str], split_above_mb: int) -> tuple[float, float]:
            storage.delete("ingested")
            started = time.monotonic()
            source = SourceConfig(kind="files", reviews=reviews)
            with Watch() as watch:
                run_ingest(spark, storage, "measured", source, IngestionConfig(split_above_mb=split_above_mb), False)
            return time.monotonic() - started, watch.cpu_seconds

        take(several[: max(1, len(several) // 20)], 0)
        taken = defaultdict(list)
        for _ in range(arguments.rounds):
            taken["many .gz"].append(take(several, 0))
            taken["one .gz"].append(take([str(one)], 1))
    size = one.stat().st_size / 1e6
    print(f"{arguments.reviews:,} lines, {megabytes:,.0f} MB, {size:,.0f} MB as one .gz; many: {len(several)}\n")
    print("| input | s | CPU s | rows/s | MB/s | MB/s and core |\n|---|---|---|---|---|---|")
    medians = {}
    for name, runs in taken.items():
        medians[name], cpu_seconds = (statistics.median(values) for values in zip(*runs, strict=True))
        rate = megabytes / medians[name]
        print(
            f"| {name} | {medians[name]:.1f} | {cpu_seconds:.1f} | {arguments.reviews / medians[name]:,.0f} "
            f"| {rate:.1f} | {rate / arguments.cores:.1f} |"
        )
    print(f"\none .gz / many: {medians['one .gz'] / medians['many .gz']:.2f}")


def with_text(num_reviews: int) -> SynthesisConfig:
    """2018 lines with about 80 words each."""
    return SynthesisConfig(
        num_reviews=num_reviews,
        num_users=num_reviews // 5,
        num_items=num_reviews // 15,
        min_reviews_per_user=1,
        num_clusters=100,
        text_words=80,
        num_files=_FILES,
    )


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
