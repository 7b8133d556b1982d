"""Scores of a run for the candidates of many histories, and the best of its whole catalogue."""

from dataclasses import dataclass

import numpy as np

from seqrec.core.storage import Storage
from seqrec.events.rows import HistoryRows
from seqrec.events.vocabulary import Vocabulary, read_vocabulary
from seqrec.scoring.loaded_model import StoredModel
from seqrec.scoring.run import TrainedRun

# Histories and events for which a retrieval model scores a block of its catalogue at once: some 150 MB.
_PRODUCT_ROWS, _PRODUCT_EVENTS = 512, 1 << 15
_VOCABULARIES: dict[str, Vocabulary] = {}  # The vocabulary of the run that this process read last.


@dataclass(frozen=True)
class RunScorer:
    """Scores histories in chunks of bounded memory."""

    stored: StoredModel
    pairs_at_once: int = 400_000  # Events times candidates of a chunk, where each pair passes a network.
    num_kept: int = 1  # Large models that stay in memory, this one among them.

    def scores(self, histories: HistoryRows, candidates: np.ndarray) -> np.ndarray:
        """Logits float32 [B, M] of candidates int32 [B, M]; those of 0 mean nothing."""
        model = self.stored.load(self.num_kept)
        scores = np.empty(candidates.shape, np.float32)
        for rows in self._chunks(histories, self.pairs_at_once // candidates.shape[1]):
            windows = histories.take(rows).windows(self.stored.config.max_history_length)
            scores[rows] = model.logits(windows, candidates[rows][None])[0].numpy()
        return self.stored.check_finite(scores)

    def states(self, histories: HistoryRows) -> np.ndarray:
        """States float32 [B, V] of a retrieval run, whose products with item vectors are logits."""
        model = self.stored.load(self.num_kept)
        states = np.zeros((len(histories), 0), np.float32)
        for rows in self._chunks(histories, _PRODUCT_EVENTS, _PRODUCT_ROWS):
            windows = histories.take(rows).windows(self.stored.config.max_history_length)
            found = model.encode(windows)[0].numpy()
            if not states.shape[1]:
                states = np.zeros((len(histories), found.shape[1]), np.float32)
            states[rows] = found
        return states

    def best_of_catalogue(
        self, histories: HistoryRows, k: int, exclude_own_items: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Items int32 [B, k], 0 where there are fewer, and logits float32 [B, k] of the whole catalogue's best.

        A retrieval model's catalogue are the items with a vector: those that it was trained on, or knows by features.
        """
        model, stored = self.stored.load(self.num_kept), self.stored
        items, scores = (np.zeros((len(histories), k), dtype) for dtype in (np.int32, np.float32))
        vocabulary = stored.vocabulary
        num_items = stored.config.num_comparable(vocabulary) if stored.is_retrieval else vocabulary.num_items
        catalogue = np.arange(1, num_items + 1, dtype=np.int32)
        if stored.is_retrieval:
            chunks = self._chunks(histories, _PRODUCT_EVENTS, _PRODUCT_ROWS)
        else:
            chunks = self._chunks(histories, self.pairs_at_once // stored.catalogue_block)
        for rows in chunks:
            chosen = histories.take(rows)
            excluded = own_items(chosen) if exclude_own_items else np.zeros((len(rows), 1), np.int32)
            best = model.top(chosen.windows(stored.config.max_history_length), catalogue, k, excluded[None])
            items[rows], scores[rows] = best.items[0].numpy(), best.scores[0].numpy()
        return items, stored.check_finite(scores)

    def knows(self, histories: HistoryRows) -> np.ndarray:
        """bool [B]: whether anything is known of a history.

        A ranking model reads the category of any item, a retrieval model must have a vector of one of the items.
        """
        stored = self.stored
        if not stored.is_retrieval:
            return histories.lengths > 0
        owners = histories.items.owners
        from_end = histories.items.offsets[1:][owners] - np.arange(len(owners))  # 1 for the last event.
        is_read = from_end <= stored.config.max_history_length
        has_vector = histories.items.values <= stored.config.num_comparable(stored.vocabulary)
        return np.bincount(owners[is_read & has_vector], minlength=len(histories)) > 0

    def _chunks(self, histories: HistoryRows, max_events: int, max_rows: int | None = None) -> list[np.ndarray]:
        """Rows of like length together, so many that they stay within `max_events`, padding included."""
        lengths = np.clip(histories.items.lengths, 1, self.stored.config.max_history_length)
        order = np.argsort(lengths, kind="stable")
        max_rows = max_rows or len(order)
        chunks, start = [], 0
        while start < len(order):
            last = min(start + max_rows, len(order))
            stop = start + 1
            while stop < last and (stop + 1 - start) * lengths[order[stop]] <= max_events:
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
