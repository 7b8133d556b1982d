"""A row of features for every pair of a user and a candidate. NumPy over a block of users; nothing loops over rows.

Every feature of a row is made from the user's history, the candidates of this user, and tables that were counted from
events other than the target: whatever is in the block beside a user, its rows stay the same.
Legend: B users, M candidates of a user, P pairs, F features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seqrec.core.columns import SECONDS_PER_DAY
from seqrec.events.rows import HistoryRows
from seqrec.neighbours.event_days import NEVER, EventDays
from seqrec.neighbours.finder import Candidates, row_keys
from seqrec.neighbours.table import NeighbourTable
from seqrec.reranking.neighbour_sums import SUMS, neighbour_sums, pair_keys, recent_events

PLACE = "place"
TOGETHER = "runs_together"
_NUM_RECENT = 20  # Events of a history that neighbours are summed over.
_RECENT_DAYS = (30, 90, 365)
_BY_CATEGORY = "category_popularity"  # Its keys are categories.
_NO_LOGIT = np.float32(-np.inf)


@dataclass(frozen=True)
class PairRows:
    """The features of some pairs."""

    row: np.ndarray  # int64 [P], the user, ascending.
    column: np.ndarray  # int64 [P], the place of the candidate among the user's, from 0, ascending within a user.
    values: np.ndarray  # float32 [P, F]


@dataclass(frozen=True)
class PairFeatures:
    """What features are made from, and which."""

    tables: Mapping[str, NeighbourTable]  # By source of candidates.
    event_days: EventDays
    train_count: np.ndarray  # int64 [number of items + 1]
    item_category: np.ndarray  # int32 [number of items + 1]
    runs: tuple[str, ...]  # Names of the runs whose logits are given.
    without: frozenset[str]  # Groups of features that are left out.

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of `PairRows.values`, in order."""
        return tuple(name for group, names in self._groups().items() if group not in self.without for name in names)

    def build(self, histories: HistoryRows, candidates: Candidates, logits: Sequence[np.ndarray]) -> PairRows:
        """The features of every pair of a user and one of the user's candidates.

        Args:
            candidates: [B, M]; places with item 0 give no pair.
            logits: float32 [B, M] of each of `runs`.
        """
        assert len(logits) == len(self.runs)
        row, column = np.nonzero(candidates.items)
        pairs = _Pairs(row, column, candidates.items[row, column].astype(np.int64), histories)
        columns: list[np.ndarray] = []
        for group in self._groups():
            if group not in self.without:
                columns += self._columns_of(group, pairs, candidates, logits)
        values = np.empty((len(row), len(columns)), np.float32)
        for number, each in enumerate(columns):
            values[:, number] = each
        return PairRows(row, column, values)

    def _groups(self) -> dict[str, tuple[str, ...]]:
        return {
            "places": (PLACE,),
            "neighbours": tuple(f"{table}_{each}" for table in self.tables for each in SUMS),
            "runs": tuple(f"{run}_{each}" for run in self._judges() for each in ("logit", "behind_best", "place")),
            "items": ("count",),
            "recency": (*(f"events_{n}_days" for n in _RECENT_DAYS), "events", "trend", "age_days", "idle_days"),
            "users": ("history_length", "history_days", "mean_count", "last_count", "times_taken"),
            "gaps": ("days_since_last",),
            "categories": ("is_last_category", "category_share"),
        }

    def _judges(self) -> tuple[str, ...]:
        """The runs, and beside several the sum of their logits: runs that differ in their seed err in other places."""
        return (*self.runs, TOGETHER) if len(self.runs) > 1 else self.runs

    def _columns_of(
        self, group: str, pairs: "_Pairs", candidates: Candidates, logits: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """The features of a group, [P] each, in the order of `_groups`."""
        if group == "places":
            return [pairs.column + 1.0]
        if group == "neighbours":
            return self._neighbours(pairs)
        if group == "runs":
            judges = [*logits, np.sum(logits, axis=0)] if len(logits) > 1 else logits
            return [each[pairs.row, pairs.column] for run in judges for each in _of_run(candidates, run)]
        if group == "items":
            return [self._log_count(pairs.item)]
        if group == "recency":
            return self._recency(pairs)
        if group == "users":
            return self._users(pairs)
        if group == "gaps":
            return [pairs.of_user(pairs.histories.as_of - pairs.last_times) / SECONDS_PER_DAY]
        return self._categories(pairs)

    def _log_count(self, items: np.ndarray) -> np.ndarray:
        return np.log1p(self.train_count[items])

    def _neighbours(self, pairs: "_Pairs") -> list[np.ndarray]:
        recent = recent_events(pairs.histories, _NUM_RECENT)
        keys = pair_keys(pairs.row, pairs.item)
        columns: list[np.ndarray] = []
        for name, table in self.tables.items():
            key = self.item_category[recent.item] if name == _BY_CATEGORY else recent.item
            columns += list(neighbour_sums(table, recent, key, keys).T)
        return columns

    def _recency(self, pairs: "_Pairs") -> list[np.ndarray]:
        day = pairs.of_user(pairs.histories.as_of // SECONDS_PER_DAY)
        events = self.event_days.num_before(pairs.item, day)
        since = [events - self.event_days.num_before(pairs.item, day - days) for days in _RECENT_DAYS]
        first, last = self.event_days.first_and_last_before(pairs.item, day)
        trend = (since[0] + 1.0) / (since[-1] * _RECENT_DAYS[0] / _RECENT_DAYS[-1] + 1.0)
        age, idle = (np.where(each == NEVER, -1.0, day - each) for each in (first, last))
        return [*since, events, trend, age, idle]

    def _users(self, pairs: "_Pairs") -> list[np.ndarray]:
        histories = pairs.histories
        own = np.sort(row_keys(histories.items.owners, histories.items.values))
        owners, lengths = histories.items.owners, histories.lengths
        sums = np.bincount(owners, self._log_count(histories.items.values), len(histories))
        return [
            pairs.of_user(lengths),
            pairs.of_user(pairs.last_times - histories.first_timestamps) / SECONDS_PER_DAY,
            pairs.of_user(sums / np.maximum(lengths, 1)),
            pairs.of_user(self._log_count(histories.last_items(1)[:, 0])),
            _count_in(own, row_keys(pairs.row, pairs.item)),
        ]

    def _categories(self, pairs: "_Pairs") -> list[np.ndarray]:
        histories, category = pairs.histories, self.item_category[pairs.item].astype(np.int64)
        of_history = np.sort(row_keys(histories.items.owners, self.item_category[histories.items.values]))
        taken = _count_in(of_history, row_keys(pairs.row, category))
        share = np.where(category > 0, taken, 0) / np.maximum(pairs.of_user(histories.lengths), 1)
        last = pairs.of_user(self.item_category[histories.last_items(1)[:, 0]])
        return [(last == category) & (category > 0), share]


@dataclass(frozen=True)
class _Pairs:
    row: np.ndarray  # int64 [P]
    column: np.ndarray  # int64 [P]
    item: np.ndarray  # int64 [P]
    histories: HistoryRows

    def of_user(self, values: np.ndarray) -> np.ndarray:
        """[P]: for each pair the value of its user."""
        return values[self.row]

    @property
    def last_times(self) -> np.ndarray:
        """int64 [B], the time of each history's last event; `as_of` where it has none."""
        histories = self.histories
        if not len(histories.timestamps):
            return histories.as_of
        last = histories.timestamps[np.maximum(histories.items.offsets[1:] - 1, 0)]
        return np.where(histories.lengths > 0, last, histories.as_of)


def _of_run(candidates: Candidates, logits: np.ndarray) -> list[np.ndarray]:
    """The logit, its distance from the user's best, and its place among the user's, [B, M] each."""
    known = np.where(candidates.items > 0, logits, _NO_LOGIT)
    order = np.argsort(-known, axis=1, kind="stable")
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(1, known.shape[1] + 1)[None], axis=1)
    best = known.max(axis=1, keepdims=True, initial=_NO_LOGIT)
    with np.errstate(invalid="ignore"):
        return [logits, known - best, place]


def _count_in(ordered: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """int64 [n]: how often each of `wanted` stands in `ordered`."""
    return np.searchsorted(ordered, wanted, side="right") - np.searchsorted(ordered, wanted)
