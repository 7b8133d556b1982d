"""Every library that reads gives the same batches, byte for byte: of any epoch, worker and step."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.feed.evaluation import EvaluationFeed, RowSample
from seqrec.feed.layout import Layout
from seqrec.feed.runs import RunFeed
from seqrec.feed.windows import WindowFeed

pytest.importorskip("petastorm", reason="Petastorm does not run on this stack", exc_type=ImportError)
LAYOUT = Layout(seed=1, num_streams=4, global_batch_size=16, files_per_group=1)
L = 12


def arrays_in(batch: Any) -> Iterator[np.ndarray]:
    """The arrays of a batch, whatever it nests them in."""
    if isinstance(batch, np.ndarray):
        yield batch
    elif isinstance(batch, tuple):
        for part in batch:
            yield from arrays_in(part)


def contents(batches: Iterator[Any]) -> list[list[tuple[str, tuple[int, ...], bytes]]]:
    return [[(array.dtype.str, array.shape, array.tobytes()) for array in arrays_in(batch)] for batch in batches]


@pytest.mark.parametrize("kind", [WindowFeed, RunFeed])
@pytest.mark.parametrize(
    ("epoch", "first_step", "worker_rank", "changes"),
    [
        (0, 0, 0, {}),
        (3, 0, 0, {"files_per_group": 2, "seed": 5}),
        (1, 7, 1, {"num_workers": 2}),
        (2, 2, 3, {"num_workers": 4, "global_batch_size": 8}),
    ],
)
def test_training_batches(
    prepared: tuple[Storage, Manifest],
    kind: Any,
    epoch: int,
    first_step: int,
    worker_rank: int,
    changes: dict[str, Any],
) -> None:
    storage, manifest = prepared
    files, layout = manifest.table("sequences/train").files, replace(LAYOUT, **changes)

    by_reader = [
        contents(
            kind(storage, files, layout, worker_rank=worker_rank, max_history_length=L, reader=reader).batches(
                epoch, first_step
            )
        )
        for reader in ("petastorm", "pyarrow")
    ]

    assert len(by_reader[0]) > 1
    assert by_reader[0][0] != by_reader[0][1]
    assert by_reader[0] == by_reader[1]


@pytest.mark.parametrize(
    "changes", [{}, {"worker_rank": 1, "num_workers": 2, "max_rows": 150}, {"sample": RowSample(60, 3)}]
)
@pytest.mark.parametrize("batches_of", [EvaluationFeed.batches, EvaluationFeed.catalogue_batches])
def test_evaluation_batches(prepared: tuple[Storage, Manifest], batches_of: Any, changes: dict[str, Any]) -> None:
    storage, manifest = prepared
    files = manifest.table("sequences/validation").files
    values: dict[str, Any] = {"batch_size": 16, "max_history_length": 6, **changes}

    by_reader = [
        contents(batches_of(EvaluationFeed(storage=storage, files=files, reader=reader, **values)))
        for reader in ("petastorm", "pyarrow")
    ]

    assert len(by_reader[0]) > 1
    assert by_reader[0] == by_reader[1]
