"""Rows that a ranker is fitted on, put in an order that does not depend on files, partitions or the order of users."""

from dataclasses import dataclass

import numpy as np

from seqrec.core.metrics import ndcg


@dataclass(frozen=True)
class FitRows:
    """Groups of pairs, a group for each user and target, one after the other; each group holds its target.

    Legend: G groups, P pairs, F features.
    """

    values: np.ndarray  # float32 [P, F]
    is_target: np.ndarray  # bool [P], one True in each group.
    sizes: np.ndarray  # int64 [G], pairs of each group, all above 0.

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def group(self) -> np.ndarray:
        """int64 [P], the group of each pair."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @property
    def starts(self) -> np.ndarray:
        """int64 [G], the first pair of each group."""
        return np.cumsum(self.sizes) - self.sizes

    def take(self, groups: np.ndarray) -> "FitRows":
        """The groups numbered `groups`, in that order."""
        starts, sizes = self.starts[groups], self.sizes[groups]
        shift = np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
        pairs = shift + np.arange(int(sizes.sum()))
        return FitRows(self.values[pairs], self.is_target[pairs], sizes)

    def ranks(self, scores: np.ndarray) -> np.ndarray:
        """int64 [G], rank of each group's target by `scores`, float [P]; 1 is best, ties count against the target."""
        group = self.group
        of_target = scores[self.is_target][group]
        return np.bincount(group[scores >= of_target], minlength=len(self))


def mean_ndcg(ranks: np.ndarray, k: int) -> float:
    """NDCG@k of targets that all are among the candidates; 0 without any."""
    return float(ndcg(ranks, k).mean()) if len(ranks) else 0.0
