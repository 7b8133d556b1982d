"""Metrics of the validation split, its rows spread over the workers.

Every worker scores its own run of rows; all scores, or ranks, are then gathered in the rows' order, so the metrics are
exactly those of one worker, whatever their number. Worker 0 sends its own to all: on unlike machines the same sums may
differ in the last bit, and workers that disagree on when to stop would wait for each other.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from seqrec.core.batch import EvalBatch, History
from seqrec.core.metrics import CATALOGUE, cutoff_of, measure_catalogue_ranks, measure_scores
from seqrec.feed.evaluation import EvaluationFeed
from seqrec.models.contract import SequenceModel
from seqrec.scoring.catalogue_ranks import CatalogueRanker
from seqrec.training.workers.exchange import Workers


class Validation:
    """Scores the rows of a feed with a model.

    Args:
        feed: this worker's rows.
        metrics_at: the K of the metrics with a cutoff, such as ndcg@K and hit_rate@K.
        metric: the metric that decides, computed even if its K is not among `metrics_at`.
    """

    def __init__(
        self, model: SequenceModel, feed: EvaluationFeed, workers: Workers, metrics_at: Sequence[int], metric: str
    ):
        self._model = model
        self._feed = feed
        self._workers = workers
        own = cutoff_of(metric) if not metric.startswith(CATALOGUE) else None
        self._metrics_at = tuple(dict.fromkeys([*metrics_at, *([own] if own else [])]))
        self._score = tf.function(self._score_batch, autograph=False)  # For the reason given in `TrainStep`.

    def run(self) -> dict[str, float]:
        """Metrics by name over the rows of all workers."""
        scores = []
        for batch, num_rows in self._feed.batches():
            scores.append(self._score(batch).numpy()[0, :num_rows])
            self._workers.tick()
        # A worker without rows still has to say how wide the others' are: it sends none of one column.
        width = int(self._workers.largest(scores[0].shape[1] if scores else 0))
        own = np.concatenate(scores) if scores else np.zeros([0, width], np.float32)
        return self._workers.broadcast(measure_scores(self._workers.gather_rows(own), self._metrics_at))

    def _score_batch(self, batch: EvalBatch) -> tf.Tensor:
        state = self._model.encode(History(*batch.history))
        return self._model.score(state, batch.candidate_items)


class CatalogueValidation:
    """Ranks the targets of a feed among the whole catalogue, without the items of their users' histories.

    The protocol is that of an evaluation with `protocol: full`.

    Args:
        feed: this worker's rows; a batch of `ranker.batch_size` is ranked at once.
        metric: the metric that decides; all are computed at its K, or at 10 if it has none.
    """

    def __init__(self, ranker: CatalogueRanker, feed: EvaluationFeed, workers: Workers, metric: str):
        self._ranker = ranker
        self._feed = feed
        self._workers = workers
        self._cutoff = cutoff_of(metric) or 10

    def run(self) -> dict[str, float]:
        """Metrics by name over the rows of all workers."""
        ranks = [np.zeros(0, np.int32)]
        vectors = self._ranker.item_vectors()
        for batch, num_rows in self._feed.catalogue_batches():
            ranks.append(self._ranker.ranks(batch, vectors).numpy()[0, :num_rows])
            self._workers.tick()
        gathered = self._workers.gather_rows(np.concatenate(ranks))
        return self._workers.broadcast(measure_catalogue_ranks(gathered[gathered > 0], self._cutoff))
