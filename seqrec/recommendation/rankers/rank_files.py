"""One file of histories and candidates in a Spark worker: rows to fit on, or the ranks of targets."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from seqrec.core.keyed_random import in_unit, keyed
from seqrec.core.storage import Storage
from seqrec.events.rows import UserHistories
from seqrec.events.vocabulary import read_vocabulary
from seqrec.neighbours.finder import Candidates
from seqrec.recommendation.candidates.stored import read_with_candidates
from seqrec.recommendation.rankers.ranker import (
    CandidateFeatures,
    RankerInputs,
    StoredRanker,
    open_features,
    ranker_of,
)
from seqrec.tables.row_files import FileTask, RowFile

USER_KEY, TIME, GROUP, IS_TARGET, HELD_OUT = "user_key", "time", "group", "is_target", "held_out"
NOT_FOUND = 1 << 30  # Rank of a target that is not among the first candidates.
_HELD_OUT, _CHOSEN = 1, 2  # Salts of the two draws.


@dataclass(frozen=True)
class RankJob:
    """What travels to the workers."""

    root: str
    inputs: RankerInputs
    batch_size: int
    seed: int
    held_out_share: float
    chosen_share: float  # Share of the users that are fitted on, held out ones among them.
    ranker: StoredRanker | None = None  # The ranker to measure; None to make rows to fit on.
    only_held_out: bool = False  # Measure with the users held out alone.


def fit_schema(names: tuple[str, ...]) -> pa.Schema:
    fields = [(USER_KEY, pa.int64()), (TIME, pa.int64()), (GROUP, pa.int32())]
    fields += [(IS_TARGET, pa.bool_()), (HELD_OUT, pa.bool_())]
    return pa.schema([*fields, *((name, pa.float32()) for name in names)])


def ranks_schema(num_rankers: int) -> pa.Schema:
    return pa.schema([(USER_KEY, pa.int64()), *((f"rank_{n}", pa.int32()) for n in range(num_rankers))])


def write_fit_rows(job: RankJob, task: FileTask, file: RowFile) -> dict[str, Any]:
    """A row for each pair of users whose target is among the first candidates."""
    opened = _open_features(job)
    counts = {"users": 0, "targets": 0}
    for histories, candidates in _read(job, task):
        keys = user_keys(histories.users)
        chosen = _draw(keys, job.seed, _CHOSEN) < job.chosen_share
        first = opened.first(candidates)
        assert histories.target_items is not None
        found = (first.items == histories.target_items[:, None]) & (first.items > 0)
        rows = np.flatnonzero(chosen & found.any(axis=1))
        counts["users"] += int(chosen.sum())
        if len(rows):
            taken = Candidates(first.items[rows], first.sources[rows])
            file.write(_fit_columns(job, opened, histories.take(rows), taken, keys[rows], counts["targets"]))
        counts["targets"] += len(rows)
    return counts


def write_ranks(job: RankJob, task: FileTask, file: RowFile) -> dict[str, Any]:
    """A row for each user: the target's rank by place, by each run's logits, and by the ranker."""
    assert job.ranker is not None
    ranker, _ = ranker_of(Storage(job.root), job.ranker, job.inputs)
    counts = {"users": 0}
    for histories, candidates in _read(job, task):
        keys = user_keys(histories.users)
        if job.only_held_out:
            rows = np.flatnonzero(is_held_out(job, keys))
            if not len(rows):
                continue
            histories, keys = histories.take(rows), keys[rows]
            candidates = Candidates(candidates.items[rows], candidates.sources[rows])
        first = ranker.inputs.first(candidates)
        logits = ranker.inputs.logits(histories, first)
        places = -np.broadcast_to(np.arange(first.items.shape[1]), first.items.shape)
        scores = [places, *logits, ranker.first_scores(histories, first, logits)]
        assert histories.target_items is not None
        ranks = [target_ranks(first.items, each, histories.target_items) for each in scores]
        file.write({USER_KEY: keys.view(np.int64), **{f"rank_{n}": each for n, each in enumerate(ranks)}})
        counts["users"] += len(keys)
    return counts


def target_ranks(items: np.ndarray, scores: np.ndarray, target: np.ndarray) -> np.ndarray:
    """int32 [B]: rank of each target among the candidates, ties against it; NOT_FOUND where it is none of them.

    Args:
        items: int32 [B, M], 0 where there is no candidate; `scores` [B, M].
        target: int32 [B]
    """
    is_target = (items == target[:, None]) & (items > 0)
    of_target = np.where(is_target, scores, -np.inf).max(axis=1, keepdims=True)
    ranks = ((scores >= of_target) & (items > 0)).sum(axis=1)
    return np.where(is_target.any(axis=1), ranks, NOT_FOUND).astype(np.int32)


def user_keys(users: pa.Array) -> np.ndarray:
    """uint64 [B], a hash of each id: draws and the order of rows depend on it, and not on files."""
    return pd.util.hash_array(users.to_numpy(zero_copy_only=False), categorize=False)


def is_held_out(job: RankJob, keys: np.ndarray) -> np.ndarray:
    """bool [B]"""
    return _draw(keys, job.seed, _HELD_OUT) < job.held_out_share


def _draw(keys: np.ndarray, seed: int, salt: int) -> np.ndarray:
    """float64 [B], uniform in [0, 1)."""
    return in_unit(keyed(keys, seed, salt))


def _fit_columns(
    job: RankJob, opened: CandidateFeatures, histories: UserHistories, first: Candidates, keys: np.ndarray, done: int
) -> dict[str, Any]:
    rows = opened.build(histories, first, opened.logits(histories, first))
    assert histories.target_items is not None
    is_target = first.items[rows.row, rows.column] == histories.target_items[rows.row]
    columns = {
        USER_KEY: keys.view(np.int64)[rows.row],
        TIME: histories.as_of[rows.row],
        GROUP: (done + rows.row).astype(np.int32),
        IS_TARGET: is_target,
        HELD_OUT: is_held_out(job, keys)[rows.row],
    }
    return columns | {name: rows.values[:, number] for number, name in enumerate(opened.features.names)}


def _read(job: RankJob, task: FileTask) -> Any:
    histories, candidates = task.inputs
    return read_with_candidates(Storage(job.root), (histories, candidates), job.batch_size, None, with_targets=True)


_OPEN: dict[str, CandidateFeatures] = {}  # What this process has opened last, by its path.


def _open_features(job: RankJob) -> CandidateFeatures:
    candidates, storage = job.inputs.candidates, Storage(job.root)
    key = f"{storage.uri(candidates.name)} {candidates.id} {candidates.created} {job.inputs.without}"
    if key not in _OPEN:
        _OPEN.clear()
        _OPEN[key] = open_features(storage, job.inputs, read_vocabulary(storage, job.inputs.prepared))
    return _OPEN[key]
