"""Negatives for validation and test: distinct items drawn for each target, never the target itself.

Drawing with weights and rejecting what was drawn before is drawing without replacement. Every row has its own
endless sequence of draws, made from its key, so that its negatives depend on nothing else; a row whose sequence
repeats itself too long (few items, or one that outweighs all others) is finished by an exponential race, which
has the same distribution (Efraimidis, Spirakis: "Weighted random sampling with a reservoir", 2006).
"""

from dataclasses import dataclass

import numpy as np

from seqrec.core.keyed_random import keyed, uniforms
from seqrec.events.ragged import Ragged
from seqrec.preparation.negatives.population import Population

_MAX_DRAWS = 16  # Draws a row may use up, as a multiple of the negatives asked, before the race.
_RACE_SALT = 1_000_003
_FILL_SALT = 2_000_003
_CELLS = 1 << 22  # Cells of a race held at once.


def draw_negatives(
    population: Population,
    keys: np.ndarray,
    targets: np.ndarray,
    num_negatives: int,
    own: Ragged | None = None,
    owner: np.ndarray | None = None,
) -> np.ndarray:
    """Distinct negatives for each target, int32 [R, num_negatives], in the order in which they were drawn.

    With categories, a target whose category has too few items gets all of those and then others by popularity.

    Args:
        keys: uint64 [R], what the draws of each row hang on.
        targets: item index of each target.
        own: lists of further items that are barred, and for each row which of them is its own, in `owner`; without
            that, each row has the list of its number.
    """
    result = _Drawn(np.zeros((len(keys), num_negatives), np.int32), np.zeros(len(keys), np.int64))
    barred = _Barred.of_owners(targets, own, np.arange(len(keys)) if owner is None else owner)
    low, high = population.places_for(targets)
    _draw(population, keys, low, high, barred, result)
    lacking = result.lacking()
    if len(lacking):
        rest = result.of(lacking)
        everything = np.zeros(len(lacking), np.int64), np.full(len(lacking), len(population.items))
        fresh = _Drawn(np.zeros_like(rest.items), np.zeros_like(rest.count))
        _draw(population, keyed(keys[lacking], _FILL_SALT), *everything, barred.of(lacking, rest), fresh)
        result.append(lacking, fresh.items, fresh.count)
    return result.items


@dataclass(frozen=True)
class _Drawn:
    """What each row has got so far: the first `count` of `items`."""

    items: np.ndarray  # int32 [R, N]
    count: np.ndarray  # int64 [R]

    def append(self, rows: np.ndarray, more: np.ndarray, num_more: np.ndarray) -> None:
        """Puts the first `num_more` of `more` behind what `rows` have, as far as there is room."""
        place = np.arange(more.shape[1])
        column = self.count[rows][:, None] + place
        fits = (place < num_more[:, None]) & (column < self.items.shape[1])
        self.items[np.broadcast_to(rows[:, None], fits.shape)[fits], column[fits]] = more[fits]
        self.count[rows] += fits.sum(axis=1)

    def lacking(self) -> np.ndarray:
        return np.flatnonzero(self.count < self.items.shape[1])

    def of(self, rows: np.ndarray) -> "_Drawn":
        return _Drawn(self.items[rows], self.count[rows])


@dataclass(frozen=True)
class _Barred:
    """Items that a row may not get: its target, what its owner has, and what it has drawn before."""

    targets: np.ndarray
    owner: np.ndarray
    owned: np.ndarray  # Sorted pairs of owner and item: once for all rows of an owner, who may have thousands.
    drawn: Ragged  # By row.

    @classmethod
    def of_owners(cls, targets: np.ndarray, own: Ragged | None, owner: np.ndarray) -> "_Barred":
        nothing = Ragged.from_lengths(np.zeros(0, np.int32), np.zeros(len(targets), np.int64))
        return cls(targets, owner, _sorted_pairs(nothing if own is None else own), nothing)

    def contains(self, rows: np.ndarray, items: np.ndarray) -> np.ndarray:
        """bool [len(rows), N] for items [len(rows), N]."""
        found = items == self.targets[rows][:, None]
        for pairs, first in ((self.owned, self.owner[rows]), (_sorted_pairs(self.drawn), rows)):
            if len(pairs):
                wanted = _pair(first[:, None], items)
                found |= pairs[np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)] == wanted
        return found

    def of(self, rows: np.ndarray, drawn: _Drawn) -> "_Barred":
        """The same for some of the rows, barring also what those have drawn."""
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
    """Fills each row from its range of places, as far as that has items."""
    num_wanted = result.items.shape[1]
    pending, count = np.flatnonzero(high > low), num_wanted + 8
    while len(pending) and count <= _MAX_DRAWS * (num_wanted + 8):
        items = _draw_with_replacement(population, keys[pending], low[pending], high[pending], count)
        usable = ~barred.contains(pending, items) & ~_occurred_before(items)
        first_usable = np.argsort(~usable, axis=1, kind="stable")[:, :num_wanted]
        result.count[pending] = 0  # The longer sequence begins with the shorter one.
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
    """True where the same item stands further left in the row."""
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
    """Goes on for rows that share a range: each item left arrives after an exponential time, the earliest are drawn."""
    items, weights = population.items[low:high], np.diff(population.upto[low : high + 1])
    for part in np.array_split(rows, -(-len(rows) * len(items) // _CELLS)):
        arrival = -np.log1p(-uniforms(keyed(keys[part], _RACE_SALT), 0, len(items))) / weights
        everyone = np.arange(len(part))
        rest = barred.of(part, result.of(part))
        arrival[rest.contains(everyone, np.broadcast_to(items, arrival.shape))] = np.inf
        first = np.argsort(arrival, axis=1, kind="stable")[:, : result.items.shape[1]]
        result.append(part, items[first], np.isfinite(arrival).sum(axis=1))
