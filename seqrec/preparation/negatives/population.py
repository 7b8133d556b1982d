"""The items that negatives are drawn from, and the search that turns a random number into an item."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from seqrec.core.errors import DataError
from seqrec.events.ragged import offsets_of
from seqrec.preparation.negatives.search_guide import SearchGuide


@dataclass(frozen=True)
class Population:
    """Items to draw from, with weights. Items of one category have neighbouring places if draws are by category."""

    items: np.ndarray  # int32 [P], item indices; only items with a weight above 0.
    upto: np.ndarray  # float64 [P + 1], total weight before each place: a uniform number finds its item by search.
    category_of: np.ndarray | None  # int32 by item index; None if negatives may be of any category.
    category_start: np.ndarray | None  # int64 [categories + 1]: category c has the places from [c] to [c + 1].
    guide: SearchGuide  # Speeds up the search in `upto`.

    @classmethod
    def build(
        cls,
        counts: np.ndarray,
        sampling: Literal["popularity", "power", "uniform", "category"],
        exponent: float,
        category_of: np.ndarray | None = None,
    ) -> "Population":
        """A population from the interactions of each item.

        Args:
            counts: int64 by item index, interactions; padding has 0.
            sampling: how an item's weight follows from its count; "category" weighs as "popularity" does.
            exponent: the power of the count, for "power".
            category_of: int32 by item index, needed for "category".
        """
        items = np.flatnonzero(counts > 0)
        weights = counts[items].astype(np.float64)
        if sampling == "power":
            weights **= exponent
        elif sampling == "uniform":
            weights[:] = 1.0
        start = None
        if sampling == "category":
            assert category_of is not None
            items_order = np.argsort(category_of[items], kind="stable")
            items, weights = items[items_order], weights[items_order]
            sizes = np.bincount(category_of[items], minlength=int(category_of.max(initial=0)) + 1)
            start = offsets_of(sizes)
        upto = np.concatenate([[0.0], np.cumsum(weights)])
        of_targets = category_of if sampling == "category" else None
        return cls(items.astype(np.int32), upto, of_targets, start, SearchGuide.of(upto))

    def places_of(self, points: np.ndarray) -> np.ndarray:
        """For each point between 0 and the total weight, the place p with upto[p] <= point < upto[p + 1]."""
        return self.guide.find(self.upto, points) - 1

    def places_for(self, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The first place to draw from and the place after the last, for each target; int64 arrays."""
        if self.category_of is None or self.category_start is None:
            return np.zeros(len(targets), np.int64), np.full(len(targets), len(self.items))
        category = self.category_of[targets]
        return self.category_start[category], self.category_start[category + 1]


def check_enough(population: Population, num_negatives: int, max_own_items: int, what: str) -> None:
    """Checks that every target can get its negatives.

    Args:
        max_own_items: the largest number of items barred for one target: 1 (itself), or all items of its user.
        what: the setting that is named in the error.

    Raises:
        DataError: there are too few items.
    """
    num_items = len(population.items)
    if num_items - max_own_items < num_negatives:
        barred = "the target" if max_own_items == 1 else f"the {max_own_items} items that one user has"
        raise DataError(
            f"{what} is {num_negatives}, but there are only {num_items} items to draw from, less {barred}: "
            f"set preparation.{what} to {max(num_items - max_own_items, 0)} or less."
        )
