"""Turns scores into lists of k items, in NumPy; users of whom nothing is known get the most popular items."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from seqrec.events.ragged import Ragged
from seqrec.events.rows import HistoryRows
from seqrec.neighbours.config import FINDERS
from seqrec.neighbours.finder import Candidates, row_keys
from seqrec.recommendation.candidates.sources import CandidateSources
from seqrec.recommendation.config import RecommendationConfig
from seqrec.recommendation.rankers.ranker import Ranker
from seqrec.recommendation.rules.selection import ListRules
from seqrec.scoring.scorer import RunScorer, own_items

HISTORY, CATALOGUE, NO_HISTORY = "history", "catalogue", "popularity (no known item)"
# What the column `source` may say: how the item was found; that it is the user's own; that all items were scored; that
# nothing is known of the user.
LIST_SOURCES = (*FINDERS, HISTORY, CATALOGUE, NO_HISTORY)
_POPULAR_POOL = 1_000  # The most popular items that rules choose from for a user of whom nothing is known.


@dataclass(frozen=True)
class Lists:
    """The best first; places after a list's end hold item 0."""

    items: np.ndarray  # int32 [B, k]
    scores: np.ndarray  # float32 [B, k], not increasing within a list, unless a rule asks for diversity.
    sources: np.ndarray  # int8 [B, k], places in LIST_SOURCES.


class ScoredCandidates(NamedTuple):
    """What lists of some users are chosen from."""

    histories: HistoryRows
    candidates: Candidates  # [B, M]
    scores: np.ndarray  # float32 [B, M], higher is better.
    is_known: np.ndarray  # bool [B]: of the others nothing is known, and they get popular items.


@dataclass(frozen=True)
class Recommender:
    """Everything that turns histories into lists."""

    config: RecommendationConfig
    scorer: RunScorer | None  # None when a ranker orders the candidates.
    sources: CandidateSources | None  # None when the whole catalogue is scored.
    popular_items: np.ndarray  # int32, the most popular first: for users of whom nothing is known.
    popular_shares: np.ndarray  # float32, their shares of all events.
    ranker: Ranker | None = None
    rules: ListRules | None = None
    counted: Counter[str] = field(default_factory=Counter)  # What rules have taken out of lists so far.

    def recommend(self, histories: HistoryRows, candidates: Candidates | None = None) -> Lists:
        """A list for each user; `candidates` are found here if not given."""
        return self.choose(self.scored(histories.before_as_of(), candidates), self.rules)

    def scored(self, histories: HistoryRows, candidates: Candidates | None = None) -> "ScoredCandidates":
        """What lists are chosen from: scored candidates, without own items unless these may be listed.

        Args:
            histories: events up to their time, as `before_as_of` gives them.
        """
        if self.sources is None:
            assert self.scorer is not None
            depth = self.config.k
            if self.rules is not None:
                depth = max(depth, self.rules.config.catalogue_pool)
            items, scores = self.scorer.best_of_catalogue(histories, depth, not self._lists_own)
            found = Candidates(items, np.full(items.shape, LIST_SOURCES.index(CATALOGUE), np.int8))
            return ScoredCandidates(histories, found, scores, self.scorer.knows(histories))
        candidates = self._without_own(histories, candidates or self.sources.find(histories))
        return ScoredCandidates(histories, candidates, self._scores(histories, candidates), histories.lengths > 0)

    def choose(self, scored: "ScoredCandidates", rules: ListRules | None, counted: Counter[str] | None = None) -> Lists:
        """The lists by some rules, or by none; what these take out is added to `counted`, or else to our own sums."""
        counted = self.counted if counted is None else counted
        k, is_unknown = self.config.k, ~scored.is_known
        if rules is None:
            lists = best_of(scored.candidates, scored.scores, k)
            return self._with_popularity(lists, is_unknown[:, None])
        items = np.where(is_unknown[:, None], 0, scored.candidates.items)
        known = np.flatnonzero(scored.is_known)
        lists = Lists(*(np.zeros((len(items), k), dtype) for dtype in (np.int32, np.float32, np.int8)))
        for rows, candidates, scores in (
            (known, Candidates(items[known], scored.candidates.sources[known]), scored.scores[known]),
            (np.flatnonzero(is_unknown), *self._popular(int(is_unknown.sum()))),
        ):
            if len(rows):
                chosen = rules.choose(scored.histories.take(rows), candidates, scores, k, counted)
                for part, values in zip((lists.items, lists.scores, lists.sources), chosen, strict=True):
                    part[rows] = values
        return lists

    def popularity_list(self, as_of: int = 0) -> Lists:
        """The list for every user of whom nothing is known, [1, k], at the time `as_of`, which rules may ask for."""
        if self.rules is not None:
            nobody = HistoryRows(
                items=Ragged.from_lengths(np.zeros(0, np.int32), np.zeros(1, np.int64)),
                timestamps=np.zeros(0, np.int64),
                first_timestamps=np.full(1, as_of, np.int64),
                as_of=np.full(1, as_of, np.int64),
            )
            return Lists(*self.rules.choose(nobody, *self._popular(1), self.config.k, self.counted))
        return self._most_popular()

    def _most_popular(self) -> Lists:
        k = self.config.k
        items, scores = np.zeros((1, k), np.int32), np.zeros((1, k), np.float32)
        found = min(k, len(self.popular_items))
        items[0, :found], scores[0, :found] = self.popular_items[:found], self.popular_shares[:found]
        return Lists(items, scores, np.full((1, k), LIST_SOURCES.index(NO_HISTORY), np.int8))

    @property
    def _lists_own(self) -> bool:
        """Whether a user's own items may be listed; a rule may then take some of them out."""
        returns = self.rules is not None and self.rules.config.own_items_after_days is not None
        return returns or not self.config.exclude_own_items

    def _popular(self, num_rows: int) -> tuple[Candidates, np.ndarray]:
        """The most popular items for each of so many users, and their shares."""
        items = np.asarray(self.popular_items[:_POPULAR_POOL])
        shares = np.asarray(self.popular_shares[:_POPULAR_POOL])
        sources = np.full((num_rows, len(items)), LIST_SOURCES.index(NO_HISTORY), np.int8)
        return Candidates(np.tile(items, (num_rows, 1)), sources), np.tile(shares, (num_rows, 1))

    def _scores(self, histories: HistoryRows, candidates: Candidates) -> np.ndarray:
        """float32 [B, M], higher is better."""
        if self.ranker is not None:
            return self.ranker.scores(histories, candidates)
        assert self.scorer is not None
        return with_places(self.scorer.scores(histories, candidates.items), self.config.candidate_weight)

    def _with_popularity(self, lists: Lists, unknown: np.ndarray) -> Lists:
        """The popularity list in the rows of `unknown`, bool [B, 1]."""
        popular = self._most_popular()
        return Lists(
            np.where(unknown, popular.items, lists.items),
            np.where(unknown, popular.scores, lists.scores),
            np.where(unknown, popular.sources, lists.sources),
        )

    def _without_own(self, histories: HistoryRows, candidates: Candidates) -> Candidates:
        """Removes the user's own items, or adds them if they are wanted and the sources left them out."""
        assert self.sources is not None
        if not self._lists_own:
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
