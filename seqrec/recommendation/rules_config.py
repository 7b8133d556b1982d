"""Settings of the rules of final lists. Free of Spark and TensorFlow."""

from dataclasses import dataclass, replace
from typing import Any

from seqrec.core.config import not_in_recipe

# Rule -> the keys that switch it on.
RULES: dict[str, tuple[str, ...]] = {
    "own items": ("own_items_after_days",),
    "blocked items": ("blocked_items",),
    "blocked categories": ("blocked_categories",),
    "in stock": ("in_stock",),
    "price": ("min_price", "max_price"),
    "brand": ("max_per_brand",),
    "category": ("max_per_category",),
    "long tail": ("min_long_tail",),
    "new": ("min_new",),
    "diversity": ("diversity",),
}


@dataclass(frozen=True, kw_only=True)
class RulesConfig:
    """The keys `recommendation.rules`: what a list may hold, whatever the scores say."""

    # An item of the user's history may be listed again so many days after the last event with it; null: never, or
    # always with exclude_own_items=false.
    own_items_after_days: int | None = None
    blocked_items: str | None = not_in_recipe(None)  # Text file of items that no list holds, one id per line.
    blocked_categories: str | None = not_in_recipe(None)  # Text file of categories that no list holds, one per line.
    in_stock: str | None = not_in_recipe(None)  # Lists hold only these: a text file of ids, or Parquet with item_id.
    min_price: float | None = None  # Lowest price.
    max_price: float | None = None  # Highest price.
    keep_unpriced: bool = True  # Items without a price pass min_price and max_price.
    max_per_brand: int | None = None  # Most items of one brand in a list; items without a brand are not limited.
    max_per_category: int | None = None  # Most items of one category; items without a category are not limited.
    # So many places of a list are kept for items of the long tail; they stay empty where no candidate is of it.
    min_long_tail: int = 0
    long_tail_events: int = 10  # An item of at most so many training events is of the long tail.
    min_new: int = 0  # So many places are kept for new items; see min_long_tail.
    new_days: int = 90  # An item is new if nobody took it earlier than so many days before the day of the request.
    # From 0 to 1: what unlikeness to the items already chosen counts against the score (maximal marginal relevance). It
    # needs the item vectors of a run.
    diversity: float = 0.0
    vectors_run: str | None = None  # A run whose job index has been run: its vectors say how alike items are.
    diversity_pool: int = 100  # The best so many candidates that diversity chooses from.
    catalogue_pool: int = 500  # With over=catalogue: the best so many items of a user that the rules choose from.

    def __post_init__(self) -> None:
        for name in ("max_per_brand", "max_per_category", "diversity_pool", "catalogue_pool"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least 1.")
        for name in ("own_items_after_days", "min_long_tail", "long_tail_events", "min_new", "new_days"):
            if getattr(self, name) is not None and getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least 0.")
        if self.min_price is not None and self.max_price is not None and self.min_price > self.max_price:
            raise ValueError(f"min_price is {self.min_price} and max_price {self.max_price}: give a range.")
        if not 0.0 <= self.diversity <= 1.0:
            raise ValueError(f"diversity is {self.diversity}: give a number from 0 to 1.")
        if self.diversity > 0.0 and self.vectors_run is None:
            raise ValueError(f"diversity is {self.diversity}, but vectors_run is not set: name a run with an index.")

    @property
    def active(self) -> tuple[str, ...]:
        """The names of the rules that are switched on, in the order of RULES."""
        return tuple(rule for rule, keys in RULES.items() if any(self._is_set(key) for key in keys))

    def only(self, rule: str | None) -> "RulesConfig":
        """These settings with one rule, or none, switched on."""
        off: dict[str, Any] = {key: self._off(key) for name, keys in RULES.items() if name != rule for key in keys}
        return replace(self, **off)

    def _is_set(self, key: str) -> bool:
        return getattr(self, key) != self._off(key)

    @staticmethod
    def _off(key: str) -> float | None:
        return {"min_long_tail": 0, "min_new": 0, "diversity": 0.0}.get(key)
