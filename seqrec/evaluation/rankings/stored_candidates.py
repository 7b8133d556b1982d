"""What each ranking makes of the candidates of some rows. Plain NumPy: a worker calls it for every block of rows."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from seqrec.core.metrics import target_counts
from seqrec.evaluation.rankings.baselines import Ranking
from seqrec.evaluation.rankings.model_ranking import ModelRanking
from seqrec.evaluation.rows import USER_KEY, EvaluationRows
from seqrec.evaluation.statistics.row_metrics import logit_metric_names, logit_metrics
from seqrec.evaluation.statistics.slices import Slicer

PREDICTIONS = (USER_KEY, "parts", "num_negatives", "num_above", "num_tied", "of_logits", "top_items", "scores")


@dataclass(frozen=True)
class Catalogue:
    """The items that a target competes with in the full protocol."""

    items: np.ndarray  # int32, all candidates, ascending.
    item_group: np.ndarray | None  # int32 [number of items + 1]: compete within a group; None with all items.

    @property
    def group_sizes(self) -> np.ndarray:
        """int64 [groups that have items], items of each; a single number where all items compete."""
        groups = np.zeros(len(self.items), np.int32) if self.item_group is None else self.item_group[self.items]
        return np.unique(groups, return_counts=True)[1]

    def competitors(self, group: int) -> np.ndarray:
        return self.items if self.item_group is None else self.items[self.item_group[self.items] == group]


@dataclass(frozen=True)
class Contest:
    """The rankings that are compared, and all that a worker needs for it; broadcast once."""

    names: tuple[str, ...]
    rankings: tuple[Ranking, ...]
    slicer: Slicer
    top_k: int  # Best items of each row that are kept, for coverage, popularity and novelty.
    catalogue: Catalogue | None = None  # Of the full protocol; None for the stored candidates.


@dataclass(frozen=True)
class Outcome:
    """How the targets of some rows fared, in one ranking or (with an axis K) in all."""

    num_negatives: np.ndarray  # int32 [B]
    num_above: np.ndarray  # int32 [B] or [B, K], negatives that score higher.
    num_tied: np.ndarray  # int32 [B] or [B, K], negatives that score the same.
    top: np.ndarray  # int32 [B, k] or [B, K, k], the best items; 0 where there are fewer.


def judge_stored(rows: EvaluationRows, contest: Contest) -> pa.RecordBatch:
    """Lets every ranking order the rows' stored candidates; a row of `PREDICTIONS` for each row."""
    candidates = rows.candidates
    scores = np.stack([ranking.scores(rows, candidates) for ranking in contest.rankings], axis=1).astype(np.float64)
    of_logits = np.full((len(rows), len(contest.rankings), len(logit_metric_names())), np.nan)
    for index, ranking in enumerate(contest.rankings):
        if isinstance(ranking, ModelRanking):
            of_logits[:, index] = logit_metrics(scores[:, index])
    counts = target_counts(scores)
    outcome = Outcome(
        np.full(len(rows), counts.num_negatives, np.int32),
        counts.num_above.astype(np.int32),
        counts.num_tied.astype(np.int32),
        top_items(scores, candidates, contest.top_k),
    )
    return predictions_batch(rows, contest, outcome, of_logits, scores.astype(np.float32))


def predictions_batch(
    rows: EvaluationRows, contest: Contest, outcome: Outcome, of_logits: np.ndarray, scores: np.ndarray
) -> pa.RecordBatch:
    """An Arrow batch with the columns of `PREDICTIONS`; lists hold the rankings one after the other.

    Args:
        of_logits: float64 [B, K, metrics], those of `logit_metrics`, NaN where a ranking has no logits.
        scores: float32 [B, K, N], all scores, for the pooled AUC; N is 0 in the full protocol.
    """
    columns = [
        pa.array(rows.user_key),
        list_column(contest.slicer.parts(rows)),
        pa.array(outcome.num_negatives),
        list_column(outcome.num_above),
        list_column(outcome.num_tied),
        list_column(of_logits.reshape(len(rows), -1)),
        list_column(outcome.top.reshape(len(rows), -1)),
        list_column(scores.reshape(len(rows), scores.shape[1] * scores.shape[2])),
    ]
    return pa.RecordBatch.from_arrays(columns, names=PREDICTIONS)


def top_items(scores: np.ndarray, candidates: np.ndarray, k: int) -> np.ndarray:
    """int32 [B, K, min(k, N)]: the best candidates of each ranking; tied ones as they stand, the target last."""
    backwards = scores[:, :, ::-1]  # The target stands first, so among ties it must come last.
    order = np.argsort(-backwards, axis=2, kind="stable")[:, :, :k]
    return np.take_along_axis(candidates[:, None, ::-1], order, axis=2).astype(np.int32)


def list_column(values: np.ndarray) -> pa.ListArray:
    """A list column of an array [B, width]."""
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(offsets, np.ascontiguousarray(values).reshape(-1))


def matrix(batch: pa.RecordBatch, name: str) -> np.ndarray:
    """[B, width] of a list column whose lists have one length."""
    column = batch.column(batch.schema.get_field_index(name))
    values = column.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(column), len(values) // max(1, len(column)))
