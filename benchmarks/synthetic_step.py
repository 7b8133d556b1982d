"""What each model finds of the structure that is planted in the synthetic data, and that shuffled times take away.

    python -m benchmarks.synthetic_step WORKDIR [NUM_ITEMS ...]

Each number of items (400 and the demo's 1,600 by default) is made twice from conf/demo.yaml, as it is and with
`synthesis.shuffle_times`, which keeps the lasting taste and leaves the short-term step to chance. Both models are
trained on both with three seeds (one worker, one thread) and evaluated on the test targets; prints the means and the
lead of SLi-Rec, seed by seed. What is done already is skipped.
"""

import sys
from pathlib import Path

import numpy as np

from seqrec.core.storage import Storage
from seqrec.evaluation.results import MODEL, read_evaluation
from seqrec.pipeline.config import load_run_config
from seqrec.pipeline.stages import run_stage
from seqrec.tables.sessions import spark_session

CONFIG = Path(__file__).parents[1] / "conf" / "demo.yaml"
MODELS = ("a2svd", "sli_rec")
SEEDS = (1, 2, 3)
SIZES = (400, 1600)
METRICS = ("auc", "group_auc", "mrr", "ndcg@2")


def data_name(num_items: int, is_shuffled: bool) -> str:
    return f"items-{num_items}-{'shuffled' if is_shuffled else 'planted'}"


def settings_of(workdir: str, num_items: int, is_shuffled: bool) -> list[str]:
    return [
        f"workdir={workdir}",
        f"name={data_name(num_items, is_shuffled)}",
        f"synthesis.num_items={num_items}",
        f"synthesis.shuffle_times={str(is_shuffled).lower()}",
        "training.num_workers=1",
        "training.num_threads=1",
        "evaluation.report=false",
        "evaluation.num_replicates=0",
        "evaluation.baselines=[]",
    ]


def metrics_of(workdir: str, num_items: int, is_shuffled: bool, model: str, seed: int) -> np.ndarray:
    """Trains and evaluates where that is not done yet; the data keeps the config's own seed."""
    run = f"{data_name(num_items, is_shuffled)}-{model}-{seed}"
    settings = [*settings_of(workdir, num_items, is_shuffled), f"model.name={model}", f"training.run={run}"]
    data = load_run_config(str(CONFIG), settings)
    for job in ("synthesize", "ingest", "prepare"):
        run_stage(job, data)
    run_stage("train", load_run_config(str(CONFIG), [*settings, f"seed={seed}"]))
    run_stage("evaluate", data)
    evaluation = read_evaluation(Storage(workdir), run, "test", "sampled")
    found = next(each for each in evaluation.results if each.kind == MODEL)
    return np.array([found.metrics[name] for name in METRICS])


def print_data(workdir: str, num_items: int, is_shuffled: bool) -> None:
    found = {m: np.array([metrics_of(workdir, num_items, is_shuffled, m, s) for s in SEEDS]) for m in MODELS}
    for model, rows in found.items():
        values = " | ".join(f"{value:.4f}" for value in rows.mean(axis=0)[1:])
        lead = found["sli_rec"][:, 0] - found["a2svd"][:, 0]
        shown = f"{lead.mean():+.4f} ({', '.join(f'{value:+.4f}' for value in lead)})" if model == "sli_rec" else ""
        times = "shuffled" if is_shuffled else "as planted"
        spread = f"{rows[:, 0].min():.4f}, {rows[:, 0].max():.4f}"
        auc = f"{rows[:, 0].mean():.4f} | {spread}"
        print(f"| {num_items:,} | {times} | {model} | {auc} | {values} | {shown} |", flush=True)


def main(workdir: str, *sizes: str) -> None:
    print("| items | times | model | AUC | from, to | gAUC | MRR | NDCG@2 | lead of SLi-Rec in AUC |")
    print("|---|---|---|---|---|---|---|---|---|")
    with spark_session("synthetic-step", {"spark.sql.shuffle.partitions": "4"}):
        for num_items in [int(size) for size in sizes] or SIZES:
            for is_shuffled in (False, True):
                print_data(workdir, num_items, is_shuffled)


if __name__ == "__main__":
    main(*sys.argv[1:])
