"""The items that negatives are drawn from, and the search that turns a random number into an item."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from seqrec.core.errors import SmallDataError
from seqrec.events.ragged import offsets_of
from seqrec.preparation.negatives.search_guide import SearchGuide


@dataclass(frozen=True)
class Population:
    """Items to draw from, with weights. Items of one group have neighbouring places if draws are by group.

    A group is a category, or a period; an item has a place in every period in which it occurs.
    """

    items: np.ndarray  # int32 [P], item indices; only items with a weight above 0.
    upto: np.ndarray  # float64 [P + 1], total weight before each place: a uniform number finds its item by search.
    guide: SearchGuide  # Speeds up the search in `upto`.
    category_of: np.ndarray | None = None  # int32 by item index; None if negatives may be of any category.
    group_start: np.ndarray | None = None  # int64 [groups + 1]: group g has the places from [g] to [g + 1].
    # Every item once, by its weight in all periods: what a period with too few items is filled up with.
    whole: "Population | None" = None

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
        of_targets = category_of if sampling == "category" else None
        return cls._of(items, weights, category_of=of_targets, group_start=start)

    @classmethod
    def build_by_period(cls, counts: np.ndarray) -> "Population":
        """A population from the interactions of each item in each period, int64 [periods, items + 1]."""
        period, items = np.nonzero(counts)  # In the order of the periods.
        weights = counts[period, items].astype(np.float64)
        start = offsets_of(np.bincount(period, minlength=len(counts)))
        whole = cls.build(counts.sum(axis=0), "popularity", 1.0)
        return cls._of(items, weights, group_start=start, whole=whole)

    @classmethod
    def _of(cls, items: np.ndarray, weights: np.ndarray, **groups: Any) -> "Population":
        upto = np.concatenate([[0.0], np.cumsum(weights)])
        return cls(items.astype(np.int32), upto, SearchGuide.of(upto), **groups)

    @property
    def every_item(self) -> "Population":
        """The population in which each item has one place."""
        return self if self.whole is None else self.whole

    def places_of(self, points: np.ndarray) -> np.ndarray:
        """For each point between 0 and the total weight, the place p with upto[p] <= point < upto[p + 1]."""
        return self.guide.find(self.upto, points) - 1

    def places_for(self, targets: np.ndarray, periods: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The first place to draw from and the place after the last, for each target; int64 arrays.

        Args:
            periods: int64, the period of each target's time; needed if groups are periods.
        """
        if self.group_start is None:
            return np.zeros(len(targets), np.int64), np.full(len(targets), len(self.items))
        group = periods if self.category_of is None else self.category_of[targets]
        assert group is not None, "draws by period need the periods"
        return self.group_start[group], self.group_start[group + 1]


def check_enough(population: Population, wanted: Mapping[str, int], max_own_items: int, *, excludes_own: bool) -> None:
    """Checks that every target can get its negatives.

    Args:
        wanted: negatives per target, by the key that asks for them.
        max_own_items: the largest number of items barred for one target: 1 (itself), or all items of its user.
        excludes_own: whether a user's items are barred.

    Raises:
        SmallDataError: there are too few items; the message names settings with which there are enough.
    """
    num_items = len(population.every_item.items)
    possible = num_items - max_own_items
    lacking = [key for key, number in wanted.items() if number > possible]
    if not lacking:
        return
    if num_items < 2:
        raise SmallDataError(
            f"All interactions that are kept are of {num_items} item, so there is nothing to rank it against: "
            "keep more items (loosen the filters of preparation), or give data of several items.",
            num_items,
            0,
        )
    fix = []
    if excludes_own and possible < 1:
        fix.append("preparation.exclude_own_items=false")
        possible = num_items - 1
    fix += [f"preparation.{key}={possible}" for key in lacking if wanted[key] > possible]
    what = " and ".join(f"preparation.{key} is {wanted[key]}" for key in lacking)
    barred = f"the {max_own_items} items that one user has" if excludes_own else "the target"
    raise SmallDataError(
        f"{what}, but there are only {num_items} items to draw from, less {barred}: set {' and '.join(fix)}.",
        num_items,
        min(possible, wanted.get("num_validation_negatives", possible)),
    )
