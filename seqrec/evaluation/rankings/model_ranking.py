"""A trained run as a ranking: the scoring half that uses TensorFlow, once per Python worker process."""

import gc
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from seqrec.core.batch import History
from seqrec.core.errors import DataError
from seqrec.core.storage import Storage, scratch_folder
from seqrec.evaluation.rows import EvaluationRows
from seqrec.events.vocabulary import Vocabulary
from seqrec.models.config import ModelConfig

if TYPE_CHECKING:
    from seqrec.models.contract import SequenceModel

_LOADED: dict[str, "LoadedModel"] = {}  # Weights -> the loaded model. A worker process serves many tasks.
_ALWAYS_LOADED = 2  # This run and the one it is compared with, however large.
_MAX_LOADED_BYTES = 2**28  # Of more models, as when tuning compares several seeds: each block of rows goes to all.
_GRAPH_BYTES = 2**24  # Of a model's traced functions, about.


@dataclass(frozen=True)
class ModelRanking:
    """By the logits of a run. Travels to the workers without its weights: each process reads them once."""

    root: str  # Of the storage that holds the run.
    weights: str  # Path of weights.npz in it.
    config: ModelConfig
    vocabulary: Vocabulary
    batch_size: int
    num_threads: int

    def scores(self, rows: EvaluationRows, candidates: np.ndarray) -> np.ndarray:
        """Logits float32 [B, N] of candidates int32 [B, N].

        Rows are scored in order of history length, so that a batch holds histories of like length.
        """
        model = _loaded(self)
        order = np.argsort(rows.lengths, kind="stable")
        logits = np.empty((len(rows), candidates.shape[-1]), np.float32)
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            histories = rows.take(chosen).windows(self.config.max_history_length)
            logits[chosen] = model.logits(histories, candidates[chosen][None])[0].numpy()
        return self._checked(logits)

    def encode(self, rows: EvaluationRows) -> Callable[[np.ndarray], np.ndarray]:
        """Reads the histories once; the function it gives scores shared candidates int32 [N], float32 [B, N]."""
        model = _loaded(self)
        state = model.encode(rows.windows(self.config.max_history_length))

        def score(candidates: np.ndarray) -> np.ndarray:
            return self._checked(model.score(state, candidates)[0].numpy())

        return score

    def _checked(self, logits: np.ndarray) -> np.ndarray:
        if not np.isfinite(logits).all():
            raise DataError(f"{self.weights}: the model's logits are not all finite numbers: train it again.")
        return logits


class LoadedModel(NamedTuple):
    """A model's functions, each traced only a few times whatever the sizes of the batches."""

    logits: Any  # (History [1, B, L], candidates [1, B, N]) -> [1, B, N]
    encode: Any  # History [1, B, L] -> state
    score: Any  # (state, shared candidates [N]) -> [1, B, N]


def _loaded(ranking: ModelRanking) -> LoadedModel:
    """The model of this process, read on first use."""
    key = f"{ranking.root}/{ranking.weights}/{ranking.num_threads}"
    if key not in _LOADED:
        while len(_LOADED) >= _ALWAYS_LOADED and (len(_LOADED) + 1) * _bytes_of(ranking) > _MAX_LOADED_BYTES:
            _LOADED.pop(next(iter(_LOADED)))
        _LOADED[key] = _load(ranking)
        # Spark's worker collects garbage after every task, and would go through all objects of TensorFlow each time.
        gc.freeze()
    return _LOADED[key]


def _bytes_of(ranking: ModelRanking) -> int:
    """Memory of a model, about; those of one contest have one vocabulary, so they are of like size."""
    return 4 * ranking.vocabulary.num_trained_items * ranking.config.item_dim + _GRAPH_BYTES


def _load(ranking: ModelRanking) -> LoadedModel:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # Of a worker: its notes would drown the job's own lines.
    import tensorflow as tf

    from seqrec.models.registry import build_model
    from seqrec.models.weights import load_weights

    _limit_threads(tf, ranking.num_threads)
    model = build_model(ranking.config, ranking.vocabulary, seed=0)
    with scratch_folder() as scratch:
        storage = Storage(ranking.root)
        path = storage.local(ranking.weights)
        if path is None:
            path = scratch / "weights.npz"
            storage.download(ranking.weights, path)
        load_weights(model, path)
    return compile_model(model, ranking.config.max_history_length)


def compile_model(model: "SequenceModel", max_history_length: int) -> LoadedModel:
    """The model's functions as graphs. Without AutoGraph: models have no Python control flow to convert."""
    import tensorflow as tf

    history = History(
        tf.TensorSpec([1, None, max_history_length], tf.int32),
        tf.TensorSpec([1, None], tf.int32),
        tf.TensorSpec([1, None, max_history_length], tf.float32),
        tf.TensorSpec([1, None, max_history_length], tf.float32),
    )

    def logits(histories: History, candidates: tf.Tensor) -> tf.Tensor:
        return model.score(model.encode(histories, None), candidates, None)

    return LoadedModel(
        tf.function(logits, autograph=False, input_signature=[history, tf.TensorSpec([1, None, None], tf.int32)]),
        tf.function(model.encode, autograph=False, input_signature=[history]),
        tf.function(model.score, autograph=False, reduce_retracing=True),
    )


def _limit_threads(tf: Any, num_threads: int) -> None:
    """Spark runs one worker per core; without this each would start as many threads as there are cores."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(num_threads)
        tf.config.threading.set_inter_op_parallelism_threads(num_threads)
    except RuntimeError:
        return  # TensorFlow is running already in this process, with the threads it was started with.
