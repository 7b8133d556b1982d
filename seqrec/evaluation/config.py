"""Settings of the evaluation. Free of Spark and TensorFlow."""

from dataclasses import dataclass
from typing import Literal

from seqrec.core.config import not_in_recipe, speed_only
from seqrec.core.metrics import METRICS

BASELINES = ("popularity", "recent_popularity", "last_category", "co_visitation", "also_bought", "item_id")


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """The `evaluation` section of a run."""

    split: Literal["test", "validation"] = "test"  # The split whose rows are measured.
    protocol: Literal["sampled", "full"] = "sampled"  # The target is ranked among stored negatives, or all items.
    ndcg_cutoffs: tuple[int, ...] = (2, 4, 6, 10)  # The k of NDCG@k.
    hit_rate_cutoffs: tuple[int, ...] = (1, 5, 10)  # The k of hit rate@k.
    baselines: tuple[str, ...] = BASELINES  # Baselines shown beside the model, on the same candidates.
    recent_days: int = 90  # Recent popularity counts the training events of this many days before the target.
    num_recent_items: int = 5  # Co-visitation and also-bought look back from this many last items.
    num_neighbours: int = 100  # Co-visited items kept for each item.
    max_baseline_megabytes: int = 512  # A baseline whose lookup table is larger is left out, with a note.
    compare_to: str | None = None  # Another run, scored on the same candidates and tested against this one.
    num_replicates: int = 1000  # Bootstrap samples of the users; 0 gives no intervals.
    confidence: float = 0.95  # Confidence of the intervals.
    max_users: int = 100_000  # Full protocol: measure at most this many users, chosen by a hash.
    # Full protocol: the target competes with all items, or with those of its main group.
    full_candidates: Literal["all", "group"] = "all"
    # Full protocol: a larger catalogue is refused for a ranking model, which scores each item apart.
    max_catalogue: int = 200_000
    batch_size: int = speed_only(512)  # Histories that a worker scores at once; affects speed and memory only.
    tensorflow_threads: int = speed_only(1)  # Threads of each Python worker; Spark already runs one worker per core.
    # Measure, on this many rows of validation, what is lost when an input is permuted: each feature, category, order,
    # times. 0 leaves it out.
    importance_rows: int = not_in_recipe(0)
    report: bool = not_in_recipe(True)  # Write report.html as well.
    report_runs: tuple[str, ...] = not_in_recipe(())  # Other runs whose evaluations the report shows beside this one.

    @property
    def cutoffs(self) -> dict[str, tuple[int, ...]]:
        """The k of each metric that has cutoffs; one without a key of its own shares those of hit rate."""
        names = [metric.name for metric in METRICS.values() if metric.has_cutoff]
        return {name: getattr(self, f"{name}_cutoffs", self.hit_rate_cutoffs) for name in names}

    def __post_init__(self) -> None:
        for name in ("ndcg_cutoffs", "hit_rate_cutoffs"):
            cutoffs = getattr(self, name)
            if not cutoffs or min(cutoffs) < 1 or list(cutoffs) != sorted(set(cutoffs)):
                raise ValueError(f"{name} is {list(cutoffs)}: give one or more of at least 1, growing.")
        unknown = [name for name in self.baselines if name not in BASELINES]
        if unknown:
            raise ValueError(f"baselines has {unknown[0]!r}: known are {', '.join(BASELINES)}.")
        if not 0.5 <= self.confidence < 1.0:
            raise ValueError(f"confidence is {self.confidence}: give at least 0.5 and less than 1.")
        if self.num_replicates < 0 or 0 < self.num_replicates < 100:
            raise ValueError(f"num_replicates is {self.num_replicates}: give 0 for none, or at least 100.")
        for name in (
            *("recent_days", "num_recent_items", "num_neighbours", "max_baseline_megabytes", "max_users"),
            *("max_catalogue", "batch_size", "tensorflow_threads"),
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least 1.")
