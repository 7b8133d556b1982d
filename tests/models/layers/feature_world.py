"""A vocabulary with features of random rows, for the tests of models."""

from dataclasses import replace

import numpy as np

from seqrec.events.features import FeatureBlock, ItemFeatures
from tests.models.random_batches import NUM_ITEMS, random_vocabulary

BLOCKS = (FeatureBlock("colour", 1, 5), FeatureBlock("size", 5, 9))


class ArrayFeatures(ItemFeatures):
    """Features whose arrays are in memory."""

    def rows(self):
        return _random(0)[0]

    def weights(self):
        return _random(0)[1]


def _random(seed):
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.integers(b.start, b.end, NUM_ITEMS + 1) for b in BLOCKS for _ in range(2)], axis=1)
    weights = rng.choice([0.0, 0.25, 0.5, 1.0], rows.shape)
    rows[0], weights[0] = 0, 0.0
    return np.where(weights > 0, rows, 0).astype(np.int32), weights.astype(np.float16)


def vocabulary_with_features():
    return replace(random_vocabulary(), features=ArrayFeatures("", "", "", BLOCKS))
