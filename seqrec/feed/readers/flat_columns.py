"""Columns of row groups as flat arrays, and what is refused of them, whichever library reads them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from seqrec.core.errors import DataError

LENGTHS = "lengths"  # Name of the flat column that holds the length of each row's lists.
FlatColumns = dict[str, np.ndarray]  # Name -> all values, one after the other; with `LENGTHS`, int64 [rows].


class Columns(NamedTuple):
    """Columns to read, by name, with the NumPy type of their values."""

    lists: Mapping[str, Any]  # Lists, which have one length within a row.
    scalars: Mapping[str, Any]
    matrices: Mapping[str, Any]  # Lists, which have one length in all rows.

    @property
    def dtypes(self) -> dict[str, Any]:
        return {**self.lists, **self.scalars, **self.matrices}


class FlatLists(NamedTuple):
    """A column of lists."""

    lengths: np.ndarray  # int64 [rows]
    values: np.ndarray


def flat_columns(
    columns: Columns,
    num_rows: int,
    lists_of: Callable[[str], FlatLists | None],
    scalars_of: Callable[[str], np.ndarray],
) -> FlatColumns:
    """The columns of one row group, checked.

    Args:
        lists_of: gives a column of lists by its name; None if a list of it is null.
        scalars_of: gives a column of numbers by its name.

    Raises:
        DataError: there are no rows, a value is null, or lists have other lengths than they should.
    """
    if not num_rows:
        raise DataError("a row group without rows")
    lists = {name: _without_nulls(name, lists_of(name)) for name in [*columns.lists, *columns.matrices]}
    lengths = [lists[name].lengths for name in columns.lists]
    if any((other != lengths[0]).any() for other in lengths[1:]):
        raise DataError(f"{' and '.join(columns.lists)} differ in length within a row")
    for name in columns.matrices:
        if (lists[name].lengths != lists[name].lengths[0]).any():
            raise DataError(f"{name} differs in length between rows")
    flat = {name: each.values for name, each in lists.items()}
    flat |= {name: scalars_of(name) for name in columns.scalars}
    for name, dtype in columns.dtypes.items():
        if flat[name].dtype != dtype:  # A null turns whole numbers into floats, which a cast makes -2147483648.
            raise DataError(f"{name} holds nulls or {flat[name].dtype}, expected {np.dtype(dtype).name}")
    flat[LENGTHS] = lengths[0]
    return flat


def _without_nulls(name: str, lists: FlatLists | None) -> FlatLists:
    if lists is None:
        raise DataError(f"{name} holds nulls in place of lists. Prepare the data again (--set force=true).")
    return lists
