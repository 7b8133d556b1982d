"""Settings of the optimizer. Free of TensorFlow."""

from dataclasses import dataclass, fields
from typing import Literal

from seqrec.core.config import added


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Adam with the epsilon beside the root: w -= lr * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + epsilon)."""

    name: Literal["row_sparse_adam", "dense_adam"] = "row_sparse_adam"  # Update only the embedding rows of the
    # batch, or every row at every step as the reference does, at a cost that grows with the catalogue.
    learning_rate: float = 1.0e-3  # Size of a step; it is never scaled by the number of workers.
    beta_1: float = 0.9  # Share of the first moment that is kept at each step.
    beta_2: float = 0.999  # Share of the second moment that is kept at each step.
    epsilon: float = 1.0e-8  # Added to the square root of the second moment.
    # A step takes this share, times its learning rate, off each weight, but not off biases and norms; so warm-up and
    # schedule weaken it. In a table, row_sparse_adam takes it off the rows that have a gradient: those of the batch, or
    # all where full_softmax scores by the table.
    weight_decay: float = added(0.0)
    # The rate after the warm-up. constant: stays; cosine: down a cosine over the planned epochs, so that another
    # num_epochs is another run; plateau: cut whenever validation stands still.
    schedule: Literal["constant", "cosine", "plateau"] = added("constant")
    # Share of learning_rate that cosine has at the last planned step, and that plateau never goes below.
    final_share: float = added(0.0)
    plateau_factor: float = added(0.5)  # What plateau multiplies the rate by.
    plateau_patience: int = added(1)  # Epochs in a row without a better training.metric before plateau cuts the rate.

    def __post_init__(self) -> None:
        if self.learning_rate <= 0.0:
            raise ValueError(f"learning_rate is {self.learning_rate}: give more than 0.")
        for name in ("beta_1", "beta_2"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least 0 and less than 1.")
        if self.epsilon <= 0.0:
            raise ValueError(f"epsilon is {self.epsilon}: give more than 0.")
        if self.weight_decay < 0.0:
            raise ValueError(f"weight_decay is {self.weight_decay}: give 0 or more.")
        self._check_schedule()

    def _check_schedule(self) -> None:
        if not 0.0 <= self.final_share <= 1.0:
            raise ValueError(f"final_share is {self.final_share}: give a share from 0 to 1.")
        if not 0.0 < self.plateau_factor < 1.0:
            raise ValueError(f"plateau_factor is {self.plateau_factor}: give more than 0 and less than 1.")
        if self.plateau_patience < 1:
            raise ValueError(f"plateau_patience is {self.plateau_patience}: give at least 1.")
        idle = {
            "constant": ("final_share", "plateau_factor", "plateau_patience"),
            "cosine": ("plateau_factor", "plateau_patience"),
        }
        defaults = {each.name: each.default for each in fields(self)}
        for name in idle.get(self.schedule, ()):
            if getattr(self, name) != defaults[name]:
                raise ValueError(
                    f"{name} is {getattr(self, name)} but has no effect with schedule {self.schedule}: leave it at "
                    f"{defaults[name]}, or set schedule to {'plateau' if 'plateau' in name else 'cosine or plateau'}."
                )
