"""Quality over the whole catalogue by the protocol of the papers: several seeds of one config, chosen on validation.

    python -m benchmarks.published_protocol CONFIG REVIEWS WORKDIR [SEEDS [section.key=value ...]]

CONFIG is conf/beauty_published.yaml or conf/toys_published.yaml, REVIEWS the file that it names; SEEDS is 1,2,3,4,5 by
default. The data is prepared once; seeds change weights, draws and batches. Each run keeps the weights of the epoch
that is best on validation, by training.metric; test is measured once. What is done already is skipped, so the script
may be stopped and started again. Prints a row for each seed and the mean with a 95 % interval (Student's t over seeds).
"""

import sys

import numpy as np
from scipy import stats

from seqrec.core.manifest import Dataset
from seqrec.core.storage import Storage
from seqrec.evaluation.results import MODEL, Evaluation, read_evaluation
from seqrec.pipeline.config import load_run_config
from seqrec.pipeline.stages import run_stage
from seqrec.tables.sessions import spark_session

METRICS = ("hit_rate@5", "ndcg@5", "hit_rate@10", "ndcg@10", "mrr")
SETTINGS = ["evaluation.ndcg_cutoffs=[5, 10]", "evaluation.hit_rate_cutoffs=[1, 5, 10]", "evaluation.report=false"]


def main(config: str, reviews: str, workdir: str, seeds: str = "1,2,3,4,5", *overrides: str) -> None:
    common = [f"workdir={workdir}", f"source.reviews={reviews}", *SETTINGS, *overrides]
    first = load_run_config(config, common)
    print(f"{config}, {first.run.model.name}, {' '.join(overrides)}")
    print("| seed | best epoch | validation | " + " | ".join(METRICS) + " | training s |")
    print("|---" * (len(METRICS) + 4) + "|")
    rows = []
    with spark_session("published-protocol", {"spark.sql.shuffle.partitions": "4"}):
        run_stage("ingest", first)
        run_stage("prepare", first)
        for seed in map(int, seeds.split(",")):
            rows.append(measure_seed(config, common, seed))
            print(f"| {seed} " + shown(rows[-1]), flush=True)
    values = np.array(rows)[:, 1:]
    print("| mean | " + shown([np.nan, *values.mean(axis=0)]))
    if len(values) > 1:
        half = stats.t.ppf(0.975, len(values) - 1) * values.std(axis=0, ddof=1) / np.sqrt(len(values))
        print("| ± | " + shown([np.nan, *half]))


def measure_seed(config: str, common: list[str], seed: int) -> list[float]:
    """Trains and evaluates one run: best epoch, its validation metric, METRICS of test, seconds of training."""
    base = load_run_config(config, common).run
    name = base.training.run or f"{base.name}-{base.model.name}"
    settings = [*common, f"training.run={name}-seed{seed}"]
    run_stage("train", load_run_config(config, [*settings, f"seed={seed}"]))
    evaluated = load_run_config(config, settings)
    run_stage("evaluate", evaluated)
    storage, run = Storage(evaluated.run.workdir), f"{name}-seed{seed}"
    evaluation = read_evaluation(storage, run, "test", "full")
    assert evaluation is not None, f"{run} was evaluated just now"
    return [*training_facts(storage, run), *(model_metrics(evaluation)[metric] for metric in METRICS)]


def training_facts(storage: Storage, run: str) -> list[float]:
    """Best epoch, its validation metric, and the seconds of the run."""
    manifest = Dataset(storage, "runs", run).require("train")
    best = manifest.details["best"]
    return [best["epoch"], best[manifest.details["metric"]], manifest.seconds]


def model_metrics(evaluation: Evaluation) -> dict[str, float]:
    return next(each.metrics for each in evaluation.results if each.kind == MODEL)


def shown(row: list[float]) -> str:
    epoch, validation, seconds, *metrics = row
    texts = ["" if np.isnan(epoch) else f"{epoch:.0f}", *(f"{value:.4f}" for value in (validation, *metrics))]
    return " | ".join([*texts, f"{seconds:,.0f}"]) + " |"


if __name__ == "__main__":
    main(*sys.argv[1:])
