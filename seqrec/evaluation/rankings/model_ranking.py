"""A trained run as a ranker, by its logits."""

from dataclasses import dataclass

import numpy as np

from seqrec.core.storage import Storage
from seqrec.evaluation.config import EvaluationConfig
from seqrec.evaluation.rankings.ranker import Block, SharedScores
from seqrec.evaluation.rows import EvaluationRows
from seqrec.events.vocabulary import read_vocabulary
from seqrec.scoring.loaded_model import StoredModel
from seqrec.scoring.run import TrainedRun
from seqrec.scoring.scorer import stored_model


@dataclass(frozen=True)
class ModelRanker:
    """Orders candidates by the logits of a run. Travels to the workers, which read its weights once per process."""

    stored: StoredModel
    batch_size: int  # Rows scored at a time.

    def scores(self, rows: EvaluationRows, candidates: np.ndarray) -> np.ndarray:
        """Logits float32 [B, N] of candidates int32 [B, N].

        Rows are scored in order of history length, so that a batch holds histories of like length.
        """
        model = self.stored.load()
        order = np.argsort(rows.lengths, kind="stable")
        logits = np.empty((len(rows), candidates.shape[-1]), np.float32)
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            histories = rows.take(chosen).windows(self.stored.config.max_history_length)
            logits[chosen] = model.logits(histories, candidates[chosen][None])[0].numpy()
        return self.stored.check_finite(logits)

    @property
    def block(self) -> Block:
        """A ranking model's network takes memory for each pair of row and item, a product only that of its score."""
        return Block(rows=512, items=4096) if self.stored.is_retrieval else Block()

    def encode(self, rows: EvaluationRows) -> SharedScores:
        """Reads the histories once; the returned function scores shared candidates int32 [N], float32 [B, N]."""
        model = self.stored.load()
        state = model.encode(rows.windows(self.stored.config.max_history_length))

        def score(candidates: np.ndarray) -> np.ndarray:
            return self.stored.check_finite(model.score(state, candidates)[0].numpy())

        return score


def ranker_of_run(storage: Storage, run: TrainedRun, config: EvaluationConfig) -> ModelRanker:
    """The ranker by a run's logits, with the run's own vocabulary."""
    vocabulary = read_vocabulary(storage, run.manifest)
    return ModelRanker(stored_model(storage, run, vocabulary, config.tensorflow_threads), config.batch_size)
