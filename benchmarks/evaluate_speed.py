"""Evaluation beside the reference's `run_eval`: the same model sizes, the same test groups of 1+49.

    python benchmarks/evaluate_speed.py WORKDIR NAME REFERENCE_PYTHON [NUM_USERS ROUNDS FULL_A2SVD FULL_SLI_REC]

WORKDIR and NAME are of prepared data (Beauty, 49 negatives); REFERENCE_PYTHON is the interpreter of an environment
with recommenders 1.2.1. Weights are untrained: they do not change the speed. Ours is one Spark job of two local tasks,
reading Parquet included, as the reference's includes reading its text; the start of Spark, of the Python workers and
the tracing of graphs are counted apart, like the reference's own start. Runs alternate. NUM_USERS 0 is all users;
FULL_A2SVD and FULL_SLI_REC users are ranked against the whole catalogue. CPU seconds, of all processes of a side, are
given beside those of the clock: they say more on a busy machine.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import yaml
from pyspark.sql import DataFrame, SparkSession

from seqrec.core.manifest import Dataset, Manifest, Recipe
from seqrec.core.storage import Storage
from seqrec.evaluation.checks import keep_some_users
from seqrec.evaluation.config import EvaluationConfig
from seqrec.evaluation.describe import Inputs
from seqrec.evaluation.results import Evaluation
from seqrec.evaluation.stage import evaluate_run
from seqrec.evaluation.trained_run import read_run
from seqrec.feed.vocabulary import read_vocabulary
from seqrec.models.config import ModelConfig
from seqrec.models.registry import build_model
from seqrec.models.vocabulary import ModelVocabulary
from seqrec.models.weights import save_weights
from seqrec.preparation.schemas import EVALUATION
from seqrec.tables.files import read_table, write_table

MODELS = ("a2svd", "sli_rec")
# The model's row alone, with the metrics that the reference is asked for; and all that an evaluation gives.
BARE = EvaluationConfig(baselines=(), num_replicates=0, report=False)
WHOLE = EvaluationConfig(report=False)


def main(workdir: str, name: str, reference: str, *numbers: str) -> None:
    num_users, rounds, full_a2svd, full_sli_rec = [*map(int, numbers), *(0, 2, 2000, 200)[len(numbers) :]]
    logging.disable(logging.INFO)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", "2g")
        .config("spark.ui.enabled", False)
        .config("spark.sql.shuffle.partitions", 2)
        .config("spark.ui.showConsoleProgress", False)
        .getOrCreate()
    )
    storage = Storage(workdir)
    prepared = Dataset(storage, "prepared", name).require("prepare")
    if num_users:
        prepared = keep_users(spark, storage, prepared, num_users)
    with tempfile.TemporaryDirectory() as folder:
        rows = read_table(spark, storage, prepared, "sequences/test", EVALUATION).collect()
        print(f"{len(rows)} test groups of 1+49, {prepared.details['num_items']} items")
        write_reference_lines(rows, Path(folder) / "test")
        for model in MODELS:
            write_stand_in(storage, prepared, f"speed-{model}", model)
            compare(spark, storage, prepared, model, reference, folder, rounds)
    for model, users in zip(MODELS, (full_a2svd, full_sli_rec), strict=True):
        config = replace(BARE, protocol="full", max_users=users)
        evaluate(spark, storage, prepared, model, replace(config, max_users=max(1, users // 10)))
        evaluation = evaluate(spark, storage, prepared, model, config)
        seconds, done = evaluation.seconds["scoring and metrics"], evaluation.setup["num_users"]
        pairs = done * prepared.details["num_items"] / seconds
        print(
            f"{model}: full ranking of {done} users in {seconds:.1f} s: {done / seconds:.0f} users/s, "
            f"{pairs / 1e6:.1f} M scores/s"
        )
    spark.stop()


def compare(
    spark: SparkSession, storage: Storage, prepared: Manifest, model: str, reference: str, folder: str, rounds: int
) -> None:
    command = [reference, str(Path(__file__).with_name("reference_evaluation.py")), model, folder]
    started = time.monotonic()
    with subprocess.Popen(
        [*command, str(prepared.details["num_items"])], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None
        answer(other, "ready")
        print(f"{model}: start of the reference {time.monotonic() - started:.0f} s", end=", ", flush=True)
        started = time.monotonic()
        timed(spark, storage, prepared, model, BARE)
        print(f"our first run, with start, {time.monotonic() - started:.0f} s", flush=True)
        own, whole, others = [], [], []
        for _ in range(rounds):
            own.append(timed(spark, storage, prepared, model, BARE))
            other.stdin.write("run\n")
            other.stdin.flush()
            found = json.loads(answer(other, "{"))
            others.append((found["seconds"], found["cpu"]))
            whole.append(timed(spark, storage, prepared, model, WHOLE))
        other.stdin.close()
    print(f"  reference run_eval                        {shown(others)}")
    print(f"  ours, scoring and metrics                 {shown(own)}")
    print(f"  ours, with all baselines and intervals    {shown(whole)}")
    by_clock, by_cpu = (min(each[i] for each in others) / min(each[i] for each in own) for i in (0, 1))
    print(f"  ours is {by_clock:.1f} times as fast by the clock, {by_cpu:.1f} by CPU time", flush=True)


def timed(
    spark: SparkSession, storage: Storage, prepared: Manifest, model: str, config: EvaluationConfig
) -> tuple[float, float]:
    """Seconds of scoring and metrics by the clock; and CPU seconds of the whole evaluation, checks included."""
    before = cpu_seconds()
    evaluation = evaluate(spark, storage, prepared, model, config)
    return evaluation.seconds["scoring and metrics"], cpu_seconds() - before


def cpu_seconds() -> float:
    """Of this process, Spark and its Python workers; the reference is another child and not counted."""
    me = psutil.Process()
    others = [child for child in me.children(recursive=True) if "reference_evaluation" not in " ".join(child.cmdline())]
    return sum(sum(each.cpu_times()[:2]) for each in (me, *others))


def evaluate(
    spark: SparkSession, storage: Storage, prepared: Manifest, model: str, config: EvaluationConfig
) -> Evaluation:
    run = read_run(storage, f"speed-{model}", prepared, config)
    vocabulary = read_vocabulary(storage, prepared)
    return evaluate_run(spark, Inputs(storage, prepared, vocabulary, (run,), config, seed=1))


def answer(process: subprocess.Popen, beginning: str) -> str:
    """The next line that begins like this; libraries write to the screen as well."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(beginning):
            return line
    raise SystemExit("the reference ended early; its reason is above")


