"""A trained run as a ranking: the scoring half that uses TensorFlow, once per Python worker process."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqrec.core.batch import History
from seqrec.core.errors import DataError
from seqrec.core.storage import Storage
from seqrec.evaluation.rows import Rows
from seqrec.feed.windows import build_events, cut_histories
from seqrec.models.config import ModelConfig
from seqrec.models.vocabulary import ModelVocabulary

if TYPE_CHECKING:
    from seqrec.models.contract import SequenceModel

_LOADED: dict[str, Any] = {}  # Weights -> the loaded model. A worker process serves many tasks.
_MAX_LOADED = 2  # This run and the one it is compared with.


@dataclass(frozen=True)
class ModelRanking:
    """By the logits of a run. Travels to the workers without its weights: each process reads them once."""

    root: str  # Of the storage that holds the run.
    weights: str  # Path of weights.npz in it.
    config: ModelConfig
    vocabulary: ModelVocabulary
    batch_size: int
    num_threads: int

    def scores(self, rows: Rows, candidates: np.ndarray) -> np.ndarray:
        """Logits float32 [B, N] of candidates int32 [B, N], or of one list [N] shared by all rows.

        Rows are scored in order of history length, so that a batch holds histories of like length.
        """
        scorer = _scorer(self)
        order = np.argsort(rows.history_length, kind="stable")
        parts = []
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            own = candidates if candidates.ndim == 1 else candidates[chosen]
            parts.append(scorer(windows(rows.take(chosen), self.config.max_history_length), own))
        logits = np.empty((len(rows), candidates.shape[-1]), np.float32)
        logits[order] = np.concatenate(parts)
        if not np.isfinite(logits).all():
            raise DataError(f"{self.weights}: the model's logits are not all finite numbers: train it again.")
        return logits


def windows(rows: Rows, max_history_length: int) -> History:
    """The last events before each row's target, as a History of one stream, arrays [1, B, L]."""
    lengths = rows.history_length
    events = build_events(
        rows.history_items,
        rows.history_timestamps,
        lengths,
        rows.first_timestamp,
        num_context=lengths,  # None of these events is a target.
        max_history_length=max_history_length,
    )
    seconds = rows.target_timestamp - rows.first_timestamp
    history = cut_histories(events, rows.offsets[1:], lengths, seconds, max_history_length)
    return History(*(array[None] for array in history))


def _scorer(ranking: ModelRanking) -> Any:
    """The function (history, candidates) -> logits of this process, made on first use."""
    key = f"{ranking.root}/{ranking.weights}/{ranking.num_threads}"
    if key not in _LOADED:
        while len(_LOADED) >= _MAX_LOADED:
            _LOADED.pop(next(iter(_LOADED)))
        _LOADED[key] = _build_scorer(ranking)
    return _LOADED[key]


def _build_scorer(ranking: ModelRanking) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # Of a worker: its notes would drown the job's own lines.
    import tensorflow as tf

    from seqrec.models.registry import build_model
    from seqrec.models.weights import load_weights

    _limit_threads(tf, ranking.num_threads)
    model = build_model(ranking.config, ranking.vocabulary, seed=0)
    with tempfile.TemporaryDirectory() as scratch:
        storage = Storage(ranking.root)
        path = storage.local(ranking.weights)
        if path is None:
            path = Path(scratch) / "weights.npz"
            storage.download(ranking.weights, path)
        load_weights(model, path)
    return compile_scorer(model, ranking.config.max_history_length)


def compile_scorer(model: "SequenceModel", max_history_length: int) -> Any:
    """A function of NumPy arrays, (history, candidates) -> logits [B, N], that traces its graph only once per kind."""
    import tensorflow as tf

    length = max_history_length
    history_spec = History(
        tf.TensorSpec([1, None, length], tf.int32),
        tf.TensorSpec([1, None], tf.int32),
        tf.TensorSpec([1, None, length], tf.float32),
        tf.TensorSpec([1, None, length], tf.float32),
    )

    def logits(history: History, candidates: tf.Tensor) -> tf.Tensor:
        return model.score(model.encode(history, None), candidates, None)

    # Without AutoGraph: the models have no Python control flow to convert.
    own = tf.function(logits, autograph=False, input_signature=[history_spec, tf.TensorSpec([1, None, None], tf.int32)])
    shared = tf.function(logits, autograph=False, input_signature=[history_spec, tf.TensorSpec([None], tf.int32)])

    def score(history: History, candidates: np.ndarray) -> np.ndarray:
        if candidates.ndim == 1:
            return shared(history, candidates)[0].numpy()
        return own(history, candidates[None])[0].numpy()

    return score


def _limit_threads(tf: Any, num_threads: int) -> None:
    """Spark runs one worker per core; without this each would start as many threads as there are cores."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(num_threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        return  # TensorFlow is running already in this process, with the threads it was started with.
