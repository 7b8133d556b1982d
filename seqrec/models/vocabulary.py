"""What a model must know of the vocabulary: how many rows to embed, and each item's category."""

from dataclasses import dataclass

import numpy as np

from seqrec.core.errors import DataError


@dataclass(frozen=True, kw_only=True)
class ModelVocabulary:
    """Index 0 is padding; 1 to `num_trained_items` have a row each; higher indices were never trained on."""

    num_trained_items: int
    num_categories: int  # Categories have indices 0 (missing) to `num_categories`.
    item_category: np.ndarray  # int32 [number of items + 1], category index of each item index; [0] is 0.

    def __post_init__(self) -> None:
        table = self.item_category
        if table.ndim != 1 or table.dtype != np.int32:
            raise DataError(f"item_category is {table.dtype} {list(table.shape)}: expected int32 of one dimension.")
        if not 1 <= self.num_trained_items < len(table):
            raise DataError(
                f"num_trained_items is {self.num_trained_items} but the vocabulary has {len(table) - 1} items: "
                "prepare the data again, or keep more events."
            )
        if table[0] != 0:
            raise DataError(f"item_category[0] is {table[0]}: padding must have category 0.")
        if table.min() < 0 or table.max() > self.num_categories:
            raise DataError(
                f"item_category holds {table.min()} to {table.max()} but there are {self.num_categories} categories: "
                "the vocabulary's items and categories do not belong together."
            )
