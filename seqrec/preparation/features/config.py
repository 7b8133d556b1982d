"""The `features` section: which properties of items the models see, and how values become rows. Free of Spark."""

import json
from dataclasses import asdict, dataclass
from typing import Literal

from seqrec.core import columns as C
from seqrec.core.errors import did_you_mean

TEXT, TEXTS, NUMBER = "text", "texts", "number"
# Column of `items` -> the type of its values.
ITEM_COLUMNS = {
    C.CATEGORY: TEXT,
    C.GROUP: TEXT,
    C.TITLE: TEXT,
    C.BRAND: TEXT,
    C.PRICE: NUMBER,
    C.CATEGORY_PATH: TEXTS,
    C.ALSO_BUY: TEXTS,
    C.ALSO_VIEW: TEXTS,
}
# Column -> why it must not be a feature.
LEAKS = {
    C.VOTES: "votes are given after the event, so they tell the model of the future",
    C.ITEM: "it names the item itself, which the model embeds anyway",
    "asin": "it names the item itself, which the model embeds anyway",
    "parent_asin": "it names the item itself, which the model embeds anyway",
    C.TARGET_ITEM: "it is what the model must predict",
    C.TARGET_TIMESTAMP: "it is a property of the event that the model must predict",
    C.RATING: "a rating of the item that the model must predict is known only after the event",
    C.VERIFIED: "whether a purchase is verified is known only after the event that the model must predict",
    C.TRAIN_COUNT: "it counts the events that the model is to learn from",
}
_EMBEDDINGS = {
    "categorical": ("vocabulary", "hash"),
    "multi": ("vocabulary", "hash"),
    "continuous": ("quantiles", "standardised", "piecewise_linear"),
}
_TYPES = {"categorical": (TEXT,), "multi": (TEXTS, TEXT), "continuous": (NUMBER,)}


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """One feature. A missing value has a row of its own, always."""

    name: str  # Name of the feature, in reports and in the names of its rows.
    column: str  # Column of the ingested items.
    # categorical: one value; multi: several, such as a category path or the words of a title; continuous: a number.
    kind: Literal["categorical", "multi", "continuous"]
    of: Literal["item"] = "item"  # Whose property it is.
    # vocabulary: a row for each frequent value; hash: rows that values share by chance; quantiles: a row for each of
    # `size` buckets with equally many training events; standardised: one row times the standardised value, and one
    # more; piecewise_linear: straight lines between `size` + 1 rows at the quantiles. Null is the first of the kind.
    embedding: Literal["vocabulary", "hash", "quantiles", "standardised", "piecewise_linear"] | None = None
    size: int | None = None  # Rows for hashed values (65536 if null), or buckets of a number (16 if null).
    max_vocabulary: int = 100_000  # Values with a row of their own, those of most training events; others share one.
    max_values: int = 8  # multi: values of an item that are used at most, the first ones.
    words: int = 0  # multi of a text: its words, up to so many together (2: words and pairs); 0 for lists.
    logarithm: bool = False  # continuous: take log(1 + x) of the value first.

    def __post_init__(self) -> None:
        where = f"feature '{self.name}'"
        if not self.name or not self.name.replace("_", "").isalnum():
            raise ValueError(f"{where}: use letters, digits and '_' in its name.")
        if self.column in LEAKS:
            raise ValueError(f"{where} leaks: column {self.column}: {LEAKS[self.column]}. Leave it out.")
        if self.column not in ITEM_COLUMNS:
            hint, known = did_you_mean(self.column, ITEM_COLUMNS), ", ".join(sorted(ITEM_COLUMNS))
            raise ValueError(f"{where}: items have no column '{self.column}'. Use one of {known}.{hint}")
        holds = ITEM_COLUMNS[self.column]
        if holds not in _TYPES[self.kind]:
            fitting = " or ".join(kind for kind, types in _TYPES.items() if holds in types)
            raise ValueError(f"{where}: column {self.column} holds {holds}, so it is not {self.kind}: use {fitting}.")
        if self.embedding is not None and self.embedding not in _EMBEDDINGS[self.kind]:
            known = ", ".join(_EMBEDDINGS[self.kind])
            raise ValueError(f"{where}: a {self.kind} feature has no embedding {self.embedding}: use {known}.")
        if (self.kind == "multi" and holds == TEXT) != (self.words > 0):
            raise ValueError(f"{where}: words is {self.words}: give 1 or more for a multi feature of a text, else 0.")
        if self.size is not None and self.size < 2:
            raise ValueError(f"{where}: size is {self.size}: give 2 or more.")
        for key in ("max_vocabulary", "max_values"):
            if getattr(self, key) < 1:
                raise ValueError(f"{where}: {key} is {getattr(self, key)}: give 1 or more.")

    @property
    def method(self) -> str:
        """How values become rows."""
        return self.embedding or _EMBEDDINGS[self.kind][0]

    @property
    def num_buckets(self) -> int:
        """Rows for hashed values, or buckets of a number."""
        return self.size or (65_536 if self.method == "hash" else 16)

    @property
    def recipe(self) -> str:
        """All that decides which rows its values become, apart from the data."""
        return json.dumps({**asdict(self), "embedding": self.method}, sort_keys=True)


AMAZON = (
    FeatureConfig(name="brand", column=C.BRAND, kind="categorical"),
    FeatureConfig(name="category_path", column=C.CATEGORY_PATH, kind="multi"),
    FeatureConfig(name="price", column=C.PRICE, kind="continuous", embedding="piecewise_linear", logarithm=True),
    FeatureConfig(name="title", column=C.TITLE, kind="multi", embedding="hash", size=16_384, words=1, max_values=12),
)


@dataclass(frozen=True, kw_only=True)
class FeaturesConfig:
    """The `features` section. `features: amazon` is short for the preset, and a list for `declared`."""

    preset: Literal["none", "amazon"] = "none"  # amazon: brand, category path, price and title words of the dump.
    declared: tuple[FeatureConfig, ...] = ()  # Features of your own, beside those of the preset.

    def __post_init__(self) -> None:
        names = [feature.name for feature in self.all]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"feature '{name}' is declared twice: give each a name of its own.")

    @property
    def all(self) -> tuple[FeatureConfig, ...]:
        """The features of the preset, then those declared."""
        return (AMAZON if self.preset == "amazon" else ()) + self.declared
