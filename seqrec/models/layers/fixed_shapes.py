"""Fixed shapes for a compiled step: XLA and a GPU want every length known before the step begins.

Without them events are packed without a gap, so that every step has other lengths: on a CPU this is the fastest. With
them each stream has a fixed number of slots for its events, and slots that stay empty have no weight. The training step
chooses the number from a few sizes by what the batch holds; the layers ask here while they are traced.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FixedShapes:
    slots_per_stream: int  # Packed events of each stream, empty slots included.
    padded_length: int  # L, the padded length of the batch's histories or runs.


_chosen: ContextVar[FixedShapes | None] = ContextVar("fixed_shapes", default=None)


def fixed_shapes() -> FixedShapes | None:
    """The shapes of the step that is being traced; None where lengths may be data."""
    return _chosen.get()


@contextmanager
def use_fixed_shapes(shapes: FixedShapes | None) -> Iterator[None]:
    """Traces what is inside with these shapes."""
    token = _chosen.set(shapes)
    try:
        yield
    finally:
        _chosen.reset(token)


def num_slots(length: np.ndarray, num_parts: int) -> int:
    """The number of slots per stream for a batch whose events are packed, one place for padding included.

    It is the fewest that hold the fullest stream of any part, rounded up to three binary digits: at most a quarter is
    empty, and few numbers occur.

    Args:
        length: int32 [S, B], number of real events of each history.
        num_parts: parts into which the batch is split along B, as for accumulated gradients.
    """
    parts = np.split(np.asarray(length), num_parts, axis=1)
    fullest = max(int(part.sum(axis=1).max()) + part.shape[1] for part in parts)
    step = 1 << max(fullest.bit_length() - 3, 3)
    return -(-fullest // step) * step
