"""The items whose vectors have the largest products with states: over all vectors, or over some of each row, in NumPy.

Legend: B states, V width of a vector, M items with a vector, k length of a list.
"""

import numpy as np

NO_SCORE = np.finfo(np.float32).min  # Score of a place without an item.
_NO_KEY = np.iinfo(np.int64).min
_LOW_BITS = np.int64(0xFFFFFFFF)
_ITEMS_AT_ONCE = 8192  # Scores of 512 states then take 16 MiB.
_STATES_AT_ONCE = 512


def best_of_all(
    states: np.ndarray, vectors: np.ndarray, k: int, excluded: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k best items of each state, the best first; equal scores: the lower item first.

    Args:
        states: float32 [B, V].
        vectors: float32 [M, V], that of item i in row i - 1; it may be mapped from a file, and is read in blocks.
        excluded: int32 [B, E], items that a row must not get; 0 excludes nothing.
    Returns: items int32 [B, k], 0 where there are fewer, and scores float32 [B, k], there the lowest float.
    """
    items = np.zeros((len(states), k), np.int32)
    scores = np.full((len(states), k), NO_SCORE, np.float32)
    for start in range(0, len(states), _STATES_AT_ONCE):
        rows = slice(start, start + _STATES_AT_ONCE)
        found = _best_items(states[rows], vectors, k, None if excluded is None else excluded[rows])
        items[rows], scores[rows] = best_of_some(states[rows], vectors, found, k)
    return items, scores


def best_of_some(
    states: np.ndarray, vectors: np.ndarray, items: np.ndarray, k: int, excluded: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k best among some items of each state, as `best_of_all` gives them.

    The scores of a row do not depend on the other rows, as those of a product of matrices may, in the last bit.

    Args:
        items: int32 [B, n], each item at most once in a row; 0 is no item.
        excluded: int32 [B, E], items that a row must not get.
    """
    if excluded is not None:
        items = np.where(_contains(excluded, items), 0, items)
    scores = np.einsum("bnv,bv->bn", vectors[np.maximum(items, 1) - 1], states)
    keys = np.where(items > 0, _keys(scores, items), _NO_KEY)
    keys = np.sort(keys, axis=1)[:, ::-1][:, :k]
    keys = np.pad(keys, ((0, 0), (0, k - keys.shape[1])), constant_values=_NO_KEY)
    return _items_of(keys), _scores_of(keys)


def _best_items(states: np.ndarray, vectors: np.ndarray, k: int, excluded: np.ndarray | None) -> np.ndarray:
    """int32 [B, k], in any order: a running top k over blocks of a product of matrices.

    A key holds a score and an item, so that keys are ordered as lists are, ties too. After the first block few scores
    are above a row's worst key so far, and only these become keys.
    """
    best = np.full((len(states), k), _NO_KEY)
    worst = np.full((len(states), 1), -np.inf, np.float32)
    barred_items, barred_rows = _sorted_pairs(excluded)
    for start in range(0, len(vectors), _ITEMS_AT_ONCE):
        block = vectors[start : start + _ITEMS_AT_ONCE]
        scores = states @ block.T  # [B, n]
        here = slice(*np.searchsorted(barred_items, [start + 1, start + 1 + len(block)]))
        scores[barred_rows[here], barred_items[here] - start - 1] = -np.inf
        rows, places = np.nonzero(scores > worst)  # A later item loses a tie, so it must be better.
        best = _merge(best, rows, _keys(scores[rows, places], places + start + 1))
        worst = np.where(best.min(axis=1) > _NO_KEY, _scores_of(best.min(axis=1)), -np.inf)[:, None]
    return _items_of(best)


def _merge(best: np.ndarray, rows: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """The k largest of each row of `best` [B, k] and the keys that belong to `rows`, which is sorted."""
    if not len(rows):
        return best
    counts = np.bincount(rows, minlength=len(best))
    joined = np.full((len(best), best.shape[1] + counts.max()), _NO_KEY)
    joined[:, : best.shape[1]] = best
    joined[rows, best.shape[1] + np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)] = keys
    return np.partition(joined, counts.max(), axis=1)[:, counts.max() :]


def _keys(scores: np.ndarray, items: np.ndarray) -> np.ndarray:
    """int64: larger for a higher score, and for equal scores for a lower item."""
    bits = (scores.astype(np.float32) + np.float32(0.0)).view(np.int32)  # The sum makes -0.0 the same as 0.0.
    ordered = (bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))).astype(np.int64)
    return (ordered << 32) | (_LOW_BITS - items)


def _items_of(keys: np.ndarray) -> np.ndarray:
    return np.where(keys > _NO_KEY, _LOW_BITS - (keys & _LOW_BITS), 0).astype(np.int32)


def _scores_of(keys: np.ndarray) -> np.ndarray:
    ordered = (keys >> 32).astype(np.int32)
    bits = ordered ^ ((ordered >> 31) & np.int32(0x7FFFFFFF))
    return np.where(keys > _NO_KEY, bits.view(np.float32), NO_SCORE)


def _sorted_pairs(excluded: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Excluded items in order, and the row of each."""
    if excluded is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    rows = np.repeat(np.arange(len(excluded)), excluded.shape[1])
    order = np.argsort(excluded, axis=None, kind="stable")
    order = order[excluded.ravel()[order] > 0]
    return excluded.ravel()[order].astype(np.int64), rows[order]


def _contains(sets: np.ndarray, items: np.ndarray) -> np.ndarray:
    """bool [B, n]: which items stand in the set of their row."""
    rows = np.arange(len(sets), dtype=np.int64)[:, None] << 32
    return np.isin(rows | items, rows | sets)
