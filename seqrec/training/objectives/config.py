"""Settings of the loss. Free of TensorFlow."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Softmax over the target and `num_negatives` drawn items."""

    num_negatives: int = 4  # Items drawn for each target.
    # in_batch: other targets of the stream; uniform: all items alike; popularity: in proportion to the training events
    # of each item raised to `popularity_exponent`.
    negatives: Literal["in_batch", "uniform", "popularity"] = "in_batch"
    popularity_exponent: float = 1.0  # Of popularity-drawn negatives; 0 is uniform.
    correct_log_q: bool = False  # Subtract each item's log probability of being drawn from its logit while training.
    exclude_own_items: bool = False  # Leave out a drawn negative that is in the user's own history.

    def __post_init__(self) -> None:
        if self.num_negatives < 1:
            raise ValueError(f"num_negatives is {self.num_negatives}: give at least 1.")
        if self.popularity_exponent < 0.0:
            raise ValueError(f"popularity_exponent is {self.popularity_exponent}: give 0 or more.")
