"""Scores of a run for candidates of many histories: the half that uses TensorFlow, once per worker process."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seqrec.core.batch import History
from seqrec.core.errors import DataError
from seqrec.core.local_copies import local_copy
from seqrec.core.storage import Storage
from seqrec.events.rows import HistoryRows
from seqrec.events.vocabulary import Vocabulary, read_vocabulary
from seqrec.scoring.run import TrainedRun

if TYPE_CHECKING:
    from seqrec.models.contract import SequenceModel

_BLOCK = 1024  # Items of the catalogue scored at a time.


@dataclass(frozen=True)
class Scorer:
    """A run's functions, each traced once whatever the sizes of the batches."""

    where: str  # Of the weights, for errors.
    max_history_length: int
    num_items: int
    pairs_at_once: int
    logits: Any  # (History [1, B, L], candidates [1, B, N]) -> [1, B, N]
    top: Any  # (History [1, B, L], catalogue [N], k, excluded [1, B, E]) -> TopItems [1, B, k]

    def scores(self, histories: HistoryRows, candidates: np.ndarray) -> np.ndarray:
        """Logits float32 [B, M] of candidates int32 [B, M]; those of 0 mean nothing."""
        scores = np.empty(candidates.shape, np.float32)
        for rows in self._chunks(histories, candidates.shape[1]):
            windows = histories.take(rows).windows(self.max_history_length)
            scores[rows] = self.logits(windows, candidates[rows][None])[0].numpy()
        self._check(scores)
        return scores

    def best_of_catalogue(
        self, histories: HistoryRows, k: int, exclude_own_items: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Items int32 [B, k], 0 where there are fewer, and logits [B, k] of the whole catalogue's best."""
        items, scores = (np.zeros((len(histories), k), dtype) for dtype in (np.int32, np.float32))
        catalogue = np.arange(1, self.num_items + 1, dtype=np.int32)
        for rows in self._chunks(histories, _BLOCK):
            chosen = histories.take(rows)
            excluded = own_items(chosen) if exclude_own_items else np.zeros((len(rows), 1), np.int32)
            best = self.top(chosen.windows(self.max_history_length), catalogue, k, excluded[None])
            items[rows], scores[rows] = best.items[0].numpy(), best.scores[0].numpy()
        self._check(scores)
        return items, scores

    def _chunks(self, histories: HistoryRows, num_candidates: int) -> list[np.ndarray]:
        """Rows of like length together, so many that events times candidates stay within `pairs_at_once`."""
        lengths = np.clip(histories.items.lengths, 1, self.max_history_length)
        order = np.argsort(lengths, kind="stable")
        events_at_once = self.pairs_at_once // num_candidates
        chunks, start = [], 0
        while start < len(order):
            stop = start + 1
            while stop < len(order) and (stop + 1 - start) * lengths[order[stop]] <= events_at_once:
                stop += 1
            chunks.append(order[start:stop])
            start = stop
        return chunks

    def _check(self, scores: np.ndarray) -> None:
        if not np.isfinite(scores).all():
            raise DataError(f"{self.where}: the model's logits are not all finite numbers: train it again.")


def own_items(histories: HistoryRows) -> np.ndarray:
    """int32 [B, E]: each history's items, padded with 0."""
    lengths = histories.items.lengths
    padded = np.zeros((len(histories), max(1, int(lengths.max(initial=0)))), np.int32)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = histories.items.values
    return padded


def load_model(storage: Storage, run: TrainedRun, vocabulary: Vocabulary) -> "SequenceModel":
    """The run's model with its best weights."""
    from seqrec.models.registry import build_model
    from seqrec.models.weights import load_weights

    model = build_model(run.config, vocabulary, seed=None)
    load_weights(model, local_copy(storage, run.weights))
    return model


_VOCABULARIES: dict[str, Vocabulary] = {}  # The last run's, of this process.


def vocabulary_of(storage: Storage, run: TrainedRun) -> Vocabulary:
    """A run's own vocabulary, read once per process."""
    key = storage.uri(run.path)
    if key not in _VOCABULARIES:
        _VOCABULARIES.clear()
        _VOCABULARIES[key] = read_vocabulary(storage, run.manifest)
    return _VOCABULARIES[key]


_LOADED: dict[tuple[str, str, int], Scorer] = {}  # The scorer of this process: a worker serves many tasks.


def load_scorer(storage: Storage, run: TrainedRun, pairs_at_once: int, num_threads: int) -> Scorer:
    """The scorer of a run, read on first use in this process."""
    key = (storage.root, run.weights, pairs_at_once)
    if key not in _LOADED:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # Of a worker: its notes would drown the job's own lines.
        _limit_threads(num_threads)
        _LOADED.clear()
        vocabulary = vocabulary_of(storage, run)
        model = load_model(storage, run, vocabulary)
        _LOADED[key] = compile_scorer(model, vocabulary.num_items, pairs_at_once, storage.uri(run.weights))
    return _LOADED[key]


def compile_scorer(model: "SequenceModel", num_items: int, pairs_at_once: int, where: str) -> Scorer:
    """The model's functions as graphs. Without AutoGraph: models have no Python control flow to convert."""
    import tensorflow as tf

    from seqrec.scoring.top_items import top_items

    length = model.config.max_history_length
    history = History(
        tf.TensorSpec([1, None, length], tf.int32),
        tf.TensorSpec([1, None], tf.int32),
        tf.TensorSpec([1, None, length], tf.float32),
        tf.TensorSpec([1, None, length], tf.float32),
    )

    def logits(histories: History, candidates: tf.Tensor) -> tf.Tensor:
        return model.score(model.encode(histories, None), candidates, None)

    def top(histories: History, catalogue: tf.Tensor, k: int, excluded: tf.Tensor) -> tf.Tensor:
        return top_items(model, model.encode(histories, None), catalogue, k, _BLOCK, excluded)

    return Scorer(
        where,
        length,
        num_items,
        pairs_at_once,
        tf.function(logits, autograph=False, input_signature=[history, tf.TensorSpec([1, None, None], tf.int32)]),
        tf.function(top, autograph=False, reduce_retracing=True),
    )


def _limit_threads(num_threads: int) -> None:
    """Spark runs one worker per core; without this each would start as many threads as there are cores."""
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(num_threads)
        tf.config.threading.set_inter_op_parallelism_threads(num_threads)
    except RuntimeError:
        return  # TensorFlow is running already in this process, with the threads it was started with.
