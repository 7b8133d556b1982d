"""The items that negatives are drawn from, and how a random number finds its item."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from seqrec.core.errors import DataError
from seqrec.events.ragged import offsets_of
from seqrec.preparation.negatives.search_guide import Guide


@dataclass(frozen=True)
class Population:
    """Items to draw from, with weights; items of one category lie together.

    `upto[p]` is the total weight before place p, so that a uniform number finds its item by search.
    """

    items: np.ndarray  # int32 [P], item indices; only those with a weight above 0.
    upto: np.ndarray  # float64 [P + 1]
    category_of: np.ndarray | None  # int32 by item index; None when targets may be of any category.
    category_start: np.ndarray | None  # int64 [categories + 1]: places of category c from [c] to [c + 1].
    guide: Guide  # Into `upto`.

    @classmethod
    def build(
        cls,
        counts: np.ndarray,
        sampling: Literal["popularity", "power", "uniform", "category"],
        exponent: float,
        category_of: np.ndarray | None = None,
    ) -> "Population":
        """From the interactions of each item (by item index, 0 for padding); category draws go by popularity."""
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
        return cls(items.astype(np.int32), upto, of_targets, start, Guide.to(upto))

    def places_of(self, points: np.ndarray) -> np.ndarray:
        """For each point of the range of all weights the place p with upto[p] <= point < upto[p + 1]."""
        return self.guide.find(self.upto, points) - 1

    def places_for(self, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each target the range of places to draw from."""
        if self.category_of is None or self.category_start is None:
            return np.zeros(len(targets), np.int64), np.full(len(targets), len(self.items))
        category = self.category_of[targets]
        return self.category_start[category], self.category_start[category + 1]


def check_enough(population: Population, num_negatives: int, max_own_items: int, what: str) -> None:
    """Refuses a number of negatives that some target could not get.

    Args:
        max_own_items: the most items that are barred for one target: 1, itself, or all that its user has.

    Raises:
        DataError: with the number of items there are.
    """
    num_items = len(population.items)
    if num_items - max_own_items < num_negatives:
        barred = "the target" if max_own_items == 1 else f"the {max_own_items} items that one user has"
        raise DataError(
            f"{what} is {num_negatives}, but there are only {num_items} items to draw from, less {barred}: "
            f"set preparation.{what} to {max(num_items - max_own_items, 0)} or less."
        )
