"""Settings of the loss: those that several objectives share. What one objective alone has is in `options`."""

from dataclasses import dataclass
from typing import Any, Literal

from seqrec.core.config import added


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The `training.loss` section of a run."""

    # The objective to minimise; null: sampled_softmax for ranking models, full_softmax for retrieval models.
    name: str | None = added(None)
    num_negatives: int = 4  # Items drawn for each target.
    # in_batch: other targets of the stream; uniform: all items alike; popularity: in proportion to the training events
    # of each item raised to `popularity_exponent`.
    negatives: Literal["in_batch", "uniform", "popularity"] = "in_batch"
    popularity_exponent: float = 1.0  # Exponent of the counts for popularity negatives; 0 draws all items alike.
    correct_log_q: bool = False  # Subtract each item's log probability of being drawn from its logit while training.
    exclude_own_items: bool = False  # Leave out a drawn negative that is in the user's own history.
    # Share of each target's negatives that is drawn from its list in the candidates of training targets (made with
    # candidates.histories=train); the rest, and all of a target with an empty list, by `negatives`. 0: none.
    candidates_share: float = added(0.0)
    # Settings of a single objective, under its name (docs/configuration.md lists them); null: their defaults.
    options: dict[str, dict[str, Any]] | None = added(None)

    def __post_init__(self) -> None:
        if self.num_negatives < 1:
            raise ValueError(f"num_negatives is {self.num_negatives}: give at least 1.")
        if self.popularity_exponent < 0.0:
            raise ValueError(f"popularity_exponent is {self.popularity_exponent}: give 0 or more.")

        if not 0.0 <= self.candidates_share <= 1.0:
            raise ValueError(f"candidates_share is {self.candidates_share}: give a share from 0 to 1.")
        if self.candidates_share and self.num_listed == 0:
            raise ValueError(
                f"candidates_share is {self.candidates_share}, which is none of {self.num_negatives} negatives: give "
                f"at least {1 / self.num_negatives:.2g}."
            )
        if self.candidates_share and self.correct_log_q:
            raise ValueError(
                "correct_log_q is true with candidates_share, but how likely an item of a list is drawn differs "
                "between users. Set correct_log_q to false."
            )

    @property
    def num_listed(self) -> int:
        """Negatives of each target that are drawn from its list."""
        return int(self.candidates_share * self.num_negatives + 1e-9)

    def check_batch(self, global_batch_size: int, num_streams: int, num_parts: int) -> None:
        """Refuses batches in which in_batch negatives cannot be drawn.

        Args:
            num_parts: parts of a stream's share that are worked on one after the other (gradient accumulation).

        Raises:
            ValueError: a part of a stream has a single example, so there is no other target in it.
        """
        least = 2 * num_streams * num_parts
        if self.name in (None, "sampled_softmax") and self.negatives == "in_batch" and global_batch_size < least:
            raise ValueError(
                f"global_batch_size is {global_batch_size} with num_streams {num_streams} and "
                f"gradient_accumulation {num_parts}: a single example in each part of a stream has no in_batch "
                f"negatives. Give a batch of at least {least}, or other negatives."
            )
