"""Searching a long sorted array for many values at once, without a cache miss at every halving of the array.

A guide cuts the range of the values into equal cells and stores where each cell begins in the array (Chen, Asau:
"On generating random variates from an empirical distribution", 1974). A value is then found within a few steps.
"""

from dataclasses import dataclass

import numpy as np

_STEPS = 8  # Steps from the beginning of a cell before the usual search takes over, as a cell may hold many values.


@dataclass(frozen=True)
class SearchGuide:
    """The places at which to begin searches in one sorted array."""

    first: float  # The smallest value of the array.
    cells_per_unit: float  # Cells per unit of the values; 0 if all values are equal.
    starts: np.ndarray  # int32 [cells], the number of values at or below the beginning of each cell.

    @classmethod
    def of(cls, ascending: np.ndarray) -> "SearchGuide":
        """A guide for `ascending`, which must not be empty, with as many cells as it has values."""
        cells = len(ascending)
        first, last = float(ascending[0]), float(ascending[-1])
        per_unit = cells / (last - first) if last > first else 0.0
        begins = first + np.arange(cells) / per_unit if per_unit else np.full(cells, first)
        # The largest integers would round up to a float beyond their type; a cell may begin too early, never too late.
        begins = np.minimum(begins, np.nextafter(last, -np.inf))
        starts = np.searchsorted(ascending, begins.astype(ascending.dtype), side="right")
        return cls(first, per_unit, starts.astype(np.int32))

    def find(self, ascending: np.ndarray, values: np.ndarray) -> np.ndarray:
        """The same as `np.searchsorted(ascending, values, side="right")`, several times as fast for even values."""
        flat, size = values.ravel(), len(ascending)
        cells = ((flat.astype(np.float64) - self.first) * self.cells_per_unit).astype(np.int64)
        found = self.starts[np.clip(cells, 0, len(self.starts) - 1)].astype(np.int64)
        # Rounding may have put a value one cell too far.
        too_far = np.flatnonzero((found > 0) & (ascending[found - 1] > flat))
        pending = np.arange(len(flat))
        for _ in range(_STEPS):
            place = found[pending]
            pending = pending[(place < size) & (ascending[np.minimum(place, size - 1)] <= flat[pending])]
            found[pending] += 1
        rest = np.concatenate([too_far, pending])
        found[rest] = np.searchsorted(ascending, flat[rest], side="right")
        return found.reshape(values.shape)
