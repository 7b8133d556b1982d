"""Negatives for validation and test: distinct items drawn for each target, never the target itself.

Drawing with weights and rejecting items drawn before is drawing without replacement. Every row has its own endless
sequence of draws, made from its key, so its negatives depend on nothing else. A row whose sequence repeats itself for
too long (because there are few items, or one outweighs all others) is finished by an exponential race, which has the
same distribution (Efraimidis, Spirakis: "Weighted random sampling with a reservoir", 2006).
"""

from dataclasses import dataclass

import numpy as np

from seqrec.core.keyed_random import keyed, uniforms
from seqrec.events.ragged import Ragged
from seqrec.preparation.negatives.population import Population

_MAX_DRAWS = 16  # Draws that a row may use before the race, as a multiple of the wanted negatives.
_RACE_SALT = 1_000_003
_FILL_SALT = 2_000_003
_CELLS = 1 << 22  # Pairs of row and item whose arrival times are held at once.


def draw_negatives(
    population: Population,
    keys: np.ndarray,
    targets: np.ndarray,
    num_negatives: int,
    own: Ragged | None = None,
    owner: np.ndarray | None = None,
    periods: np.ndarray | None = None,
) -> np.ndarray:
    """Distinct negatives for each target, int32 [R, num_negatives], in the order in which they were drawn.

    With groups, a target whose group (category or period) has too few items gets all of them, and then other items by
    popularity.

    Args:
        keys: uint64 [R], the key that the draws of each row depend on.
        targets: int32 [R], item index of each target.
        own: lists of further items that are barred.
        owner: int64 [R], the list in `own` that bars items for each row; None gives each row the list of its number.
        periods: int64 [R], the period of each target's time, for a population with periods.
    """
    result = _Drawn(np.zeros((len(keys), num_negatives), np.int32), np.zeros(len(keys), np.int64))
    barred = _Barred.of_owners(targets, own, np.arange(len(keys)) if owner is None else owner)
    low, high = population.places_for(targets, periods)
    _draw(population, keys, low, high, barred, result)
    lacking = result.lacking()
    if len(lacking):
        rest = result.of(lacking)
        population = population.every_item
        everything = np.zeros(len(lacking), np.int64), np.full(len(lacking), len(population.items))
        fresh = _Drawn(np.zeros_like(rest.items), np.zeros_like(rest.count))
        _draw(population, keyed(keys[lacking], _FILL_SALT), *everything, barred.of(lacking, rest), fresh)
        result.append(lacking, fresh.items, fresh.count)
    return result.items


@dataclass(frozen=True)
class _Drawn:
    """The negatives that each row has so far."""

    items: np.ndarray  # int32 [R, N]; the first `count` of each row are drawn, the others are 0.
    count: np.ndarray  # int64 [R]

    def append(self, rows: np.ndarray, more: np.ndarray, num_more: np.ndarray) -> None:
        """Appends the first `num_more` items of `more` to `rows`, as far as there is room."""
        place = np.arange(more.shape[1])
        column = self.count[rows][:, None] + place
        fits = (place < num_more[:, None]) & (column < self.items.shape[1])
        self.items[np.broadcast_to(rows[:, None], fits.shape)[fits], column[fits]] = more[fits]
        self.count[rows] += fits.sum(axis=1)

    def lacking(self) -> np.ndarray:
        """Numbers of the rows that have too few items."""
        return np.flatnonzero(self.count < self.items.shape[1])

    def of(self, rows: np.ndarray) -> "_Drawn":
        return _Drawn(self.items[rows], self.count[rows])


