"""Preparation of synthetic reviews with the shape of the 2018 dump, at any size up to the dump's 233.1 million.

    python benchmarks/prepare_full_size.py WORKDIR 20000000 [233100000 ...]

Writes `ingested/<size>` straight from the generator of synthetic events (ingest has a benchmark of its own), above
100 million as ten disjoint copies of a tenth (see prepare_copies.py), then runs the stage as the job does, in a
process of its own, with the driver heap given by SEQREC_HEAP (default 6g).
What is done already is skipped, so that it can be stopped and started again. Prints one line a size: seconds,
CPU seconds, the highest resident memory of the whole process tree, bytes per training target.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from prepare_copies import COPIES, write_copies
from watch import Watch

COPIED_ABOVE = 100_000_000
NUM_REVIEWS_OF_DUMP = 233_100_000
NUM_USERS_OF_DUMP = 43_531_850
NUM_ITEMS_OF_DUMP = 15_167_257
SEED = 7


def run(workdir: Path, num_reviews: int) -> None:
    """One size, in this process: generate, prepare, write the figures down."""
    import logging

    from pyspark.sql import SparkSession

    from seqrec.core.manifest import Dataset
    from seqrec.core.storage import Storage
    from seqrec.preparation import stage
    from seqrec.preparation.config import PreparationConfig

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    logging.getLogger("seqrec").setLevel(logging.INFO)
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", os.environ.get("SEQREC_HEAP", "6g"))
        .config("spark.local.dir", str(workdir / "spark"))
        .config("spark.sql.shuffle.partitions", max(2, num_reviews // 2_000_000))
        .config("spark.ui.enabled", False)
        .config("spark.ui.showConsoleProgress", False)
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    storage = Storage(str(workdir))
    name = str(num_reviews)
    if Dataset(storage, "ingested", name).manifest() is None:
        started = time.monotonic()
        if num_reviews > COPIED_ABOVE:
            tenth = num_reviews // COPIES
            if Dataset(storage, "ingested", str(tenth)).manifest() is None:
                write_ingested(spark, storage, str(tenth), tenth)
            write_copies(storage, name, str(tenth))
        else:
            write_ingested(spark, storage, name, num_reviews)
        print(f"{name}: generated in {time.monotonic() - started:.0f} s", flush=True)
    with Watch() as peak:
        begun, ordered = time.monotonic(), {}
        write_kept = stage._write_kept_events

        def write_kept_and_note(*arguments: object) -> object:
            kept = write_kept(*arguments)
            ordered.update(seconds=round(time.monotonic() - begun, 1), cpu_seconds=round(peak.cpu_seconds))
            return kept

        stage._write_kept_events = write_kept_and_note
        manifest = stage.run_prepare(spark, storage, name, PreparationConfig(), SEED)
    train = manifest.table("sequences/train")
    targets = sum(file.targets or 0 for file in train.files)
    figures = {
        "reviews": num_reviews,
        "seconds": manifest.seconds,
        "cpu_seconds": round(peak.cpu_seconds),
        # Until there are the vocabulary and each user's kept events in order, as other engines are asked for.
        "until_ordered_events": ordered,
        "peak_resident_gib": round(peak.peak_rss / 2**30, 2),
        "train_targets": targets,
        "bytes_per_target": round(sum(file.size for file in train.files) / targets, 2),
        "train_files": len(train.files),
        "least_and_most_targets": [min(f.targets for f in train.files), max(f.targets for f in train.files)],
        "counts": manifest.counts,
    }
    (workdir / f"{name}.json").write_text(json.dumps(figures, indent=1))
    print(json.dumps({key: value for key, value in figures.items() if key != "counts"}), flush=True)
    spark.stop()


def write_ingested(spark, storage, name: str, num_reviews: int) -> None:
    """`ingested/<name>` with the dump's ratio of users and items to reviews, and its ids in form and length."""
    from pyspark.sql import functions as F

    from seqrec.core.manifest import Dataset, Recipe
    from seqrec.ingestion.config import SynthesisConfig
    from seqrec.ingestion.synthetic.events import ITEM_NUMBER, build_events
    from seqrec.ingestion.synthetic.lines import item_id, user_id
    from seqrec.tables.files import write_table
    from seqrec.tables.schemas import ITEMS, REVIEWS

    share = num_reviews / NUM_REVIEWS_OF_DUMP
    config = SynthesisConfig(
        num_reviews=num_reviews,
        num_users=int(NUM_USERS_OF_DUMP * share),
        num_items=int(NUM_ITEMS_OF_DUMP * share),
        min_reviews_per_user=1,
    )
    columns = {
        "user_id": user_id(),
        "item_id": item_id(F.col(ITEM_NUMBER)),
        "rating": F.lit(5.0).cast("float"),
        "timestamp": F.col("timestamp"),
        "verified": F.lit(True),
        "votes": F.lit(None).cast("int"),
        "group": F.lit("Synthetic"),
        "line_hash": F.xxhash64(user_id(), F.col(ITEM_NUMBER), F.col("timestamp"), F.col("event_number")),
    }
    reviews = build_events(spark, config, SEED).select(*[columns[field.name].alias(field.name) for field in REVIEWS])
    numbers = spark.range(config.num_items).withColumnRenamed("id", ITEM_NUMBER)
    categories = F.concat(F.lit("Category "), F.pmod(F.xxhash64(ITEM_NUMBER), F.lit(5_000)).cast("string"))
    items = numbers.select(
        item_id(F.col(ITEM_NUMBER)).alias("item_id"),
        categories.alias("category"),
        *[F.lit(None).cast(field.dataType).alias(field.name) for field in ITEMS.fields[2:]],
    )
    attempt = Dataset(storage, "ingested", name).begin(Recipe(stage="ingest", settings={"reviews": name}, inputs={}))
    tables = {"reviews": write_table(reviews, attempt, "reviews"), "items": write_table(items, attempt, "items")}
    attempt.publish(tables=tables, counts={})


def main() -> None:
    workdir = Path(sys.argv[1])
    workdir.mkdir(parents=True, exist_ok=True)
    if os.environ.get("SEQREC_BENCHMARK_CHILD"):
        run(workdir, int(sys.argv[2]))
        return
    environment = os.environ | {"SEQREC_BENCHMARK_CHILD": "1", "PYSPARK_PYTHON": sys.executable}
    for size in sys.argv[2:]:
        subprocess.run([sys.executable, __file__, str(workdir), size], env=environment, check=True)


if __name__ == "__main__":
    main()
