"""Settings of the models: what is shared here, what one model alone has in `options`. Free of TensorFlow."""

from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

from seqrec.core.config import load_section
from seqrec.core.errors import DataError
from seqrec.core.storage import Storage

COMPATIBILITIES = ("corrected", "reference")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The `model` section of a run.

    `compatibility` sets five behaviours at once; each can be set alone as well (None follows `compatibility`).
    """

    name: str = "a2svd"  # A name of `seqrec.models.registry`.
    compatibility: Literal["corrected", "reference"] = "corrected"  # Mend the reference's quirks, or repeat them.
    mask_long_term_attention: bool | None = None  # Long-term attention sees real events only, not padding too.
    fusion_time_of_last_event: bool | None = None  # The fusion gate reads the last real event's time, not column 50's.
    batch_norm_on_real_events: bool | None = None  # Padding is left out of the attention's batch-norm statistics.
    category_in_recurrence: bool | None = None  # The recurrent layer reads item and category, not the item alone.
    separate_unknown_item: bool | None = None  # Items not trained on have a row of their own, not padding's.
    item_dim: int = 32  # Width of an item's embedding.
    category_dim: int = 8  # Width of a category's embedding.
    initial_std: float = 0.01  # Of the truncated normal that weights start from.
    layer_sizes: tuple[int, ...] = (100, 64)  # Hidden layers of the tower that ends in the logit.
    dropout: tuple[float, ...] = (0.3, 0.3)  # Share dropped after each hidden layer, in every tower of the model.
    batch_norm: bool = True  # Normalise every hidden layer over the stream's share of the batch.
    batch_norm_momentum: float = 0.95  # Share of a moving statistic that stays at each step.
    batch_norm_epsilon: float = 1.0e-4  # Added to the variance.
    embed_l2: float = 0.0  # Half the squared norm of the batch's unique embedding rows counts this much in the loss.
    layer_l2: float = 0.0  # Half the squared norm of every other trained weight counts this much in the loss.
    max_history_length: int = 50  # Events read; a longer history keeps its last ones.
    mixed_precision: bool = False  # Multiply matrices in bfloat16 (for GPUs that have it); all else stays float32.
    options: dict[str, dict[str, Any]] = field(default_factory=dict)  # Model name -> settings that it alone has
    # (docs/configuration.md lists them).

    def __post_init__(self) -> None:
        if self.compatibility not in COMPATIBILITIES:
            raise ValueError(f"compatibility is {self.compatibility!r}: give one of {', '.join(COMPATIBILITIES)}.")
        for name in ("item_dim", "category_dim", "max_history_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least 1.")
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
        """Whether one quirk is mended: its own setting if given, else what `compatibility` says."""
        own = getattr(self, quirk)
        return self.compatibility == "corrected" if own is None else own

    @property
    def event_dim(self) -> int:
        """Width of an embedded event or candidate: item and category side by side."""
        return self.item_dim + self.category_dim


def read_model_config(storage: Storage, path: str) -> ModelConfig:
    """The section `model` of the settings that a run keeps beside its weights.

    Raises:
        DataError: there is no such section.
        ConfigError: a key is not one of this version.
    """
    values = yaml.safe_load(storage.read_bytes(path))
    if not isinstance(values, dict) or not isinstance(values.get("model"), dict):
        raise DataError(f"{storage.uri(path)}: no section 'model'. Train the run again.")
    return load_section(ModelConfig, values["model"], storage.uri(path))
