"""Scores of a run for the candidates of many histories, and the best of its whole catalogue."""

from dataclasses import dataclass

import numpy as np

from seqrec.core.storage import Storage
from seqrec.events.rows import HistoryRows
from seqrec.events.vocabulary import Vocabulary, read_vocabulary
from seqrec.scoring.loaded_model import CATALOGUE_BLOCK, StoredModel
from seqrec.scoring.run import TrainedRun

_VOCABULARIES: dict[str, Vocabulary] = {}  # The vocabulary of the run that this process read last.


@dataclass(frozen=True)
class RunScorer:
    """Scores histories in chunks of bounded memory."""

    stored: StoredModel
    pairs_at_once: int  # Events times candidates of a chunk.
    num_kept: int = 1  # Large models that stay in memory, this one among them.

    def scores(self, histories: HistoryRows, candidates: np.ndarray) -> np.ndarray:
        """Logits float32 [B, M] of candidates int32 [B, M]; those of 0 mean nothing."""
        model = self.stored.load(self.num_kept)
        scores = np.empty(candidates.shape, np.float32)
        for rows in self._chunks(histories, candidates.shape[1]):
            windows = histories.take(rows).windows(self.stored.config.max_history_length)
            scores[rows] = model.logits(windows, candidates[rows][None])[0].numpy()
        return self.stored.check_finite(scores)

    def best_of_catalogue(
        self, histories: HistoryRows, k: int, exclude_own_items: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Items int32 [B, k], 0 where there are fewer, and logits float32 [B, k] of the whole catalogue's best."""
        model = self.stored.load(self.num_kept)
        items, scores = (np.zeros((len(histories), k), dtype) for dtype in (np.int32, np.float32))
        catalogue = np.arange(1, self.stored.vocabulary.num_items + 1, dtype=np.int32)
        for rows in self._chunks(histories, CATALOGUE_BLOCK):
            chosen = histories.take(rows)
            excluded = own_items(chosen) if exclude_own_items else np.zeros((len(rows), 1), np.int32)
            best = model.top(chosen.windows(self.stored.config.max_history_length), catalogue, k, excluded[None])
            items[rows], scores[rows] = best.items[0].numpy(), best.scores[0].numpy()
        return items, self.stored.check_finite(scores)

    def _chunks(self, histories: HistoryRows, num_candidates: int) -> list[np.ndarray]:
        """Rows of like length together, so many that events times candidates stay within `pairs_at_once`."""
        lengths = np.clip(histories.items.lengths, 1, self.stored.config.max_history_length)
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


def own_items(histories: HistoryRows) -> np.ndarray:
    """Each history's items, padded with 0, int32 [B, E]."""
    lengths = histories.items.lengths
    padded = np.zeros((len(histories), max(1, int(lengths.max(initial=0)))), np.int32)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = histories.items.values
    return padded


def vocabulary_of(storage: Storage, run: TrainedRun) -> Vocabulary:
    """A run's own vocabulary, read once per process."""
    key = storage.uri(run.path)
    if key not in _VOCABULARIES:
        _VOCABULARIES.clear()
        _VOCABULARIES[key] = read_vocabulary(storage, run.manifest)
    return _VOCABULARIES[key]


def stored_model(storage: Storage, run: TrainedRun, vocabulary: Vocabulary, num_threads: int) -> StoredModel:
    """Where the run's best weights lie, with all that is needed to read them."""
    return StoredModel(storage.root, run.weights, run.config, vocabulary, num_threads)


def run_scorer(storage: Storage, run: TrainedRun, pairs_at_once: int, num_threads: int, num_kept: int = 1) -> RunScorer:
    """The scorer of a run; its weights are read when it first scores."""
    return RunScorer(stored_model(storage, run, vocabulary_of(storage, run), num_threads), pairs_at_once, num_kept)
