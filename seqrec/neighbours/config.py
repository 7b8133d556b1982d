"""Settings of candidates. Free of Spark and TensorFlow."""

from dataclasses import dataclass, field
from typing import Literal

from seqrec.core.config import added

NEIGHBOUR_FINDERS = ("co_visitation", "also_bought", "also_viewed", "category_popularity", "popularity")
RETRIEVAL = "retrieval"  # The best items of the whole catalogue by a run of a retrieval model.
TRANSITIONS = "transitions"  # What came after an item: pairs of co-visitation in the direction of time only.
# Ways to find candidates. Files of candidates hold their places in this list, so a new one comes last.
FINDERS = (*NEIGHBOUR_FINDERS, RETRIEVAL, TRANSITIONS)
# The most trusted first: a candidate at the same place in two lists counts for the first one.
TRUST = (RETRIEVAL, TRANSITIONS, *NEIGHBOUR_FINDERS)
# When lists are merged, the n-th item of a finder's list takes place n * stride: less trusted lists are thinner.
STRIDES = {**dict(zip(NEIGHBOUR_FINDERS, (1, 2, 3, 4, 20), strict=True)), RETRIEVAL: 1, TRANSITIONS: 1}
_MAX_STRIDE = 1_000
CANDIDATES = "candidates"  # Name of the table, and of the folder of the dataset.
LATEST, TRAINING = "latest", "train"  # Values of `histories` that other code asks for.


def candidates_name(name: str, histories: str) -> str:
    """The name of the dataset: candidates that measure or train lie beside those that are used."""
    return name if histories == LATEST else f"{name}-{histories}"


@dataclass(frozen=True, kw_only=True)
class CandidatesConfig:
    """The `candidates` section: which items a model is asked to score for a user."""

    # latest finds candidates for everyone from all events. validation and test use training events only, and measure
    # the recall of that split's targets. train finds, for training targets, what to train against: never the target,
    # nor another item of the user's row of training events.
    histories: Literal["latest", "validation", "test", "train"] = "latest"
    train_share: float = added(1.0)  # Share of the training targets that train finds lists for, drawn by their place.
    max_candidates: int = 500  # Most candidates of a user; they are stored best first.
    sources: tuple[str, ...] = NEIGHBOUR_FINDERS  # Ways to find candidates; transitions is one more.
    # A finished run of a retrieval model (sasrec, gru4rec): its best items of the whole catalogue are one more source,
    # named retrieval. null: none.
    retrieval_run: str | None = added(None)
    # Source -> n: its list takes only every n-th place when lists are merged. Sources not named have 1, 2, 3, 4 and 20,
    # and retrieval and transitions have 1.
    strides: dict[str, int] = field(default_factory=dict)
    exclude_own_items: bool = True  # Leave out items that are in the user's history.
    num_recent_items: int = 20  # Candidates are the neighbours of this many last items of a history.
    history_decay: float = 0.8  # Each event counts this share of the event after it.
    history_half_life_days: float = 180.0  # An event this many days older than now counts half.
    window: int = 10  # Two events of a user at most this many positions apart form a co-visited pair.
    pair_half_life_days: float = 365.0  # A pair of events this many days apart counts half.
    num_neighbours: int = 200  # Items kept in each item's list of co-visited, also-bought and also-viewed items.
    max_user_events: int = 1000  # Most events of a user, the newest, that count for pairs and popularity.
    num_category_items: int = 200  # Popular items kept for each category.
    popularity_half_life_days: float = 365.0  # An event this many days older than the newest counts half.

    def __post_init__(self) -> None:
        unknown = [name for name in self.sources if name not in FINDERS]
        if unknown or not self.sources:
            raise ValueError(f"sources is {list(self.sources)}: give some of {', '.join(FINDERS)}.")
        if RETRIEVAL in self.sources and self.retrieval_run is None:
            raise ValueError(
                f"sources has {RETRIEVAL}, but retrieval_run is not set: name a finished run of a retrieval model "
                f"there, or leave {RETRIEVAL} out."
            )
        for name, stride in self.strides.items():
            if name not in FINDERS or not isinstance(stride, int) or not 1 <= stride <= _MAX_STRIDE:
                raise ValueError(
                    f"strides has '{name}: {stride}': give one of {', '.join(FINDERS)} a whole number from 1 to "
                    f"{_MAX_STRIDE}."
                )
        for name in (
            *("max_candidates", "num_recent_items", "window", "num_neighbours", "max_user_events"),
            "num_category_items",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least 1.")
        if not 0.0 < self.train_share <= 1.0:
            raise ValueError(f"train_share is {self.train_share}: give more than 0 and at most 1.")
        if self.max_candidates > 10_000:
            raise ValueError(f"max_candidates is {self.max_candidates}: give at most 10000.")
        if not 0.0 < self.history_decay <= 1.0:
            raise ValueError(f"history_decay is {self.history_decay}: give more than 0 and at most 1.")
        for name in ("history_half_life_days", "pair_half_life_days", "popularity_half_life_days"):
            if getattr(self, name) <= 0.0:
                raise ValueError(f"{name} is {getattr(self, name)}: give more than 0.")
