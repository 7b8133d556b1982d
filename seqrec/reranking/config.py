"""Settings of the learned last stage. Free of Spark and TensorFlow."""

from dataclasses import dataclass
from typing import Literal

from seqrec.core.config import not_in_recipe, speed_only

# Groups of features that `without` may leave out.
_CUTOFF = 10  # Lists are measured at this length.
FEATURE_GROUPS = ("places", "neighbours", "runs", "items", "recency", "users", "gaps", "categories")


@dataclass(frozen=True, kw_only=True)
class RankerConfig:
    """The `ranker` section: what orders the candidates, fitted on those of validation."""

    name: str | None = not_in_recipe(None)  # Name of the ranker; null is the name of the data.
    # validation fits a ranker on the candidates of validation; test measures it on those of test.
    histories: Literal["validation", "test"] = "validation"
    runs: tuple[str, ...] = ()  # Finished runs whose logits are features.
    # trees: boosted by LightGBM (needs the extra seqrec[ranker]); linear: a weighted sum of the features.
    learner: Literal["trees", "linear"] = "trees"
    # Groups of features to leave out: places, neighbours, runs, items, recency, users, gaps, categories.
    without: tuple[str, ...] = ()
    held_out_share: float = 0.25  # Share of the users that stop the fit and measure it, and are not fitted on.
    max_users: int = 50_000  # Most users that a ranker is fitted on; of more, so many are drawn.
    num_ranked: int = 200  # First candidates of each user that are put in a new order; the others follow as they are.
    num_trees: int = 400  # Most trees.
    learning_rate: float = 0.05  # Share of each tree that counts.
    num_leaves: int = 7  # Most leaves of a tree.
    min_leaf_rows: int = 300  # Fewest rows of a leaf.
    l2: float = 5.0  # Penalty of the squares of leaf values.
    patience: int = 50  # Trees without a better NDCG of the users held out, after which the fit stops.
    num_replicates: int = 1000  # Bootstrap replicates of the measured intervals.
    confidence: float = 0.95  # Share of the replicates that an interval holds.
    batch_size: int = speed_only(256)  # Users whose candidates are scored at once.
    pairs_at_once: int = 400_000  # Events times candidates that a run scores in one call.
    tensorflow_threads: int = speed_only(1)  # TensorFlow threads of each Python worker.
    num_threads: int = speed_only(1)  # Threads of the fit.

    def __post_init__(self) -> None:
        for group in self.without:
            if group not in FEATURE_GROUPS:
                raise ValueError(f"without has '{group}': give some of {', '.join(FEATURE_GROUPS)}.")
        if len(set(self.runs)) != len(self.runs):
            raise ValueError(f"runs is {list(self.runs)}: name each run once.")
        for name in ("max_users", "num_trees", "min_leaf_rows", "patience", "num_replicates"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least 1.")
        for name in ("batch_size", "pairs_at_once", "tensorflow_threads", "num_threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least 1.")
        if self.num_ranked < _CUTOFF:
            raise ValueError(f"num_ranked is {self.num_ranked}: give at least {_CUTOFF}.")
        if self.batch_size > 4096:
            raise ValueError(f"batch_size is {self.batch_size}: give at most 4096.")
        if self.num_leaves < 2:
            raise ValueError(f"num_leaves is {self.num_leaves}: give at least 2.")
        for name in ("held_out_share", "confidence"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}: give a share between 0 and 1.")
        if self.learning_rate <= 0.0 or self.l2 < 0.0:
            raise ValueError(
                f"learning_rate is {self.learning_rate} and l2 {self.l2}: give more than 0, and at least 0."
            )
