"""Settings that all models share; settings of a single model are under `options`. Free of TensorFlow."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import yaml

from seqrec.core.config import added, load_section
from seqrec.core.errors import DataError

if TYPE_CHECKING:
    from seqrec.core.storage import Storage
    from seqrec.events.vocabulary import Vocabulary

COMPATIBILITIES = ("corrected", "reference")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The `model` section of a run.

    `compatibility` sets five behaviours at once; each can also be set alone (None follows `compatibility`).
    """

    name: str = "a2svd"  # Name of a model in `seqrec.models.registry`.
    compatibility: Literal["corrected", "reference"] = "corrected"  # Fix the reference's quirks or repeat them.
    mask_long_term_attention: bool | None = None  # Long-term attention sees only real events, no padding.
    # The fusion gate reads the time of the last real event, not of column 50.
    fusion_time_of_last_event: bool | None = None
    batch_norm_on_real_events: bool | None = None  # The attention's batch norm leaves out padding.
    category_in_recurrence: bool | None = None  # The recurrent layer reads item and category, not only the item.
    separate_unknown_item: bool | None = None  # Items not trained on have a row of their own instead of the padding's.
    item_dim: int = 32  # Width of an item's embedding.
    category_dim: int = 8  # Width of a category's embedding; 0 leaves categories out.
    initial_std: float = 0.01  # Standard deviation of the truncated normal that weights are drawn from.
    layer_sizes: tuple[int, ...] = (100, 64)  # Ranking models: hidden layers of the tower that ends in the logit.
    # Ranking models: share of values dropped after each hidden layer, in every tower of the model.
    dropout: tuple[float, ...] = (0.3, 0.3)
    batch_norm: bool = True  # Ranking models: normalise each hidden layer over the stream's share of the batch.
    batch_norm_momentum: float = 0.95  # Share of a moving statistic that is kept at each step.
    batch_norm_epsilon: float = 1.0e-4  # Added to the variance before the root is taken.
    embed_l2: float = 0.0  # Weight in the loss of half the squared norm of the batch's embedding rows.
    layer_l2: float = 0.0  # Weight in the loss of half the squared norm of all other trained weights.
    # How features join an event's or item's vector, if the data has any: none leaves them out, sum adds them to item
    # and category, concat puts feature_dim more values beside these.
    features: Literal["none", "sum", "concat"] = added("sum")
    feature_dim: int = added(0)  # Width of the features with `features: concat`; else 0.
    # Share of the items whose own row is left out of a step, so that features learn to stand for it. Above 0, items
    # without training events are scored and recommended by their features and category.
    id_dropout: float = added(0.0)
    max_history_length: int = 50  # Number of events that the model reads; of a longer history it reads the last ones.
    mixed_precision: bool = False  # Multiply matrices in bfloat16 (for GPUs that have it); all else stays float32.
    options: dict[str, dict[str, Any]] = field(default_factory=dict)  # Settings of a single model, under its name
    # (docs/configuration.md lists them).

    def __post_init__(self) -> None:
        if self.compatibility not in COMPATIBILITIES:
            raise ValueError(f"compatibility is {self.compatibility!r}: give one of {', '.join(COMPATIBILITIES)}.")
        for name, least in (("item_dim", 1), ("category_dim", 0), ("max_history_length", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least {least}.")
        if (self.features == "concat") != (self.feature_dim > 0):
            raise ValueError(
                f"feature_dim is {self.feature_dim} with features: {self.features}: give 1 or more for concat, else 0."
            )
        if not 0.0 <= self.id_dropout < 1.0:
            raise ValueError(f"id_dropout is {self.id_dropout}: give a rate from 0 up to, not including, 1.")
        if not self.layer_sizes or min(self.layer_sizes) < 1:
            raise ValueError(f"layer_sizes is {self.layer_sizes}: give one or more sizes of at least 1.")
        if any(not 0.0 <= rate < 1.0 for rate in self.dropout):
            raise ValueError(f"dropout is {self.dropout}: give rates from 0 up to, not including, 1.")
        if len(self.dropout) != len(self.layer_sizes):
            raise ValueError(
                f"dropout has {len(self.dropout)} rates for {len(self.layer_sizes)} layer_sizes: give one each."
            )
        if not 0.0 <= self.batch_norm_momentum < 1.0:
            raise ValueError(f"batch_norm_momentum is {self.batch_norm_momentum}: give at least 0 and less than 1.")
        for name in ("initial_std", "batch_norm_epsilon"):
            if getattr(self, name) <= 0.0:
                raise ValueError(f"{name} is {getattr(self, name)}: give more than 0.")
        for name in ("embed_l2", "layer_l2"):
            if getattr(self, name) < 0.0:
                raise ValueError(f"{name} is {getattr(self, name)}: give 0 or more.")

    def corrects(self, quirk: str) -> bool:
        """Returns whether one quirk is fixed: by its own setting if given, else by `compatibility`."""
        own = getattr(self, quirk)
        return self.compatibility == "corrected" if own is None else own

    @property
    def event_dim(self) -> int:
        """Width of an embedded event or candidate: the item beside its category and, for concat, its features."""
        return self.item_dim + self.category_dim + self.feature_dim

    def num_comparable(self, vocabulary: "Vocabulary") -> int:
        """Items 1 up to this one have a vector worth comparing: the trained ones, or all if features stand for ids."""
        knows_new = self.features != "none" and self.id_dropout > 0.0 and vocabulary.features is not None
        return vocabulary.num_items if knows_new else vocabulary.num_trained_items


def read_model_config(storage: "Storage", path: str) -> ModelConfig:
    """Reads the section `model` of the settings that a run keeps beside its weights.

    Raises:
        DataError: the file has no such section.
        ConfigError: a key is unknown in this version.
    """
    values = yaml.safe_load(storage.read_bytes(path))
    if not isinstance(values, dict) or not isinstance(values.get("model"), dict):
        raise DataError(f"{storage.uri(path)}: no section 'model'. Train the run again.")
    return load_section(ModelConfig, values["model"], storage.uri(path))
