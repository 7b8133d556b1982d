"""Results of stages as pandas frames."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from seqrec.core import columns as C
from seqrec.core.errors import DataError
from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.evaluation.report.report import read_history
from seqrec.evaluation.results import Evaluation, varies

_LIST_COLUMNS = [C.USER, C.RANK, C.ITEM, C.SCORE, C.SOURCE, C.TITLE]


def line_counts(ingested: Manifest) -> pd.DataFrame:
    """One row per raw file of `ingested`."""
    rows: list[dict[str, Any]] = []
    for each in ingested.details["files"]:
        counted = {name: each[name] for name in ("lines", "written", "converted", "repeated", "blank")}
        rejects = {f"rejected: {reason}": count for reason, count in each["rejects"].items()}
        name = each["source"].rpartition("/")[2]
        rows.append({"file": name, **counted, "rejected": sum(each["rejects"].values()), **rejects})
    frame = pd.DataFrame(rows)
    reasons = [name for name in frame.columns if name.startswith("rejected: ")]
    frame[reasons] = frame[reasons].fillna(0).astype("int64")
    return frame


def preparation_counts(prepared: Manifest) -> pd.DataFrame:
    """One row per step of the preparation."""
    counts = {name: value for name, value in prepared.counts.items() if name != "split"}
    counts |= {f"split: {name}": value for name, value in prepared.counts["split"].items()}
    pairs = [(name.replace("_", " "), value) for name, value in counts.items() if isinstance(value, int)]
    return pd.DataFrame(pairs, columns=["step", "count"])


def epochs(storage: Storage, run: str) -> pd.DataFrame:
    """One row per epoch of a run."""
    frame = pd.DataFrame(read_history(storage, run))
    return frame.astype({"epoch": "int64"}).set_index("epoch") if len(frame) else frame


def metrics(evaluation: Evaluation) -> pd.DataFrame:
    """One row per ranking and metric of an evaluation, without metrics that cannot vary."""
    rows = []
    for result in evaluation.results:
        for name, value in result.metrics.items():
            if varies(name, evaluation):
                low, high = result.intervals.get(name, (math.nan, math.nan))
                rows.append((result.name, result.kind, name, value, low, high))
    return pd.DataFrame(rows, columns=["ranking", "kind", "metric", "value", "low", "high"])


def lists(storage: Storage, recommended: Manifest) -> pd.DataFrame:
    """The lists of `recommend`, by user and rank."""
    frame = table(storage, recommended, "lists", _LIST_COLUMNS)
    return frame.sort_values([C.USER, C.RANK], kind="stable", ignore_index=True)


def table(
    storage: Storage, manifest: Manifest, name: str, columns: Sequence[str] | None = None, num_rows: int | None = None
) -> pd.DataFrame:
    """The first rows of a stored table; all of them if `num_rows` is None.

    Raises:
        DataError: the table has no such column.
    """
    parts: list[pa.Table] = []
    left = math.inf if num_rows is None else num_rows
    for file in manifest.table(name).files:
        if left <= 0:
            break
        with storage.open_input(file.path) as stream:
            stored = pq.ParquetFile(stream)
            unknown = set(columns or ()) - set(stored.schema_arrow.names)
            if unknown:
                known = ", ".join(stored.schema_arrow.names)
                raise DataError(f"'{name}' has no column '{min(unknown)}': use some of {known}.")
            for batch in stored.iter_batches(columns=None if columns is None else list(columns)):
                parts.append(pa.Table.from_batches([batch]).slice(0, int(min(left, len(batch)))))
                left -= len(batch)
                if left <= 0:
                    break
    return pa.concat_tables(parts).to_pandas() if parts else pd.DataFrame(columns=list(columns or ()))
