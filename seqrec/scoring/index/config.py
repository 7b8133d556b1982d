"""Settings of the index of item vectors. Free of Spark and TensorFlow."""

from dataclasses import dataclass
from typing import Literal

from seqrec.core.config import speed_only


@dataclass(frozen=True, kw_only=True)
class IndexConfig:
    """The `index` section: the item vectors of a retrieval run, and how the best of them are found."""

    # exact: multiply a state by all vectors. approximate: by those near it, which needs the package faiss-cpu.
    kind: Literal["exact", "approximate"] = "exact"
    # Approximate: lists of near vectors that the catalogue is parted into; null is about 4 times the root of its size.
    num_lists: int | None = None
    # Approximate: share of the exact k best that must be found; as many lists are searched as that takes.
    min_recall: float = 0.95
    k: int = 100  # Length of the lists for which recall and speed are measured.
    num_measured: int = 1_000  # Histories that measure them, drawn from the prepared data.
    # Threads that build lists. More than one may put some vectors into other lists from one build to the next.
    num_threads: int = speed_only(1)

    def __post_init__(self) -> None:
        for name in ("num_lists", "k", "num_measured", "num_threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}: give at least 1.")
        if not 0.0 < self.min_recall <= 1.0:
            raise ValueError(f"min_recall is {self.min_recall}: give more than 0 and at most 1.")