def shown(runs: list[tuple[float, float]]) -> str:
    return ", ".join(f"{seconds:7.2f} s (CPU {cpu:.1f} s)" for seconds, cpu in runs)


def keep_users(spark: SparkSession, storage: Storage, prepared: Manifest, num_users: int) -> Manifest:
    """The same data with fewer users, as prepared data of its own."""
    attempt = Dataset(storage, "prepared", f"{prepared.name}-{num_users}").begin(
        Recipe(stage="prepare", settings=dict(prepared.settings), inputs={"from": prepared.content})
    )
    total = prepared.table("sequences/test").rows
    tables = dict(prepared.tables)
    for split in ("validation", "test"):
        rows: DataFrame = read_table(spark, storage, prepared, f"sequences/{split}", EVALUATION)
        tables[f"sequences/{split}"] = write_table(
            keep_some_users(rows, num_users, total, 1), attempt, f"sequences/{split}"
        )
    return attempt.publish(tables=tables, counts=prepared.counts, details=prepared.details)


def write_reference_lines(rows: list, path: Path) -> None:
    """The reference's text: one line for each candidate, the history repeated in each."""
    with path.open("w") as stream:
        for row in rows:
            items = ",".join(map(str, row["history_items"]))
            times = ",".join(map(str, row["history_timestamps"]))
            categories = ",".join(["all"] * len(row["history_items"]))
            for place, item in enumerate([row["target_item"], *row["negative_items"]]):
                stream.write(
                    f"{int(place == 0)}\tu\t{item}\tall\t{row['target_timestamp']}\t{items}\t{categories}\t{times}\n"
                )


def write_stand_in(storage: Storage, prepared: Manifest, run: str, model: str) -> None:
    """A run with the reference's sizes and untrained weights."""
    config = ModelConfig(name=model, compatibility="reference")
    vocabulary = read_vocabulary(storage, prepared)
    built = build_model(
        config,
        ModelVocabulary(
            num_trained_items=vocabulary.num_trained_items,
            num_categories=vocabulary.num_categories,
            item_category=vocabulary.item_category,
        ),
        seed=1,
    )
    attempt = Dataset(storage, "runs", run).begin(Recipe(stage="train", settings={}, inputs={}))
    with tempfile.TemporaryDirectory() as folder:
        save_weights(built, Path(folder) / "weights.npz")
        storage.upload(Path(folder) / "weights.npz", f"{attempt.path}/weights.npz")
    text = yaml.safe_dump(json.loads(json.dumps({"model": asdict(config)})))
    storage.write_bytes(f"{attempt.path}/config.yaml", text.encode())
    tables = {table: prepared.tables[table] for table in ("vocabulary/items", "vocabulary/categories")}
    attempt.publish(tables=tables, counts={}, details=prepared.details, content="untrained")


if __name__ == "__main__":
    main(*sys.argv[1:])
