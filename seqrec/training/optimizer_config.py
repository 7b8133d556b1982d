"""Settings of the optimizer. Free of TensorFlow."""

from dataclasses import dataclass
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
    # A step takes this share, times the learning rate, off each weight, but not off biases and norms. In a table,
    # row_sparse_adam takes it off the rows of the batch.
    weight_decay: float = added(0.0)

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
