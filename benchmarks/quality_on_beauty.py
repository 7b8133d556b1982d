"""Quality on Amazon Beauty beside the reference: two models, two compatibilities, two tie orders, each quirk alone.

    python benchmarks/quality_on_beauty.py WORKDIR reviews_Beauty_5.json.gz [ROUND ...]

A ROUND is COMPATIBILITY,TIE_ORDER or COMPATIBILITY,TIE_ORDER,QUIRK: the last removes one quirk of `reference` alone, or
puts one back into `corrected`. MODEL: or MODEL/SEEDS: before it chooses one model, or its seeds (sli_rec/1,2:...).
All rounds by default. Each run is conf/beauty.yaml's; what is done already is skipped, so the script may be stopped
and started again. Prints, after each round, the means over the seeds, and for a quirk the differences to the round
without it, seed by seed. The data is prepared once for a tie order: seeds change weights, draws and batches.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqrec.core.storage import Storage
from seqrec.evaluation.results import MODEL, read_evaluation
from seqrec.pipeline.config import load_run_config
from seqrec.pipeline.stages import run_stage
from seqrec.tables.sessions import spark_session

CONFIG = Path(__file__).parents[1] / "conf" / "beauty.yaml"
MODELS = ("a2svd", "sli_rec")
SEEDS = (1, 2, 3)
METRICS = ("auc", "group_auc", "mrr", "ndcg@2", "ndcg@10")
# Its own figures, one seed: ties as published, which here is by item id.
REFERENCE = {"a2svd": (0.7688, 0.7515, 0.2558, 0.1812, 0.3000), "sli_rec": (0.7843, 0.7643, 0.2862, 0.2147, 0.3329)}
# These data have one category, so reading it in the recurrence changes nothing.
QUIRKS = {
    "a2svd": ("mask_long_term_attention", "separate_unknown_item"),
    "sli_rec": (
        "mask_long_term_attention",
        "fusion_time_of_last_event",
        "batch_norm_on_real_events",
        "separate_unknown_item",
    ),
}


class Round(NamedTuple):
    model: str
    compatibility: str
    tie_order: str
    quirk: str | None = None
    seeds: tuple[int, ...] = SEEDS

    @property
    def base(self) -> "Round":
        return self._replace(quirk=None)

    def run_name(self, seed: int) -> str:
        changed = f"-{self.quirk}" if self.quirk else ""
        return f"beauty-{self.tie_order}-{self.compatibility}{changed}-{self.model}-{seed}"

    def settings(self, workdir: str, reviews: str, seed: int) -> list[str]:
        quirk = [f"model.{self.quirk}={str(self.compatibility == 'reference').lower()}"] if self.quirk else []
        return [
            f"workdir={workdir}",
            f"name=beauty-{self.tie_order}",
            f"source.reviews={reviews}",
            f"preparation.tie_order={self.tie_order}",
            f"model.name={self.model}",
            f"model.compatibility={self.compatibility}",
            f"training.run={self.run_name(seed)}",
            "training.num_threads=1",
            "evaluation.report=false",
            "evaluation.num_replicates=0",
            "evaluation.baselines=[popularity, item_id]",
            *quirk,
        ]


def every_round() -> list[Round]:
    whole = [("reference", "item_id"), ("corrected", "hash"), ("reference", "hash"), ("corrected", "item_id")]
    rounds = [Round(model, *setting) for setting in whole for model in MODELS]
    return rounds + [Round(model, "reference", "hash", quirk) for model in MODELS for quirk in QUIRKS[model]]


def parse_rounds(text: str) -> list[Round]:
    chosen, _, setting = text.rpartition(":")
    model, _, seeds = chosen.partition("/")
    seeds = tuple(map(int, seeds.split(","))) if seeds else SEEDS
    compatibility, tie_order, *quirk = setting.split(",")
    models = [model] if model else MODELS
    return [Round(model, compatibility, tie_order, quirk[0] if quirk else None, seeds) for model in models]


def train_and_evaluate(one: Round, workdir: str, reviews: str, seed: int) -> None:
    """The data is prepared with the config's own seed, then training has another."""
    settings = one.settings(workdir, reviews, seed)
    data = load_run_config(str(CONFIG), settings)
    run_stage("ingest", data)
    run_stage("prepare", data)
    run_stage("train", load_run_config(str(CONFIG), [*settings, f"seed={seed}"]))
    run_stage("evaluate", data)


def read_metrics(workdir: str, one: Round, seed: int, baseline: str | None = None) -> np.ndarray | None:
    """Test metrics of the model, or of a baseline beside it; None if the run is not evaluated yet."""
    evaluation = read_evaluation(Storage(workdir), one.run_name(seed), "test", "sampled")
    if evaluation is None:
        return None
    wanted = [each for each in evaluation.results if (each.name == baseline if baseline else each.kind == MODEL)]
    return np.array([wanted[0].metrics[name] for name in METRICS])


def table_row(workdir: str, one: Round) -> str:
    rows = np.array([read_metrics(workdir, one, seed) for seed in one.seeds])
    mean = " | ".join(f"{value:.4f}" for value in rows.mean(axis=0)[1:])
    spread = f"{rows[:, 0].min():.4f}, {rows[:, 0].max():.4f}"
    by_id = read_metrics(workdir, one, one.seeds[0], "item_id")[0]
    change = "but for " if one.quirk else ""
    setting = f"{one.model} | {one.compatibility} {change}{one.quirk or ''} | {one.tie_order} | {len(rows)}"
    row = f"| {setting} | {rows[:, 0].mean():.4f} | {spread} | {mean} | {by_id:.4f} |"
    bases = [read_metrics(workdir, one.base, seed) for seed in one.seeds]
    if one.quirk and all(base is not None for base in bases):
        change = rows[:, 0] - np.array(bases)[:, 0]
        row += f" {change.mean():+.4f} ({', '.join(f'{value:+.4f}' for value in change)}) |"
    return row


def main(workdir: str, reviews: str, *rounds: str) -> None:
    print("| model | compatibility | ties | seeds | AUC | from, to | gAUC | MRR | NDCG@2 | NDCG@10 | AUC by item id |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for model, values in REFERENCE.items():
        shown = " | ".join(f"{value:.4f}" for value in values[1:])
        print(f"| {model}, the reference itself | | item_id | 1 | {values[0]:.4f} | | {shown} | .61 |")
    chosen = [one for text in rounds for one in parse_rounds(text)] or every_round()
    with spark_session("quality", {"spark.sql.shuffle.partitions": "4"}):
        for one in chosen:
            for seed in one.seeds:
                train_and_evaluate(one, workdir, reviews, seed)
            print(table_row(workdir, one), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
