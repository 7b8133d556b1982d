"""Starting from another run's weights: rows of embedding tables are matched by name, everything else as it is."""

import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from seqrec.core import columns as C
from seqrec.core.errors import ConfigError, DataError
from seqrec.core.manifest import Dataset, Manifest
from seqrec.core.storage import Storage, scratch_folder
from seqrec.events.vocabulary import CATEGORIES, ITEMS, read_names
from seqrec.models.contract import SequenceModel

# Variable -> vocabulary table, its index and its name column.
_TABLES = {
    "embedding/items": (ITEMS, C.ITEM_INDEX, C.ITEM),
    "embedding/categories": (CATEGORIES, C.CATEGORY_INDEX, C.CATEGORY),
}


def start_from_run(
    storage: Storage, run: str, model: SequenceModel, prepared: Manifest, scratch: str | None = None
) -> dict[str, int]:
    """Sets a model's weights to those of a finished run; rows that the run does not know keep their drawn values.

    Returns: table -> rows taken over.

    Raises:
        DataError: there is no such run, or it is of another model or other sizes.
    """
    dataset = Dataset(storage, "runs", run)
    source = dataset.require("train")
    taken = {}
    with scratch_folder(scratch) as folder:
        local = folder / "weights.npz"
        storage.download(f"{dataset.path}/{source.id}/weights.npz", local)
        with zipfile.ZipFile(local) as archive:
            stored = {name.removesuffix(".npy") for name in archive.namelist()}
        differing = sorted(stored ^ set(model.named_variables()))
        if differing:
            raise ConfigError(
                f"training.start_from={run}: '{differing[0]}' is not in both models. Use the same model settings."
            )
        with np.load(local) as weights:
            for name, variable in model.named_variables().items():
                values = weights[name]
                if name in _TABLES:
                    taken[name] = _take_rows(variable, values, storage, source, prepared, *_TABLES[name])
                elif values.shape != tuple(variable.shape):
                    raise ConfigError(
                        f"training.start_from={run}: '{name}' is {list(values.shape)} there, {list(variable.shape)} "
                        "here. Use the same model settings."
                    )
                else:
                    variable.assign(values)
    return taken


def _take_rows(
    variable: tf.Variable,
    values: np.ndarray,
    storage: Storage,
    source: Manifest,
    prepared: Manifest,
    table: str,
    index_column: str,
    name_column: str,
) -> int:
    """Copies the rows whose names both vocabularies hold; padding's row 0 always."""
    if values.shape[1:] != tuple(variable.shape[1:]):
        raise DataError(
            f"run '{source.name}': rows of '{table}' are {values.shape[1]} wide, here {variable.shape[1]}. "
            "Use the same model settings."
        )
    old_index, old_names = read_names(storage, source.table(table), index_column, name_column)
    new_index, new_names = read_names(storage, prepared.table(table), index_column, name_column)
    place = pc.index_in(new_names, value_set=pa.array(old_names))
    old_rows = old_index[np.asarray(place.drop_null())]
    new_rows = new_index[np.asarray(place.is_valid())]
    trained = source.details["num_trained_items"] if table == ITEMS else len(values) - 1
    here = prepared.details["num_trained_items"] if table == ITEMS else variable.shape[0] - 1
    embedded = (old_rows <= trained) & (new_rows <= here)
    old_rows = np.concatenate([[0], old_rows[embedded]])
    new_rows = np.concatenate([[0], new_rows[embedded]])
    variable.scatter_update(tf.IndexedSlices(values[old_rows], new_rows))
    return len(new_rows) - 1
