"""Settings of item-to-item lists. Free of Spark and TensorFlow."""

from dataclasses import dataclass
from typing import Literal

from seqrec.core.config import speed_only

OFTEN_NEXT, ALIKE, BOTH = "often_next", "alike", "both"
KINDS = (OFTEN_NEXT, ALIKE, BOTH)


@dataclass(frozen=True, kw_only=True)
class SimilarItemsConfig:
    """The `similar_items` section: for every item the items that go with it."""

    # latest writes lists from all events. validation and test count training events only, and measure the lists by that
    # split's targets.
    histories: Literal["latest", "validation", "test"] = "latest"
    # often_next: what users took after an item, or near it. alike: the nearest item vectors of a retrieval run. both:
    # one list of the two.
    kind: Literal["often_next", "alike", "both"] = "often_next"
    run: str | None = None  # A finished run of a retrieval model (sasrec, gru4rec), for alike and both.
    k: int = 20  # Items listed for each item.
    depth: int = 200  # Items of each kind that are found for an item, before both are made one list and cut to k.
    # forward: only what came after an item counts. both: what came before counts too.
    direction: Literal["forward", "both"] = "both"
    window: int = 10  # Two events of a user at most this many positions apart form a pair.
    pair_half_life_days: float = 365.0  # A pair of events this many days apart counts half.
    max_user_events: int = 1000  # Most events of a user, the newest, that form pairs.
    alike_share: float = 0.3  # both: what a place among the nearest vectors counts; a place among the next, the rest.
    # exact: compare an item with all others, for up to some 200,000 items. approximate: with those in lists of near
    # vectors, which needs the package faiss-cpu.
    search: Literal["exact", "approximate"] = "exact"
    num_searched: int = 16  # Approximate: lists of vectors that are searched for each item.
    num_replicates: int = 1000  # Bootstrap replicates of the measured intervals.
    confidence: float = 0.95  # Share of the replicates that an interval holds.
    tensorflow_threads: int = speed_only(1)  # TensorFlow threads while item vectors are written.

    def __post_init__(self) -> None:
        for name in ("k", "depth", "window", "max_user_events", "num_searched", "num_replicates", "tensorflow_threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least 1.")
        if self.depth < self.k:
            raise ValueError(f"depth is {self.depth} and k {self.k}: give a depth of at least k.")
        if self.depth > 1000:
            raise ValueError(f"depth is {self.depth}: give at most 1000.")
        if self.kind != OFTEN_NEXT and self.run is None:
            raise ValueError(
                f"kind is '{self.kind}', but run is not set: name a finished run of a retrieval model, or set "
                f"kind={OFTEN_NEXT}."
            )
        if not 0.0 <= self.alike_share <= 1.0:
            raise ValueError(f"alike_share is {self.alike_share}: give a share from 0 to 1.")
        if not 0.0 < self.confidence < 1.0:
            raise ValueError(f"confidence is {self.confidence}: give a share between 0 and 1.")
        if self.pair_half_life_days <= 0.0:
            raise ValueError(f"pair_half_life_days is {self.pair_half_life_days}: give more than 0.")
