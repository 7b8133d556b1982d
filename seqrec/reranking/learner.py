"""What every fitted ranker is, and how one is fitted or read: boosted trees or a linear blend."""

from typing import Protocol

import numpy as np

from seqrec.core.errors import DataError
from seqrec.reranking.boosted_trees import BoostedTrees, fit_trees
from seqrec.reranking.config import RankerConfig
from seqrec.reranking.fit_rows import FitRows
from seqrec.reranking.linear_blend import LinearBlend, fit_linear


class FittedModel(Protocol):
    """Scores pairs by their features."""

    @property
    def names(self) -> tuple[str, ...]:
        """The features, in the order of the columns."""

    def scores(self, values: np.ndarray) -> np.ndarray:
        """float32 [P], higher is better, of values float32 [P, F]."""

    def importances(self) -> dict[str, float]:
        """Share of each feature in what was learned; they add up to 1 unless nothing was."""

    def to_text(self) -> str:
        """The whole model as text."""


def fit(names: tuple[str, ...], rows: FitRows, held_out: FitRows, config: RankerConfig, seed: int) -> FittedModel:
    """
    Args:
        rows: fitted on; `held_out` decides when to stop.

    Raises:
        DataError: no target of either is among the candidates.
        ConfigError: trees are wanted and LightGBM is not installed.
    """
    if not len(rows) or not len(held_out):
        raise DataError(
            f"ranker: {len(rows)} targets to fit on and {len(held_out)} held out are among the first "
            f"{config.num_ranked} candidates. "
            "Raise candidates.max_candidates or ranker.num_ranked, or prepare more data."
        )
    if config.learner == "trees":
        return fit_trees(names, rows, held_out, config, seed)
    return fit_linear(names, rows, held_out)


def read_model(learner: str, names: tuple[str, ...], text: str) -> FittedModel:
    """What `to_text` wrote."""
    return BoostedTrees.from_text(names, text) if learner == "trees" else LinearBlend.from_text(text)
