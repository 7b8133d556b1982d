"""The sampled protocol: every ranker scores the stored candidates of some rows. A worker calls it block by block."""

import numpy as np
import pyarrow as pa

from seqrec.core.metrics import target_counts
from seqrec.evaluation.rankings.model_ranking import ModelRanker
from seqrec.evaluation.rankings.ranker import ComparedRankers
from seqrec.evaluation.rows import EvaluationRows
from seqrec.evaluation.statistics.prediction_batch import predictions_batch
from seqrec.evaluation.statistics.row_metrics import logit_metric_names, logit_metrics


def rank_stored_candidates(rows: EvaluationRows, compared: ComparedRankers) -> pa.RecordBatch:
    """Has every ranker score the rows' stored candidates; a row of `PREDICTIONS` for each row."""
    candidates = rows.candidates
    scores = np.stack([ranker.scores(rows, candidates) for ranker in compared.rankers], axis=1).astype(np.float64)
    of_logits = np.full((len(rows), len(compared.rankers), len(logit_metric_names())), np.nan)
    for index, ranker in enumerate(compared.rankers):
        if isinstance(ranker, ModelRanker):
            of_logits[:, index] = logit_metrics(scores[:, index])
    return predictions_batch(
        rows.user_key,
        compared.slicer.parts(rows),
        target_counts(scores),
        best_candidates(scores, candidates, compared.top_k),
        of_logits,
        scores.astype(np.float32),
    )


def best_candidates(scores: np.ndarray, candidates: np.ndarray, k: int) -> np.ndarray:
    """int32 [B, K, min(k, N)]: each ranker's best candidates; tied ones in their stored order, the target last.

    Args:
        scores: float [B, K, N], the target's first.
        candidates: int32 [B, N]
    """
    backwards = scores[:, :, ::-1]  # The target stands first, so among ties it must come last.
    order = np.argsort(-backwards, axis=2, kind="stable")[:, :, :k]
    return np.take_along_axis(candidates[:, None, ::-1], order, axis=2).astype(np.int32)
