"""Settings of candidates. Free of Spark and TensorFlow."""

from dataclasses import dataclass, field
from typing import Literal

# In order of trust: of equal standing, a candidate counts as found by the first.
SOURCES = ("co_visitation", "also_bought", "also_viewed", "category_popularity", "popularity")
# The n-th of a source's list stands beside the (n * stride)-th of the first source's: less trusted lists are thinner.
STRIDES = dict(zip(SOURCES, (1, 2, 3, 4, 20), strict=True))
_MAX_STRIDE = 1_000


@dataclass(frozen=True, kw_only=True)
class CandidatesConfig:
    """The `candidates` section: which items a model is asked to score for a user."""

    # latest: for everyone, from all events. validation, test: from training events only, and recall is measured.
    histories: Literal["latest", "validation", "test"] = "latest"
    max_candidates: int = 500  # Of each user, best first.
    sources: tuple[str, ...] = SOURCES  # Ways to find candidates.
    # Source -> n: its list is thinned to every n-th place when lists are merged. Those not named: 1, 2, 3, 4 and 20.
    strides: dict[str, int] = field(default_factory=dict)
    exclude_own_items: bool = True  # Leave out what the user has in the history.
    num_recent_items: int = 20  # Last events of a history from which candidates are looked up.
    history_decay: float = 0.8  # An event counts this much of the one after it.
    history_half_life_days: float = 180.0  # An event this much older than now counts half.
    window: int = 10  # Events of one user at most so far apart make a co-visited pair.
    pair_half_life_days: float = 365.0  # A pair of events this far apart in time counts half.
    num_neighbours: int = 200  # Co-visited, and also-bought, items kept of each item.
    max_user_events: int = 1000  # Of a heavier user only the newest events make pairs and popularity.
    num_category_items: int = 200  # Popular items kept of each category.
    popularity_half_life_days: float = 365.0  # An event this much older than the newest counts half.

    def __post_init__(self) -> None:
        unknown = [name for name in self.sources if name not in SOURCES]
        if unknown or not self.sources:
            raise ValueError(f"sources is {list(self.sources)}: give some of {', '.join(SOURCES)}.")
        for name, stride in self.strides.items():
            if name not in SOURCES or not isinstance(stride, int) or not 1 <= stride <= _MAX_STRIDE:
                raise ValueError(
                    f"strides has '{name}: {stride}': give one of {', '.join(SOURCES)} a whole number from 1 to "
                    f"{_MAX_STRIDE}."
                )
        for name in (
            *("max_candidates", "num_recent_items", "window", "num_neighbours", "max_user_events"),
            "num_category_items",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least 1.")
        if self.max_candidates > 10_000:
            raise ValueError(f"max_candidates is {self.max_candidates}: give at most 10000.")
        if not 0.0 < self.history_decay <= 1.0:
            raise ValueError(f"history_decay is {self.history_decay}: give more than 0 and at most 1.")
        for name in ("history_half_life_days", "pair_half_life_days", "popularity_half_life_days"):
            if getattr(self, name) <= 0.0:
                raise ValueError(f"{name} is {getattr(self, name)}: give more than 0.")
