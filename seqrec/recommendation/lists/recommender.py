"""Turns scores into lists of k items, in NumPy; users of whom nothing is known get the most popular items."""

from dataclasses import dataclass

import numpy as np

from seqrec.events.rows import HistoryRows
from seqrec.neighbours.config import FINDERS
from seqrec.neighbours.finder import Candidates, row_keys
from seqrec.recommendation.candidates.sources import CandidateSources
from seqrec.recommendation.config import RecommendationConfig
from seqrec.recommendation.rankers.ranker import Ranker
from seqrec.scoring.scorer import RunScorer, own_items

HISTORY, CATALOGUE, NO_HISTORY = "history", "catalogue", "popularity (no known item)"
# What the column `source` may say: how the item was found; that it is the user's own; that all items were scored; that
# nothing is known of the user.
LIST_SOURCES = (*FINDERS, HISTORY, CATALOGUE, NO_HISTORY)


@dataclass(frozen=True)
class Lists:
    """The best first; places after a list's end hold item 0."""

    items: np.ndarray  # int32 [B, k]
    scores: np.ndarray  # float32 [B, k], not increasing within a list.
    sources: np.ndarray  # int8 [B, k], places in LIST_SOURCES.


@dataclass(frozen=True)
class Recommender:
    """Everything that turns histories into lists."""

    config: RecommendationConfig
    scorer: RunScorer | None  # None when a ranker orders the candidates.
    sources: CandidateSources | None  # None when the whole catalogue is scored.
    popular_items: np.ndarray  # int32, the most popular first: for users of whom nothing is known.
    popular_shares: np.ndarray  # float32, their shares of all events.
    ranker: Ranker | None = None

    def recommend(self, histories: HistoryRows, candidates: Candidates | None = None) -> Lists:
        """A list for each user; `candidates` are found here if not given."""
        histories = histories.before_as_of()
        if self.sources is None:
            assert self.scorer is not None
            items, scores = self.scorer.best_of_catalogue(histories, self.config.k, self.config.exclude_own_items)
            lists = Lists(items, scores, np.full(items.shape, LIST_SOURCES.index(CATALOGUE), np.int8))
            known = self.scorer.knows(histories)
        else:
            candidates = self._without_own(histories, candidates or self.sources.find(histories))
            lists = best_of(candidates, self._scores(histories, candidates), self.config.k)
            known = histories.lengths > 0
        return self._with_popularity(lists, ~known[:, None])

    def popularity_list(self) -> Lists:
        """The list for every user of whom nothing is known, [1, k]."""
        k = self.config.k
        items, scores = np.zeros((1, k), np.int32), np.zeros((1, k), np.float32)
        found = min(k, len(self.popular_items))
        items[0, :found], scores[0, :found] = self.popular_items[:found], self.popular_shares[:found]
        return Lists(items, scores, np.full((1, k), LIST_SOURCES.index(NO_HISTORY), np.int8))

    def _scores(self, histories: HistoryRows, candidates: Candidates) -> np.ndarray:
        """float32 [B, M], higher is better."""
        if self.ranker is not None:
            return self.ranker.scores(histories, candidates)
        assert self.scorer is not None
        return with_places(self.scorer.scores(histories, candidates.items), self.config.candidate_weight)

    def _with_popularity(self, lists: Lists, unknown: np.ndarray) -> Lists:
        """The popularity list in the rows of `unknown`, bool [B, 1]."""
        popular = self.popularity_list()
        return Lists(
            np.where(unknown, popular.items, lists.items),
            np.where(unknown, popular.scores, lists.scores),
            np.where(unknown, popular.sources, lists.sources),
        )

    def _without_own(self, histories: HistoryRows, candidates: Candidates) -> Candidates:
        """Removes the user's own items, or adds them if they are wanted and the sources left them out."""
        assert self.sources is not None
        if self.config.exclude_own_items:
            return candidates if self.sources.exclude_own_items else drop_own(histories, candidates)
        return with_own(histories, candidates) if self.sources.exclude_own_items else candidates


def with_places(scores: np.ndarray, weight: float) -> np.ndarray:
    """Logits less `weight` times ln(place among the candidates), float32 [B, M]."""
    return scores - np.float32(weight) * np.log(np.arange(1, scores.shape[1] + 1, dtype=np.float32))


def best_of(candidates: Candidates, scores: np.ndarray, k: int) -> Lists:
    """The k best; of equal scores the earlier candidate."""
    scores = np.where(candidates.items > 0, scores, -np.inf).astype(np.float32)
    if scores.shape[1] < k:
        missing = ((0, 0), (0, k - scores.shape[1]))
        scores = np.pad(scores, missing, constant_values=-np.inf)
        candidates = Candidates(np.pad(candidates.items, missing), np.pad(candidates.sources, missing))
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return Lists(*(np.take_along_axis(a, order, axis=1) for a in (candidates.items, scores, candidates.sources)))


def drop_own(histories: HistoryRows, candidates: Candidates) -> Candidates:
    """Candidates with 0 in place of what the user has; the places of the others stay."""
    own = row_keys(histories.items.owners, histories.items.values)
    keys = row_keys(np.arange(len(histories))[:, None], candidates.items)
    is_own = np.isin(keys, own)
    return Candidates(np.where(is_own, 0, candidates.items), candidates.sources)


def with_own(histories: HistoryRows, candidates: Candidates) -> Candidates:
    """The user's own items after the candidates, each once and in order of index.

    They take the places right behind the user's last candidate: a place must not depend on who else is in the batch.
    """
    own = own_items(histories)
    ordered = np.sort(own, axis=1)
    is_repeated = np.concatenate([np.zeros((len(own), 1), np.bool_), ordered[:, 1:] == ordered[:, :-1]], axis=1)
    own = np.where(is_repeated, 0, ordered)
    items = np.concatenate([candidates.items, own], axis=1)
    sources = np.concatenate([candidates.sources, np.full(own.shape, LIST_SOURCES.index(HISTORY), np.int8)], axis=1)
    order = np.argsort(items == 0, axis=1, kind="stable")
    return Candidates(np.take_along_axis(items, order, axis=1), np.take_along_axis(sources, order, axis=1))
