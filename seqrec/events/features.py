"""Features of items as rows of one table of vectors: an item's features are a weighted sum of rows.

One form serves every kind. A category is one row; several values are rows with equal weights that add up to 1; a number
is a row times the value, or two neighbouring rows weighted by the place between them; a missing value is a row of its
own. Row 0 is padding. The arrays lie in files that all workers of a machine map into memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from seqrec.core.errors import DataError
from seqrec.core.local_copies import map_array
from seqrec.core.manifest import FileEntry, Manifest, Table
from seqrec.core.storage import Storage, scratch_folder

FEATURE_ROWS, FEATURE_WEIGHTS = "features/item_rows", "features/item_weights"  # Tables: .npy files.
FEATURE_NAMES = "vocabulary/features"  # Table that names the rows.
FEATURES, NUM_FEATURE_ROWS = "features", "num_feature_rows"  # Details of a manifest: the features, rows with a name.
_ROWS_AT_ONCE = 200_000


@dataclass(frozen=True)
class FeatureBlock:
    """The rows of one feature: `missing`, then others up to `end`."""

    name: str
    start: int  # First row; it stands for a missing value.
    end: int  # The row after its last one.
    recipe: str = ""  # How its values become rows, as in the configuration: runs compare it.
    # For a number, what the rows after the first stand for; a value is the sum of its weights times these.
    points: Sequence[float] = ()


@dataclass(frozen=True)
class ItemFeatures:
    """Where the arrays lie and what they mean. Travels to workers without them."""

    root: str  # Root of the storage.
    rows_path: str
    weights_path: str
    blocks: tuple[FeatureBlock, ...]

    @property
    def num_rows(self) -> int:
        """Rows of the table of vectors, padding included."""
        return self.blocks[-1].end

    def rows(self) -> np.ndarray:
        """int32 [num_items + 1, P]: rows of each item's features, padded with 0; row 0 is padding's."""
        return map_array(Storage(self.root), self.rows_path)

    def weights(self) -> np.ndarray:
        """float16 [num_items + 1, P], the weight of each row; 0 for padding."""
        return map_array(Storage(self.root), self.weights_path)


def read_item_features(storage: Storage, manifest: Manifest, num_items: int) -> ItemFeatures | None:
    """The features of prepared data or of a run; None if it has none.

    Raises:
        DataError: the arrays are not those of the vocabulary's items.
    """
    if not manifest.details.get(FEATURES):
        return None
    features = ItemFeatures(
        storage.root,
        manifest.table(FEATURE_ROWS).files[0].path,
        manifest.table(FEATURE_WEIGHTS).files[0].path,
        tuple(FeatureBlock(**block | {"points": tuple(block["points"])}) for block in manifest.details[FEATURES]),
    )
    if len(features.rows()) != num_items + 1 or features.rows().shape != features.weights().shape:
        raise DataError(
            f"{manifest.stage} '{manifest.name}': the features are of {len(features.rows()) - 1} items, the vocabulary "
            f"has {num_items}. Run the stage again (--set force=true)."
        )
    return features


def recipes_of(manifest: Manifest) -> dict[str, Any]:
    """How each feature's values become rows, by name; empty without features."""
    return {block["name"]: block["recipe"] for block in manifest.details.get(FEATURES, [])}


def missing_items(features: ItemFeatures) -> dict[str, np.ndarray]:
    """By feature: bool [num_items + 1], the items without a value of it."""
    rows = features.rows()
    return {
        block.name: np.concatenate(
            [
                (rows[start : start + _ROWS_AT_ONCE] == block.start).any(axis=1)
                for start in range(0, len(rows), _ROWS_AT_ONCE)
            ]
        )
        for block in features.blocks
    }


def copy_features(
    storage: Storage, source: Manifest, folder: str, scratch: str | None = None
) -> tuple[dict[str, Table], dict[str, Any]]:
    """Copies the features of prepared data or of a run into `folder`; tables and details for another manifest.

    Both are empty where the source has no features.
    """
    if not source.details.get(FEATURES):
        return {}, {}
    tables = {}
    for name in (FEATURE_ROWS, FEATURE_WEIGHTS, FEATURE_NAMES):
        table = source.table(name)
        (file,) = table.files  # Each is written as one file.
        path = f"{folder}/{name}{PurePosixPath(file.path).suffix}"
        with scratch_folder(scratch) as local:
            storage.download(file.path, local / "file")
            storage.upload(local / "file", path)
        tables[name] = Table(
            rows=table.rows, content=table.content, files=(FileEntry(path=path, rows=file.rows, size=file.size),)
        )
    return tables, {key: source.details[key] for key in (FEATURES, NUM_FEATURE_ROWS)}
