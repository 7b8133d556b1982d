"""Recommendations at size: users a second, memory, and which bound they run into.

PYTHONPATH=. python benchmarks/recommend_size.py --users 1000000 --items 15000000 --workdir /tmp/size

Writes prepared data of users whose events follow a Zipf law over the whole catalogue, a run with untrained weights,
finds 500 candidates for each user and lists the best 10. Two Spark workers of one TensorFlow thread each; the resident
memory is that of this process and all it started (JVM, workers), sampled every second; shared pages count once.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from pyspark.sql import SparkSession
from watch import Watch

from seqrec.core import columns as C
from seqrec.core.manifest import Dataset, FileEntry, Manifest, Recipe, Table
from seqrec.core.storage import Storage
from seqrec.models.config import ModelConfig
from seqrec.neighbours.config import CandidatesConfig
from seqrec.recommendation.candidates.stage import run_candidates
from seqrec.recommendation.config import RecommendationConfig
from seqrec.recommendation.lists.stage import run_recommend

_DAY = 86_400
_BLOCK = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=15_000_000)
    parser.add_argument("--models", nargs="+", default=["a2svd", "sli_rec"])
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--heap", default="3g")
    chosen = parser.parse_args()
    storage = Storage(chosen.workdir)
    writing = multiprocessing.get_context("spawn").Process(
        target=write_inputs, args=(chosen,)
    )  # Its memory goes with it.
    writing.start()
    writing.join()
    if writing.exitcode:
        raise SystemExit("The data could not be written; the reason is above.")
    spark = start_spark(chosen.heap)
    timed("candidates", chosen.users, lambda: run_candidates(spark, storage, "size", CandidatesConfig()))
    config = RecommendationConfig()
    for model in chosen.models:
        listing = partial(run_recommend, spark, storage, "size", model, config)
        timed(f"recommend {model}", chosen.users, listing)
    spark.stop()


def write_inputs(chosen: argparse.Namespace) -> None:
    storage = Storage(chosen.workdir)
    prepared = write_prepared(storage, chosen.users, chosen.items)
    for model in chosen.models:
        write_run(storage, prepared, model, chosen.items)


def timed(name: str, users: int, action: Callable[[], object]) -> None:
    started = time.perf_counter()
    with Watch(shared_once=True) as watch:
        action()
    seconds = time.perf_counter() - started
    print(
        f"{name}: {seconds:,.0f} s, {users / seconds:,.0f} users/s, peak resident {watch.peak_rss / 2**30:.2f} GiB, "
        f"processor {watch.cpu_seconds:.0f} s",
        flush=True,
    )


def start_spark(heap: str) -> SparkSession:
    builder = SparkSession.builder.master("local[2]").config("spark.driver.memory", heap)
    for key, value in {
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "64",
        "spark.sql.session.timeZone": "UTC",
    }.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def write_prepared(storage: Storage, num_users: int, num_items: int, num_files: int = 64) -> Manifest:
    """`latest` and the vocabulary; each user has 5 to 20 events around a neighbourhood of the catalogue."""
    attempt = Dataset(storage, "prepared", "size").begin(Recipe(stage="prepare", settings={}, inputs={}))
    files = []
    for number in range(num_files):
        random = np.random.default_rng([number, 3])
        users = np.arange(number, num_users, num_files)
        lengths = random.integers(5, 21, len(users))
        home = np.repeat(popular(random, len(users), num_items), lengths)
        near = (home + random.integers(0, 200, len(home))) % num_items + 1
        items = np.where(random.random(len(home)) < 0.7, near, popular(random, len(home), num_items)).astype(np.int32)
        times = 1_300_000_000 + np.sort(random.integers(0, 2_000, len(home))) * _DAY
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
        starts = np.cumsum(lengths) - lengths
        # Sorted over the whole file: so every user's times grow too.
        table = pa.table(
            {
                C.USER: pa.array([f"U{user:09d}" for user in users]),
                C.HISTORY_ITEMS: pa.ListArray.from_arrays(offsets, pa.array(items)),
                C.HISTORY_TIMESTAMPS: pa.ListArray.from_arrays(offsets, pa.array(times)),
                C.FIRST_TIMESTAMP: pa.array(times[starts]),
            }
        )
        files.append(save(storage, f"{attempt.path}/sequences/latest/part-{number:05d}.parquet", table))
    vocabulary = []
    for number, start in enumerate(range(1, num_items + 1, _BLOCK)):
        index = np.arange(start, min(start + _BLOCK, num_items + 1))
        table = pa.table(
            {
                C.ITEM_INDEX: pa.array(index.astype(np.int32)),
                C.ITEM: pa.array([f"B{i:09d}" for i in index]),
                C.CATEGORY_INDEX: pa.array((index % 5_000 + 1).astype(np.int32)),
                C.TRAIN_COUNT: pa.array((1 + 10_000_000 // (index + 1_000)).astype(np.int64)),
            }
        )
        vocabulary.append(save(storage, f"{attempt.path}/vocabulary/items/part-{number:05d}.parquet", table))
    names = pa.table(
        {C.CATEGORY_INDEX: pa.array(range(1, 5_001), pa.int32()), C.CATEGORY: [f"c{i}" for i in range(5_000)]}
    )
    categories = [save(storage, f"{attempt.path}/vocabulary/categories/part-00000.parquet", names)]
    tables = {
        "sequences/latest": as_table(files),
        "vocabulary/items": as_table(vocabulary),
        "vocabulary/categories": as_table(categories),
    }
    details = {"num_trained_items": num_items, "num_items": num_items, "num_categories": 5_000}
    return attempt.publish(tables=tables, counts={}, details=details)


def popular(random: np.random.Generator, size: int, num_items: int) -> np.ndarray:
    """Items by a power law: log-uniform places."""
    return np.exp(random.random(size) * np.log(num_items)).astype(np.int64) % num_items + 1


def save(storage: Storage, path: str, table: pa.Table) -> FileEntry:
    local = storage.local(path)
    assert local is not None
    local.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, local, compression="zstd")
    return FileEntry(path=path, rows=len(table), size=local.stat().st_size)


def as_table(files: list[FileEntry]) -> Table:
    return Table(rows=sum(file.rows for file in files), content="0" * 16, files=tuple(files))


def write_run(storage: Storage, prepared: Manifest, model: str, num_items: int) -> None:
    """Weights drawn at random, written block by block: only their number matters here."""
    from seqrec.events.vocabulary import Vocabulary
    from seqrec.models.registry import build_model
    from seqrec.models.weights import save_weights

    config = ModelConfig(name=model)
    category = np.concatenate([[0], np.arange(1, num_items + 1) % 5_000 + 1]).astype(np.int32)
    vocabulary = Vocabulary(
        num_trained_items=num_items,
        num_categories=5_000,
        item_category=category,
        train_count=np.ones(num_items + 1, np.int64),
    )
    attempt = Dataset(storage, "runs", model).begin(Recipe(stage="train", settings={"model": model}, inputs={}))
    folder = storage.local(attempt.path)
    assert folder is not None
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(build_model(config, vocabulary, seed=1), folder / "weights.npz")
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()}
    storage.write_bytes(f"{attempt.path}/config.yaml", yaml.safe_dump({"model": plain}).encode())
    tables = {name: prepared.tables[name] for name in ("vocabulary/items", "vocabulary/categories")}
    attempt.publish(tables=tables, counts={}, details=dict(prepared.details), content=f"random {model}")


if __name__ == "__main__":
    main()
