"""How the events of a window spread over the values of each feature of their items."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqrec.core.columns import FEATURE_ROW, FEATURE_VALUE
from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.evaluation.drift.event_counts import EventCounts
from seqrec.evaluation.drift.measures import Difference, compare_numbers, compare_values
from seqrec.events.features import FEATURE_NAMES, FeatureBlock, ItemFeatures, read_item_features
from seqrec.events.vocabulary import read_names

_ITEMS_AT_ONCE = 200_000


def compare_features(
    storage: Storage, manifests: tuple[Manifest, Manifest], counts: tuple[EventCounts, EventCounts], num_bins: int
) -> list[Difference]:
    """Compares every feature that both have; texts by their names, so that two vocabularies may number them otherwise.

    Args:
        manifests: prepared data of the reference and of the new events.
    """
    found = [read_item_features(storage, m, m.details["num_items"]) for m in manifests]
    before, after = found
    if before is None or after is None:
        return []
    rows = _shared_rows(storage, manifests)
    weights = [
        _row_weights(features, of.items, own, len(rows[0]))
        for features, of, own in zip((before, after), counts, rows, strict=True)
    ]
    others = {block.name: block for block in after.blocks}
    differences = []
    for block in before.blocks:
        other = others.get(block.name)
        if other is None or bool(block.points) != bool(other.points):
            continue
        if block.points:
            parts = [
                _numbers(features, own, of.items)
                for features, own, of in zip((before, after), (block, other), counts, strict=True)
            ]
            differences.append(compare_numbers(block.name, parts[0], parts[1], num_bins))
        else:
            # Rows of the reference, then one for values that only the new events have.
            own = np.append(np.arange(block.start, block.end), len(rows[0]) + _place(after, other))
            differences.append(compare_values(block.name, weights[0][own], weights[1][own], num_bins))
    return differences


def _place(features: ItemFeatures, block: FeatureBlock) -> int:
    return features.blocks.index(block)


def _shared_rows(storage: Storage, manifests: tuple[Manifest, Manifest]) -> tuple[np.ndarray, np.ndarray]:
    """For each row of both, the row of the reference with the same name; -1 where there is none."""
    first, second = (read_names(storage, m.table(FEATURE_NAMES), FEATURE_ROW, FEATURE_VALUE) for m in manifests)
    place = pc.index_in(second[1], value_set=pa.array(first[1])).fill_null(-1).to_numpy()
    other = np.full(len(second[0]) + 1, -1, np.int64)
    other[second[0]] = np.where(place >= 0, first[0][place], -1)
    return np.arange(len(first[0]) + 1), other


def _row_weights(features: ItemFeatures, counts: np.ndarray, own_row: np.ndarray, num_rows: int) -> np.ndarray:
    """float64 [num_rows + features]: events by row of the reference, then by feature those of rows it does not have."""
    block_of = np.zeros(features.num_rows, np.int64)
    for number, block in enumerate(features.blocks):
        block_of[block.start : block.end] = number
    target = np.where(own_row >= 0, own_row, num_rows + block_of)
    total = np.zeros(num_rows + len(features.blocks))
    rows, weights = features.rows(), features.weights()
    for start in range(0, len(rows), _ITEMS_AT_ONCE):
        part = slice(start, start + _ITEMS_AT_ONCE)
        mass = weights[part].astype(np.float64) * counts[part, None]
        total += np.bincount(target[rows[part]].ravel(), weights=mass.ravel(), minlength=len(total))
    return total


def _numbers(features: ItemFeatures, block: FeatureBlock, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The value of each item with events, NaN if missing, and its events."""
    items = np.flatnonzero(counts)
    points = np.zeros(block.end - block.start)
    points[1 : 1 + len(block.points)] = block.points
    values = np.empty(len(items))
    rows, weights = features.rows(), features.weights()
    for start in range(0, len(items), _ITEMS_AT_ONCE):
        part = items[start : start + _ITEMS_AT_ONCE]
        own, weight = rows[part], weights[part].astype(np.float64)
        is_own = (own >= block.start) & (own < block.end)
        values[start : start + len(part)] = (
            np.where(is_own, points[np.where(is_own, own - block.start, 0)], 0.0) * weight
        ).sum(axis=1)
        values[start : start + len(part)][(own == block.start).any(axis=1)] = np.nan
    return values, counts[items].astype(np.float64)
