"""From scored candidates to lists that keep the rules, in NumPy over a block of users; only k places are looped over.

Every rule is one of three: an item is not allowed at all; a list holds at most so many of a group of items; or the
order is another one. A minimum of some items is a maximum of all others: their places stay free.
Legend: B users, M candidates of a user, k length of a list.
"""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from seqrec.core.columns import SECONDS_PER_DAY
from seqrec.events.rows import HistoryRows
from seqrec.neighbours.event_days import NEVER, EventDays
from seqrec.neighbours.finder import Candidates, row_keys
from seqrec.recommendation.rules_config import RulesConfig

# Why an item is in no list; its place here, from 1, is its reason in `ItemFacts.barred`.
BARRING = ("blocked items", "blocked categories", "in stock", "price")


@dataclass(frozen=True)
class ItemFacts:
    """What rules must know of items, by item index from 0 (no item); arrays mapped from files."""

    barred: np.ndarray  # uint8: a bit for each of BARRING, the first in bit 0.
    brand: np.ndarray  # int32: number of the brand, 0 without one.
    category: np.ndarray  # int32, 0 without one.
    train_count: np.ndarray  # int64
    event_days: EventDays | None = None  # Only where new items are asked for.
    vectors: np.ndarray | None = None  # float32 [M, V] of length 1, that of item i in row i - 1.


class Chosen(NamedTuple):
    """Lists of k places; places after a list's end hold item 0."""

    items: np.ndarray  # int32 [B, k]
    scores: np.ndarray  # float32 [B, k]
    sources: np.ndarray  # int8 [B, k]


