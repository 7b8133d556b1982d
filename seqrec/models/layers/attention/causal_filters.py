"""Linear filters along the events of a run; like causal attention they see no later event.

The legend of the shapes is in `contract.py`.
"""

import numpy as np
import tensorflow as tf

from seqrec.models.layers.attention.causal_attention import PackedRuns
from seqrec.models.layers.initializers import Initializer
from seqrec.models.layers.packing import PackedEvents


class EarlierEvents(tf.Module):
    """Adds to each event the few events just before it in its run, each channel times a learned factor."""

    def __init__(self, name: str, width: int, num_events: int, initializer: Initializer) -> None:
        super().__init__(None)
        self.factors = initializer.constant(f"{name}/factors", (num_events, width), 0.0)

    def __call__(self, x: tf.Tensor, events: PackedEvents) -> tf.Tensor:
        """Returns float32 [P, D] for packed events x [P, D]."""
        total, num_events = x, tf.shape(x)[0]
        for distance in range(1, self.factors.shape[0] + 1):
            # Not as a Python slice, the gradient of which takes 9 times as long.
            earlier = tf.slice(tf.pad(x, [[distance, 0], [0, 0]]), [0, 0], [num_events, -1])
            earlier = tf.where((events.position >= distance)[:, None], earlier, 0.0)
            total += earlier * self.factors[distance - 1]
        return total


class FrequencyFilter(tf.Module):
    """Splits each channel into slow and fast changes, and weighs the fast ones by a learned factor.

    BSARec (Shin et al., AAAI 2024, arXiv:2312.10325) takes the Fourier transform of a whole run, so that an event is
    mixed with later ones. Here an event sees the transform of the `max_length` places that end at it. For the last
    event of a run both are the same.
    """

    def __init__(self, name: str, width: int, num_frequencies: int, max_length: int, initializer: Initializer) -> None:
        """
        Args:
            num_frequencies: number of the lowest frequencies that count as slow, from 0 on.
        """
        super().__init__(None)
        self.fast = initializer.constant(f"{name}/fast", (width,), 1.0)
        frequency, distance = np.arange(1, num_frequencies)[:, None], np.arange(max_length)
        waves = 1.0 + 2.0 * np.cos(2.0 * np.pi * frequency * distance / max_length).sum(axis=0)
        self._response = (waves / max_length).astype(np.float32)  # Weight of the event at each distance.

    def __call__(self, x: tf.Tensor, runs: PackedRuns) -> tf.Tensor:
        """Returns float32 [P, D] for packed events x [P, D]."""
        parts = []
        for bucket, cells in zip(runs.buckets.buckets, runs.buckets.spread(x), strict=True):
            distance = np.arange(bucket.width)[:, None] - np.arange(bucket.width)
            weights = np.where(distance >= 0, self._response[np.maximum(distance, 0)], np.float32(0.0))
            parts.append(tf.einsum("ij,bjd->bid", tf.constant(weights), cells))
        slow = runs.buckets.collect(parts)
        return slow + tf.square(self.fast) * (x - slow)