@dataclass(frozen=True)
class _Barred:
    """Items that a row may not get: its target, its owner's items, and the items it has drawn before."""

    targets: np.ndarray  # int32 [R]
    owner: np.ndarray  # int64 [R]
    owned: np.ndarray  # Sorted pairs of owner and item, kept once per owner, who may have thousands of items and rows.
    drawn: Ragged  # Items drawn before, a list per row.

    @classmethod
    def of_owners(cls, targets: np.ndarray, own: Ragged | None, owner: np.ndarray) -> "_Barred":
        nothing = Ragged.from_lengths(np.zeros(0, np.int32), np.zeros(len(targets), np.int64))
        return cls(targets, owner, _sorted_pairs(nothing if own is None else own), nothing)

    def contains(self, rows: np.ndarray, items: np.ndarray) -> np.ndarray:
        """bool [len(rows), N]: True where an item of `items` [len(rows), N] is barred for its row."""
        found = items == self.targets[rows][:, None]
        for pairs, first in ((self.owned, self.owner[rows]), (_sorted_pairs(self.drawn), rows)):
            if len(pairs):
                wanted = _pair(first[:, None], items)
                found |= pairs[np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)] == wanted
        return found

    def of(self, rows: np.ndarray, drawn: _Drawn) -> "_Barred":
        """The barred items of some rows, to which the items in `drawn` are added."""
        before = self.drawn.take(rows)
        taken = drawn.items[np.arange(drawn.items.shape[1]) < drawn.count[:, None]]
        owners = np.concatenate([before.owners, np.repeat(np.arange(len(rows)), drawn.count)])
        values = np.concatenate([before.values, taken])[np.argsort(owners, kind="stable")]
        lengths = before.lengths + drawn.count
        return _Barred(self.targets[rows], self.owner[rows], self.owned, Ragged.from_lengths(values, lengths))


def _sorted_pairs(lists: Ragged) -> np.ndarray:
    return np.unique(_pair(lists.owners, lists.values))


def _pair(rows: np.ndarray, items: np.ndarray) -> np.ndarray:
    return (rows.astype(np.int64) << 32) | items.astype(np.int64)


def _draw(
    population: Population, keys: np.ndarray, low: np.ndarray, high: np.ndarray, barred: _Barred, result: _Drawn
) -> None:
    """Fills each row from its range of places, as far as the range has items."""
    num_wanted = result.items.shape[1]
    pending, count = np.flatnonzero(high > low), num_wanted + 8
    while len(pending) and count <= _MAX_DRAWS * (num_wanted + 8):
        items = _draw_with_replacement(population, keys[pending], low[pending], high[pending], count)
        usable = ~barred.contains(pending, items) & ~_occurred_before(items)
        first_usable = np.argsort(~usable, axis=1, kind="stable")[:, :num_wanted]
        result.count[pending] = 0  # The longer sequence begins with the same draws, so the row is filled anew.
        result.append(pending, np.take_along_axis(items, first_usable, axis=1), usable.sum(axis=1))
        pending, count = pending[result.count[pending] < num_wanted], count * 4
    for rows in _same_range(pending, low):
        _race(population, keys, int(low[rows[0]]), int(high[rows[0]]), rows, barred, result)


def _draw_with_replacement(
    population: Population, keys: np.ndarray, low: np.ndarray, high: np.ndarray, count: int
) -> np.ndarray:
    start, end = population.upto[low][:, None], population.upto[high][:, None]
    points = start + uniforms(keys, 0, count) * (end - start)
    places = population.places_of(points)
    return population.items[np.clip(places, low[:, None], high[:, None] - 1)]


def _occurred_before(items: np.ndarray) -> np.ndarray:
    """True where the same item occurs further left in its row."""
    order = np.argsort(items, axis=1, kind="stable")
    ascending = np.take_along_axis(items, order, axis=1)
    repeats = np.zeros(items.shape, bool)
    repeats[:, 1:] = ascending[:, 1:] == ascending[:, :-1]
    seen = np.empty(items.shape, bool)
    np.put_along_axis(seen, order, repeats, axis=1)
    return seen


def _same_range(rows: np.ndarray, low: np.ndarray) -> list[np.ndarray]:
    if not len(rows):
        return []
    rows = rows[np.argsort(low[rows], kind="stable")]
    return np.split(rows, np.flatnonzero(np.diff(low[rows])) + 1)


def _race(
    population: Population,
    keys: np.ndarray,
    low: int,
    high: int,
    rows: np.ndarray,
    barred: _Barred,
    result: _Drawn,
) -> None:
    """Finishes rows that share a range of places.

    Each item that is not barred arrives after an exponential time; the earliest items are drawn.
    """
    items, weights = population.items[low:high], np.diff(population.upto[low : high + 1])
    for part in np.array_split(rows, -(-len(rows) * len(items) // _CELLS)):
        arrival = -np.log1p(-uniforms(keyed(keys[part], _RACE_SALT), 0, len(items))) / weights
        everyone = np.arange(len(part))
        rest = barred.of(part, result.of(part))
        arrival[rest.contains(everyone, np.broadcast_to(items, arrival.shape))] = np.inf
        first = np.argsort(arrival, axis=1, kind="stable")[:, : result.items.shape[1]]
        result.append(part, items[first], np.isfinite(arrival).sum(axis=1))
