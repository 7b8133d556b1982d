"""Evaluation beside the reference's `run_eval`: the same model sizes, the same test groups of 1+49.

    python benchmarks/evaluate_speed.py WORKDIR NAME REFERENCE_PYTHON [NUM_USERS ROUNDS MODEL ...]

WORKDIR and NAME are of prepared data (Beauty, 49 negatives); REFERENCE_PYTHON is the interpreter of an environment
with recommenders 1.2.1. Weights are untrained: they do not change the speed. NUM_USERS 0 is all users.

Ours is the whole Spark stage with two local tasks: "scoring and metrics" reads Parquet, as the reference's `run_eval`
reads its text, scores, and takes the metrics that the reference takes; the checks of the split are counted apart. The
start of Spark and of the Python workers, the tracing of graphs and the first run of each kind are start-up, as is the
reference's own. Then the sides run in turn, ROUNDS times, ours twice each; medians are compared. CPU seconds are of all
processes of a side, for ours checks included.
"""

import contextlib
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import psutil
import yaml
from pyspark.sql import DataFrame, SparkSession

from seqrec.core.manifest import Dataset, Manifest, Recipe
from seqrec.core.storage import Storage
from seqrec.evaluation.checks import keep_some_users
from seqrec.evaluation.config import EvaluationConfig
from seqrec.evaluation.lineage import EvaluationInputs
from seqrec.evaluation.results import Evaluation
from seqrec.evaluation.stage import evaluate_run
from seqrec.events.vocabulary import read_vocabulary
from seqrec.models.config import ModelConfig
from seqrec.models.registry import build_model
from seqrec.models.weights import save_weights
from seqrec.scoring.run import read_run
from seqrec.tables.files import read_table, write_table
from seqrec.tables.prepared_schemas import EVALUATION

MODELS = ("a2svd", "sli_rec")
# The model's row alone, with the metrics that the reference is asked for; and all that an evaluation gives.
BARE = EvaluationConfig(baselines=(), num_replicates=0, report=False)
WHOLE = EvaluationConfig(report=False)


def main(workdir: str, name: str, reference: str, num_users: str = "0", rounds: str = "3", *models: str) -> None:
    logging.disable(logging.INFO)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    started = time.monotonic()
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", "2g")
        .config("spark.ui.enabled", False)
        .config("spark.ui.showConsoleProgress", False)
        .getOrCreate()
    )
    print(f"start of Spark {time.monotonic() - started:.1f} s", flush=True)
    storage = Storage(workdir)
    prepared = Dataset(storage, "prepared", name).require("prepare")
    if int(num_users):
        prepared = keep_users(spark, storage, prepared, int(num_users))
    with tempfile.TemporaryDirectory() as folder:
        rows = read_table(spark, storage, prepared, "sequences/test", EVALUATION).collect()
        print(f"{len(rows)} test groups of 1+49, {prepared.details['num_items']} items")
        write_reference_lines(rows, Path(folder) / "test")
        for model in models or MODELS:
            write_stand_in(storage, prepared, f"speed-{model}", model)
            compare(spark, storage, prepared, model, reference, folder, int(rounds))
    spark.stop()


def compare(
    spark: SparkSession, storage: Storage, prepared: Manifest, model: str, reference: str, folder: str, rounds: int
) -> None:
    command = [reference, str(Path(__file__).with_name("reference_evaluation.py")), model, folder]
    started = time.monotonic()
    with subprocess.Popen(
        [*command, str(prepared.details["num_items"])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as other:
        assert other.stdin is not None
        answer(other, "ready")
        print(f"{model}: start of the reference {time.monotonic() - started:.1f} s", end=", ", flush=True)
        started = time.monotonic()
        for config in (BARE, WHOLE):
            timed(spark, storage, prepared, model, config)
            print(
                f"our first run {time.monotonic() - started:.1f} s", end="\n" if config is WHOLE else ", ", flush=True
            )
            started = time.monotonic()
        own, whole, others = [], [], []
        for _ in range(rounds):
            other.stdin.write("run\n")
            other.stdin.flush()
            found = json.loads(answer(other, "{"))
            others.append((found["seconds"], found["seconds"], found["cpu"]))
            # Spark ends Python workers that had nothing to do for a minute: new ones start, which is start-up again.
            timed(spark, storage, prepared, model, BARE)
            own.append(timed(spark, storage, prepared, model, BARE))
            own.append(timed(spark, storage, prepared, model, BARE))
            whole.append(timed(spark, storage, prepared, model, WHOLE))
        other.stdin.close()
    print(f"  reference run_eval                             {shown(others)}")
    print(f"  ours                                           {shown(own)}")
    print(f"  ours, with all baselines, intervals, slices    {shown(whole)}")
    times = [
        statistics.median(each[i] for each in others) / statistics.median(each[i] for each in own) for i in (0, 1, 2)
    ]
    print(
        f"  ours is {times[0]:.1f} times as fast by the clock, {times[1]:.1f} with the checks of the split, "
        f"{times[2]:.1f} by CPU time, checks included",
        flush=True,
    )


def timed(
    spark: SparkSession, storage: Storage, prepared: Manifest, model: str, config: EvaluationConfig
) -> tuple[float, float, float]:
    """Seconds of scoring and metrics by the clock; seconds and CPU seconds of the whole evaluation, checks included."""
    started, before = time.monotonic(), cpu_seconds()
    evaluation = evaluate(spark, storage, prepared, model, config)
    return evaluation.seconds["scoring and metrics"], time.monotonic() - started, cpu_seconds() - before


def cpu_seconds() -> float:
    """The sum over this process, Spark and its Python workers; the reference is another child and not counted."""
    total = sum(psutil.Process().cpu_times()[:2])
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # It ended meanwhile.
            if not any("reference_evaluation" in word for word in child.cmdline()):
                total += sum(child.cpu_times()[:2])
    return total


def evaluate(
    spark: SparkSession, storage: Storage, prepared: Manifest, model: str, config: EvaluationConfig
) -> Evaluation:
    run = read_run(storage, f"speed-{model}", prepared)
    vocabulary = read_vocabulary(storage, prepared)
    return evaluate_run(spark, EvaluationInputs(storage, prepared, vocabulary, (run,), config, seed=1))


def answer(process: subprocess.Popen, beginning: str) -> str:
    """The next line that begins like this; libraries write to the screen as well."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(beginning):
            return line
    raise SystemExit("the reference ended early; its reason is above")


def shown(runs: list[tuple[float, float, float]]) -> str:
    return ", ".join(f"{scoring:6.2f} s (all {whole:.2f}, CPU {cpu:.1f})" for scoring, whole, cpu in runs)


def keep_users(spark: SparkSession, storage: Storage, prepared: Manifest, num_users: int) -> Manifest:
    """The same data with fewer users, as prepared data of its own."""
    attempt = Dataset(storage, "prepared", f"{prepared.name}-{num_users}").begin(
        Recipe(stage="prepare", settings=dict(prepared.settings), inputs={"from": prepared.content})
    )
    tables = dict(prepared.tables)
    for split in ("validation", "test"):
        rows: DataFrame = read_table(spark, storage, prepared, f"sequences/{split}", EVALUATION)
        tables[f"sequences/{split}"] = write_table(keep_some_users(rows, num_users, 1), attempt, f"sequences/{split}")
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
    built = build_model(config, read_vocabulary(storage, prepared), seed=1)
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
