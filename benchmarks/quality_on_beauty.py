"""Quality on Amazon Beauty beside the reference: two models, two compatibilities, two tie orders, three seeds.

    python benchmarks/quality_on_beauty.py WORKDIR reviews_Beauty_5.json.gz [ROUND ...]

Each run is the pipeline on conf/beauty.yaml in a process of its own; runs that are done already are skipped, so the
script may be stopped and started again. A ROUND is COMPATIBILITY,TIE_ORDER; all four by default. Prints, after each
round, the means over the seeds. The data is prepared once for a tie order: seeds change weights, draws and batches.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from seqrec.core.storage import Storage
from seqrec.evaluation.results import MODEL, read_evaluation

ROOT = Path(__file__).parents[1]
ROUNDS = ("reference,item_id", "corrected,hash", "reference,hash", "corrected,item_id")
MODELS = ("a2svd", "sli_rec")
SEEDS = (1, 2, 3)
METRICS = ("auc", "group_auc", "mrr", "ndcg@2", "ndcg@10")
# Its own figures, one seed: ties as published, which here is by item id.
REFERENCE = {"a2svd": (0.7688, 0.7515, 0.2558, 0.1812, 0.3000), "sli_rec": (0.7843, 0.7643, 0.2862, 0.2147, 0.3329)}


def run_name(model: str, compatibility: str, tie_order: str, seed: int) -> str:
    return f"beauty-{tie_order}-{compatibility}-{model}-{seed}"


def settings_of(workdir: str, reviews: str, model: str, compatibility: str, tie_order: str, seed: int) -> list[str]:
    return [
        f"workdir={workdir}",
        f"name=beauty-{tie_order}",
        f"source.reviews={reviews}",
        f"preparation.tie_order={tie_order}",
        f"model.compatibility={compatibility}",
        f"training.run={run_name(model, compatibility, tie_order, seed)}",
        f"pipeline.models=[{model}]",
        "training.num_threads=1",
        "evaluation.report=false",
        "evaluation.num_replicates=0",
        "evaluation.baselines=[popularity, item_id]",
    ]


def train_and_evaluate(workdir: str, reviews: str, model: str, compatibility: str, tie_order: str, seed: int) -> None:
    """The data is prepared with the config's own seed, then training has another: so two commands."""
    settings = settings_of(workdir, reviews, model, compatibility, tie_order, seed)
    for job, own in (("ingest", []), ("prepare", []), ("train", [f"seed={seed}"]), ("evaluate", [])):
        command = [sys.executable, str(ROOT / "jobs" / f"{job}.py"), "--config", str(ROOT / "conf" / "beauty.yaml")]
        for setting in [*settings, f"model.name={model}", *own]:
            command += ["--set", setting]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


def results(workdir: str, compatibility: str, tie_order: str) -> Iterator[tuple[str, np.ndarray, dict[str, float]]]:
    """For each model its metrics, [seeds, metrics], and those of ranking by item id."""
    for model in MODELS:
        rows, by_id = [], {}
        for seed in SEEDS:
            evaluation = read_evaluation(
                Storage(workdir), run_name(model, compatibility, tie_order, seed), "test", "sampled"
            )
            if evaluation is None:
                continue
            for result in evaluation.results:
                if result.kind == MODEL:
                    rows.append([result.metrics[name] for name in METRICS])
                elif result.name == "item_id":
                    by_id = result.metrics
        if rows:
            yield model, np.array(rows), by_id


def main(workdir: str, reviews: str, *rounds: str) -> None:
    print("| model | compatibility | ties | seeds | AUC | from, to | gAUC | MRR | NDCG@2 | NDCG@10 | AUC by item id |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for model, values in REFERENCE.items():
        shown = " | ".join(f"{value:.4f}" for value in values[1:])
        print(f"| {model}, the reference itself | | item_id | 1 | {values[0]:.4f} | | {shown} | .61 |")
    for one in rounds or ROUNDS:
        compatibility, tie_order = one.split(",")
        for model in MODELS:
            for seed in SEEDS:
                train_and_evaluate(workdir, reviews, model, compatibility, tie_order, seed)
        for model, rows, by_id in results(workdir, compatibility, tie_order):
            mean = " | ".join(f"{value:.4f}" for value in rows.mean(axis=0)[1:])
            spread = f"{rows[:, 0].min():.4f}, {rows[:, 0].max():.4f}"
            by_id_auc = by_id.get("auc", float("nan"))
            setting = f"{model} | {compatibility} | {tie_order} | {len(rows)}"
            print(f"| {setting} | {rows[:, 0].mean():.4f} | {spread} | {mean} | {by_id_auc:.4f} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
