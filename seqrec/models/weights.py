"""Variables on disk: one .npz file of plain arrays by name, never pickled, written and read in blocks of rows."""

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import tensorflow as tf

from seqrec.core.errors import DataError

if TYPE_CHECKING:
    from seqrec.models.contract import SequenceModel

_BLOCK_BYTES = 64 * 2**20


def save_weights(model: "SequenceModel", path: str | Path) -> None:
    """Writes the trained weights and moving statistics of a model."""
    save_variables(model.named_variables(), path)


def load_weights(model: "SequenceModel", path: str | Path) -> None:
    """Sets a model's weights to those that `save_weights` wrote for a model with the same settings.

    Raises:
        DataError: the file is missing or broken, or its names or shapes are not the model's.
    """
    load_variables(model.named_variables(), path)


def save_variables(variables: Mapping[str, tf.Variable], path: str | Path) -> None:
    """Writes variables by name. A large table is never held in memory twice."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, variable in variables.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                _write_header(stream, variable)
                for start, stop in row_blocks(variable):
                    stream.write(read_rows(variable, start, stop).numpy().tobytes())


def load_variables(variables: Mapping[str, tf.Variable], path: str | Path) -> None:
    """Assigns what `save_variables` wrote, after a check of all names and shapes.

    Raises:
        DataError: the file is missing or broken, or its names or shapes are not those of `variables`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check(archive, variables, path)
            for name, variable in variables.items():
                with archive.open(f"{name}.npy") as stream:
                    _read_header(stream)
                    _assign(variable, stream)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file of weights. Name a finished run, or train one.") from None
    except (OSError, zipfile.BadZipFile, EOFError, RuntimeError, KeyError, zlib.error) as error:
        raise DataError(f"{path}: cannot read the weights: {error}. Use another checkpoint.") from None


def _check(archive: zipfile.ZipFile, variables: Mapping[str, tf.Variable], path: str | Path) -> None:
    stored = {name.removesuffix(".npy") for name in archive.namelist()}
    differing = sorted(stored ^ set(variables))
    if differing:
        what = "is not in the file" if differing[0] in variables else "is not a variable of the model"
        raise DataError(f"{path}: '{differing[0]}' {what}. The weights are of other model settings.")
    for name, variable in variables.items():
        with archive.open(f"{name}.npy") as stream:
            shape, dtype = _read_header(stream)
        if shape != tuple(variable.shape) or dtype != variable.dtype.as_numpy_dtype:
            raise DataError(
                f"{path}: '{name}' is {dtype} {list(shape)}, expected {variable.dtype.name} {list(variable.shape)}. "
                "The weights are of other model settings or of another vocabulary."
            )


def _write_header(stream: IO[bytes], variable: tf.Variable) -> None:
    descr = np.lib.format.dtype_to_descr(np.dtype(variable.dtype.as_numpy_dtype))
    header = {"descr": descr, "fortran_order": False, "shape": tuple(variable.shape)}
    np.lib.format.write_array_header_2_0(stream, header)


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    try:
        version = np.lib.format.read_magic(stream)
        if version != (2, 0):
            raise ValueError(f"array format {version}, expected (2, 0)")
        shape, fortran_order, dtype = np.lib.format.read_array_header_2_0(stream)
    except ValueError as error:
        raise OSError(str(error)) from None
    if fortran_order or dtype.hasobject:
        raise OSError("an array is not of plain numbers in rows")
    return shape, dtype


def row_blocks(variable: tf.Variable, block_bytes: int | None = None) -> Iterator[tuple[int, int]]:
    """Yields (start, stop) of blocks of rows of about `block_bytes`, by default 64 MiB; (0, 0) for a scalar."""
    if variable.shape.rank == 0:
        yield 0, 0
        return
    row_bytes = max(1, int(np.prod(variable.shape[1:])) * variable.dtype.size)
    step = max(1, (block_bytes or _BLOCK_BYTES) // row_bytes)
    for start in range(0, variable.shape[0], step):
        yield start, min(start + step, variable.shape[0])


def read_rows(variable: tf.Variable, start: int, stop: int) -> tf.Tensor:
    """Returns rows of a variable. Only these are copied, whereas a slice of a table with sparse updates copies all."""
    if variable.shape.rank == 0 or (start, stop) == (0, variable.shape[0]):
        return variable.read_value()
    return tf.gather(variable, tf.range(start, stop))


def assign_rows(variable: tf.Variable, start: int, stop: int, values: np.ndarray | tf.Tensor) -> None:
    """Sets rows of a variable and leaves the other rows alone."""
    if variable.shape.rank == 0 or (start, stop) == (0, variable.shape[0]):
        variable.assign(values)
    else:
        variable.scatter_update(tf.IndexedSlices(values, tf.range(start, stop)))


def _assign(variable: tf.Variable, stream: IO[bytes]) -> None:
    dtype = np.dtype(variable.dtype.as_numpy_dtype)
    for start, stop in row_blocks(variable):
        shape = () if variable.shape.rank == 0 else (stop - start, *variable.shape[1:])
        size = int(np.prod(shape)) * dtype.itemsize
        data = stream.read(size)
        if len(data) != size:
            raise EOFError(f"the file ends early, in '{variable.name}'")
        assign_rows(variable, start, stop, np.frombuffer(data, dtype).reshape(shape))
