"""An evaluation as it is stored, without a run or data behind it."""

from seqrec.evaluation.results import Evaluation, RankerResult, SliceResult

MANIFEST = {
    "stage": "train",
    "name": "books-a2svd",
    "id": "0123456789ab-1",
    "content": "c0ffee",
    "recipe": "beef",
    "created": "2026-01-01T00:00:00+00:00",
    "seconds": 12.5,
    "settings": {"seed": 1},
    "inputs": {"prepared": "abc"},
    "counts": {"steps": 10},
    "model": {"name": "a2svd", "compatibility": "corrected"},
}


def evaluation(run: str = "books-a2svd", auc: float = 0.8, compatibility: str = "corrected") -> Evaluation:
    def result(name: str, kind: str, value: float) -> RankerResult:
        metrics = {"auc": value, "group_auc": value, "mrr": value / 2, "ndcg@10": value / 2, "hit_rate@10": value}
        beyond = {"coverage@10": 0.125, "average_popularity@10": 1234.5, "novelty@10": 12.345}
        return RankerResult(
            name=name,
            kind=kind,
            metrics=metrics | beyond,
            intervals={metric: (each - 0.01, each + 0.01) for metric, each in metrics.items()},
            ahead_by={} if kind == "model" else {metric: (0.1, 0.05, 0.15) for metric in metrics},
            corrected={"ndcg@10": value / 3},
            ranks=[(1, 30), (2, 40), (10, 30)],
        )

    slices = [
        SliceResult(
            slicing="history length",
            label=label,
            num_rows=50,
            metrics={run: {"group_auc": 0.7}, "popularity": {"group_auc": 0.6}},
        )
        for label in ("1 to 2 events", "3 to 4 events")
    ]
    return Evaluation(
        run=run,
        model="a2svd",
        split="test",
        protocol="sampled",
        setup={"data": "books <&>", "num_users": 100, "seed": 1, "correction": "none", "candidates_key": "same"},
        results=[result(run, "model", auc), result("popularity", "baseline", 0.6)],
        slices=slices,
        comparison={
            "other": "books-b",
            "test": "sign-flip",
            "metrics": {"auc": {"difference": 0.1, "interval": [0.0, 0.2], "p_value": 0.03}},
        },
        lineage={
            "prepared": {**MANIFEST, "stage": "prepare", "name": "books"},
            "runs": [{**MANIFEST, "model": {"name": "a2svd", "compatibility": compatibility}}],
            "evaluation": {"confidence": 0.95},
            "versions": {"seqrec": "0.1.0"},
            "evaluated": "2026-01-02T00:00:00+00:00",
        },
        notes=["Baseline also_bought is left out: there is no metadata."],
        seconds={"checks": 1.0},
    )