@dataclass(frozen=True)
class ListRules:
    """Chooses lists by rules."""

    config: RulesConfig
    exclude_own_items: bool  # What holds for own items where no rule says more.
    facts: ItemFacts

    def choose(
        self, histories: HistoryRows, candidates: Candidates, scores: np.ndarray, k: int, counted: Counter[str]
    ) -> Chosen:
        """The best k of each user that keep all rules; adds to `counted` what each rule took out.

        Args:
            scores: float32 [B, M], higher is better; equal scores: the earlier candidate.
        """
        if not candidates.items.shape[1]:
            candidates = Candidates(
                *(np.pad(part, ((0, 0), (0, 1))) for part in (candidates.items, candidates.sources))
            )
            scores = np.pad(scores, ((0, 0), (0, 1)))
        allowed = self._allowed(histories, candidates.items, counted)
        order = np.argsort(np.where(allowed, -scores, np.inf), axis=1, kind="stable")
        allowed, scores = np.take_along_axis(allowed, order, 1), np.take_along_axis(scores, order, 1)
        items = np.where(allowed, np.take_along_axis(candidates.items, order, 1), 0)
        groups = self._groups(histories, items, k)
        places = self._places(items, allowed, scores, groups, k, counted)
        is_real = places >= 0
        taken = np.maximum(places, 0)
        chosen = Chosen(
            np.where(is_real, np.take_along_axis(items, taken, 1), 0).astype(np.int32),
            np.where(is_real, np.take_along_axis(scores, taken, 1), 0).astype(np.float32),
            np.take_along_axis(np.take_along_axis(candidates.sources, order, 1), taken, 1),
        )
        lengths = is_real.sum(axis=1)
        counted["short_lists"] += int(((lengths > 0) & (lengths < k)).sum())
        counted["empty_lists"] += int((lengths == 0).sum())
        return chosen

    def _allowed(self, histories: HistoryRows, items: np.ndarray, counted: Counter[str]) -> np.ndarray:
        """bool [B, M]"""
        barred = self.facts.barred[items]
        allowed = items > 0
        for bit, rule in enumerate(BARRING):
            if rule in self.config.active:
                is_out = (barred & (1 << bit)) > 0
                counted[f"removed by {rule}"] += int((allowed & is_out).sum())
                allowed &= ~is_out
        after = self.config.own_items_after_days
        if after is None and not self.exclude_own_items:
            return allowed
        is_own = own_within(histories, items, after)
        if after is not None:  # Without the rule own items are no candidates, or as if they were none.
            counted["removed by own items"] += int((allowed & is_own).sum())
        return allowed & ~is_own

    def _groups(self, histories: HistoryRows, items: np.ndarray, k: int) -> list[tuple[str, np.ndarray, int]]:
        """Rule, group of each candidate (0: not limited), and the most items of a group."""
        config, facts = self.config, self.facts
        groups: list[tuple[str, np.ndarray, int]] = []
        if config.max_per_brand is not None:
            groups.append(("brand", facts.brand[items], config.max_per_brand))
        if config.max_per_category is not None:
            groups.append(("category", facts.category[items], config.max_per_category))
        if config.min_long_tail:
            is_head = facts.train_count[items] > config.long_tail_events
            groups.append(("long tail", is_head.astype(np.int32), max(0, k - config.min_long_tail)))
        if config.min_new:
            is_old = ~self._is_new(histories, items)
            groups.append(("new", is_old.astype(np.int32), max(0, k - config.min_new)))
        return groups

    def _is_new(self, histories: HistoryRows, items: np.ndarray) -> np.ndarray:
        assert self.facts.event_days is not None
        days = np.repeat(histories.as_of // SECONDS_PER_DAY, items.shape[1])
        first, _ = self.facts.event_days.first_and_last_before(items.ravel(), days)
        is_new: np.ndarray = ((first == NEVER) | (first >= days - self.config.new_days)).reshape(items.shape)
        return is_new

    def _places(
        self,
        items: np.ndarray,
        allowed: np.ndarray,
        scores: np.ndarray,
        groups: list[tuple[str, np.ndarray, int]],
        k: int,
        counted: Counter[str],
    ) -> np.ndarray:
        """int [B, k]: the columns chosen, -1 where there is none left.

        Args:
            items, allowed, scores: [B, M], the best first, those not allowed last.
        """
        num_rows, width = items.shape
        rows, places = np.arange(num_rows), np.full((num_rows, k), -1)
        left = allowed.copy()
        for _, group, most in groups:
            if most == 0:
                left &= group == 0
        margin = _Unlikeness(self, items, scores) if self.config.diversity > 0.0 else None
        totals = [np.zeros(items.shape, np.int16) for _ in groups]
        for place in range(k):
            best = left.argmax(axis=1) if margin is None else margin.best(left)
            is_found = left[rows, best]
            places[is_found, place] = best[is_found]
            left[rows, best] = False
            for (rule, group, most), total in zip(groups, totals, strict=True):
                picked = np.where(is_found, group[rows, best], 0)[:, None]
                total += (group == picked) & (picked > 0)
                is_full = left & (total >= most) & (group > 0)
                if place + 1 < k:
                    counted[f"removed by {rule}"] += int(is_full.sum())
                left &= ~is_full
            if margin is not None:
                margin.add(rows, best, is_found)
        return places


class _Unlikeness:
    """Maximal marginal relevance (Carbonell and Goldstein, 1998): the score, scaled from 0 to 1 within the first
    candidates of a user, less the cosine with the most alike of the items already chosen."""

    def __init__(self, rules: ListRules, items: np.ndarray, scores: np.ndarray):
        assert rules.facts.vectors is not None
        self._pool = min(rules.config.diversity_pool, items.shape[1])
        self._share = rules.config.diversity
        first = np.where(items[:, : self._pool] > 0, scores[:, : self._pool], np.nan)
        with np.errstate(all="ignore"):
            low = np.nan_to_num(np.fmin.reduce(first, axis=1, keepdims=True))
            high = np.nan_to_num(np.fmax.reduce(first, axis=1, keepdims=True))
        self._relevance = np.nan_to_num((first - low) / np.maximum(high - low, 1e-9))
        self._vectors = vectors_of(rules.facts.vectors, items[:, : self._pool])  # [B, pool, V]
        self._nearest = np.zeros(self._relevance.shape)  # Cosine with the most alike item chosen, at least 0.

    def best(self, left: np.ndarray) -> np.ndarray:
        """int [B]: the column of the best candidate left; behind the pool, the first."""
        values = (1.0 - self._share) * self._relevance - self._share * self._nearest
        in_pool = left[:, : self._pool]
        best: np.ndarray = np.where(in_pool, values, -np.inf).argmax(axis=1)
        return np.where(in_pool.any(axis=1), best, left.argmax(axis=1))

    def add(self, rows: np.ndarray, column: np.ndarray, is_found: np.ndarray) -> None:
        """Takes the chosen columns into account; those behind the pool change nothing."""
        picked = self._vectors[rows, np.minimum(column, self._pool - 1)]
        counts = is_found & (column < self._pool)
        cosines = np.einsum("bpv,bv->bp", self._vectors, picked)
        self._nearest = np.where(counts[:, None], np.maximum(self._nearest, cosines), self._nearest)


def vectors_of(vectors: np.ndarray, items: np.ndarray) -> np.ndarray:
    """float32 [..., V] of length 1; zeros for items without a vector."""
    has_one = (items > 0) & (items <= len(vectors))
    found = np.asarray(vectors[np.where(has_one, items, 1) - 1], np.float32)
    found = found / np.maximum(np.linalg.norm(found, axis=-1, keepdims=True), 1e-12)
    return np.where(has_one[..., None], found, np.float32(0.0))


def own_within(histories: HistoryRows, items: np.ndarray, days: int | None) -> np.ndarray:
    """bool [B, M]: items of the user's history; with `days` only those with an event less than so many days ago."""
    owners, values = histories.items.owners, histories.items.values
    if days is not None:
        is_recent = histories.timestamps > histories.as_of[owners] - days * SECONDS_PER_DAY
        owners, values = owners[is_recent], values[is_recent]
    own = row_keys(owners, values)
    return np.isin(row_keys(np.arange(len(items))[:, None], items), own) & (items > 0)
