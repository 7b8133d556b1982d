"""Models of finished runs in memory, each read once per process: a worker serves many tasks."""

import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from seqrec.core.batch import History
from seqrec.core.errors import DataError
from seqrec.core.local_copies import local_copy
from seqrec.core.storage import Storage
from seqrec.events.vocabulary import Vocabulary
from seqrec.models.config import ModelConfig
from seqrec.models.registry import family_of
from seqrec.scoring.tensorflow_process import limit_threads, load_tensorflow

if TYPE_CHECKING:
    from seqrec.models.contract import SequenceModel

CATALOGUE_BLOCK = 1024  # Items that a ranking model scores at a time for the best of a whole catalogue.
_PRODUCT_BLOCK = 8192  # Most items that a retrieval model scores at a time.
_ALIGNMENT = 64
_LOADED: dict[str, "LoadedModel"] = {}
_MAX_LOADED_BYTES = 2**28  # More models stay up to this size, as when tuning compares several seeds on a block of rows.
_GRAPH_BYTES = 2**24  # Approximate memory of a model's traced functions.


class LoadedModel(NamedTuple):
    """A model's functions, each traced only a few times whatever the sizes of the batches."""

    logits: Any  # (History [1, B, L], candidates [1, B, N]) -> float32 [1, B, N]
    encode: Any  # History [1, B, L] -> state
    score: Any  # (state, shared candidates [N]) -> float32 [1, B, N]
    top: Any  # (History [1, B, L], catalogue [N], k, excluded [1, B, E]) -> TopItems [1, B, k]


@dataclass(frozen=True)
class StoredModel:
    """Where a model's weights lie, and what they are weights of. Travels to workers without them."""

    root: str  # Root of the storage that holds the run.
    weights: str  # Path of the weights in it.
    config: ModelConfig
    vocabulary: Vocabulary
    num_threads: int

    def load(self, num_kept: int = 2) -> LoadedModel:
        """The model's functions in this process, its weights read on first use.

        Args:
            num_kept: models that stay however large they are, this one among them: a run and the one that it is
                compared with. More stay only while all of them are small.
        """
        key = f"{self.root}/{self.weights}/{self.num_threads}"
        if key not in _LOADED:
            while len(_LOADED) >= num_kept and (len(_LOADED) + 1) * self._num_bytes > _MAX_LOADED_BYTES:
                _LOADED.pop(next(iter(_LOADED)))
            _LOADED[key] = _load(self)
            # Spark's worker collects garbage after every task, and would go through all TensorFlow objects each time.
            gc.freeze()
        return _LOADED[key]

    def check_finite(self, logits: np.ndarray) -> np.ndarray:
        """
        Raises:
            DataError: some logits are not finite numbers.
        """
        if not np.isfinite(logits).all():
            raise DataError(f"{self.weights}: the model's logits are not all finite numbers: train it again.")
        return logits

    @property
    def is_retrieval(self) -> bool:
        """Whether scores are products of states and item vectors."""
        return family_of(self.config.name) == "retrieval"

    @property
    def catalogue_block(self) -> int:
        """Items scored at a time for the best of a whole catalogue.

        A retrieval model's blocks are filled evenly, and are multiples of what a product of matrices computes at once:
        in the rest of a matrix the last bit of a sum may differ, and items with equal vectors would not tie.
        """
        if not self.is_retrieval:
            return CATALOGUE_BLOCK
        num_items = self.config.num_comparable(self.vocabulary)
        num_blocks = -(-num_items // _PRODUCT_BLOCK)
        return -(-num_items // (num_blocks * _ALIGNMENT)) * _ALIGNMENT

    @property
    def _num_bytes(self) -> int:
        """Memory of the model, about; models that are compared share a vocabulary, so they are of similar size."""
        return 4 * self.vocabulary.num_trained_items * self.config.item_dim + _GRAPH_BYTES


def read_model(stored: StoredModel) -> "SequenceModel":
    """The model with its best weights; no weights are drawn first."""
    from seqrec.models.registry import build_model
    from seqrec.models.weights import load_weights

    model = build_model(stored.config, stored.vocabulary, seed=None)
    load_weights(model, local_copy(Storage(stored.root), stored.weights))
    return model


def compile_model(model: "SequenceModel", max_history_length: int, block_size: int = CATALOGUE_BLOCK) -> LoadedModel:
    """The model's functions as graphs. Without AutoGraph: models have no Python control flow to convert.

    Args:
        block_size: items scored at a time by `top`.
    """
    import tensorflow as tf

    from seqrec.scoring.top_items import top_items

    history = History(
        tf.TensorSpec([1, None, max_history_length], tf.int32),
        tf.TensorSpec([1, None], tf.int32),
        tf.TensorSpec([1, None, max_history_length], tf.float32),
        tf.TensorSpec([1, None, max_history_length], tf.float32),
    )

    def logits(histories: History, candidates: tf.Tensor) -> tf.Tensor:
        return model.score(model.encode(histories, None), candidates, None)

    def top(histories: History, catalogue: tf.Tensor, k: int, excluded: tf.Tensor) -> tf.Tensor:
        return top_items(model, model.encode(histories, None), catalogue, k, block_size, excluded)

    return LoadedModel(
        tf.function(logits, autograph=False, input_signature=[history, tf.TensorSpec([1, None, None], tf.int32)]),
        tf.function(model.encode, autograph=False, input_signature=[history]),
        tf.function(model.score, autograph=False, reduce_retracing=True),
        tf.function(top, autograph=False, reduce_retracing=True),
    )


def _load(stored: StoredModel) -> LoadedModel:
    load_tensorflow()
    limit_threads(stored.num_threads, stored.num_threads)
    return compile_model(read_model(stored), stored.config.max_history_length, stored.catalogue_block)
