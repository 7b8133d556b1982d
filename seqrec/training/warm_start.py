"""Starting from another run's weights: rows of embedding tables are matched by name, all else is copied as it is."""

import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from seqrec.core.errors import ConfigError, DataError
from seqrec.core.manifest import Dataset, Manifest
from seqrec.core.storage import Storage, scratch_folder
from seqrec.events.features import recipes_of
from seqrec.events.vocabulary import read_names
from seqrec.models.contract import SequenceModel
from seqrec.models.layers.embedding import EmbeddingTable
from seqrec.scoring.run_files import WEIGHTS


def start_from_run(
    storage: Storage, run: str, model: SequenceModel, prepared: Manifest, scratch: str | None = None
) -> dict[str, int]:
    """Sets a model's weights to those of a finished run; rows that the run does not know keep their drawn values.

    Returns: the number of rows taken over, by name of the table's variable.

    Raises:
        ConfigError: the run's model has other variables, or variables of other sizes.
        DataError: there is no such run, or the rows of one of its tables have another width.
    """
    dataset = Dataset(storage, "runs", run)
    source = dataset.require("train")
    with scratch_folder(scratch) as folder:
        local = folder / WEIGHTS
        storage.download(f"{dataset.path}/{source.id}/{WEIGHTS}", local)
        _check_names(local, model, run)
        _check_features(source, prepared)
        return _assign(local, model, storage, source, prepared)


def _check_names(path: Path, model: SequenceModel, run: str) -> None:
    with zipfile.ZipFile(path) as archive:
        stored = {name.removesuffix(".npy") for name in archive.namelist()}
    differing = sorted(stored ^ set(model.named_variables()))
    if differing:
        raise ConfigError(
            f"training.start_from={run}: '{differing[0]}' is not in both models. Use the same model settings."
        )


def _check_features(source: Manifest, prepared: Manifest) -> None:
    """Rows of features are matched by the names of their values, which mean the same only by the same declaration."""
    before, now = recipes_of(source), recipes_of(prepared)
    for name in before.keys() & now.keys():
        if before[name] != now[name]:
            raise ConfigError(
                f"training.start_from={source.name}: feature '{name}' is declared otherwise there: {before[name]}. "
                "Give it another name, or declare it as the run does."
            )


def _assign(path: Path, model: SequenceModel, storage: Storage, source: Manifest, prepared: Manifest) -> dict[str, int]:
    tables = {table.name: table for table in model.tables}
    taken = {}
    with np.load(path) as weights:
        for name, variable in model.named_variables().items():
            values = weights[name]
            if name in tables:
                taken[name] = _take_rows(tables[name], values, storage, source, prepared)
            elif values.shape != tuple(variable.shape):
                raise ConfigError(
                    f"training.start_from={source.name}: '{name}' is {list(values.shape)} there, "
                    f"{list(variable.shape)} here. Use the same model settings."
                )
            else:
                variable.assign(values)
    return taken


def _take_rows(
    table: EmbeddingTable, values: np.ndarray, storage: Storage, source: Manifest, prepared: Manifest
) -> int:
    """Copies row 0 and every row whose name both vocabularies hold; returns the number of rows with a name."""
    if values.shape[1:] != tuple(table.variable.shape[1:]):
        raise DataError(
            f"run '{source.name}': rows of '{table.vocabulary}' are {values.shape[1]} wide, here "
            f"{table.variable.shape[1]}. Use the same model settings."
        )
    old_index, old_names = _names(storage, source, table)
    new_index, new_names = _names(storage, prepared, table)
    place = pc.index_in(new_names, value_set=pa.array(old_names))
    old_rows = old_index[np.asarray(place.drop_null())]
    new_rows = new_index[np.asarray(place.is_valid())]
    has_row = (old_rows <= source.details[table.num_named_rows_key]) & (
        new_rows <= prepared.details[table.num_named_rows_key]
    )
    old_rows = np.concatenate([[0], old_rows[has_row]])
    new_rows = np.concatenate([[0], new_rows[has_row]])
    table.variable.scatter_update(tf.IndexedSlices(values[old_rows], new_rows))
    return len(new_rows) - 1


def _names(storage: Storage, manifest: Manifest, table: EmbeddingTable) -> tuple[np.ndarray, pa.Array]:
    return read_names(storage, manifest.table(table.vocabulary), table.index_column, table.name_column)
