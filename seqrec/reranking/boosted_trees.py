"""Trees boosted by LightGBM with the LambdaRank objective (Burges, 2010), which is an optional package.

LightGBM and not XGBoost: its wheel takes 10 MB instead of 19, and its models are plain text that people can read.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seqrec.core.errors import ConfigError
from seqrec.reranking.config import RankerConfig
from seqrec.reranking.fit_rows import FitRows

_TRUNCATION = 20  # Pairs of places of which one is above this decide: a little more than the length of a list.


@dataclass(frozen=True)
class BoostedTrees:
    """Trees over the features; a score is the sum of a leaf of each tree."""

    names: tuple[str, ...]
    text: str
    _loaded: list[Any] = field(default_factory=list, compare=False, repr=False)  # The trees, once they are read.

    @classmethod
    def from_text(cls, names: tuple[str, ...], text: str) -> "BoostedTrees":
        return cls(names, text)

    @property
    def _booster(self) -> Any:
        if not self._loaded:
            self._loaded.append(lightgbm().Booster(model_str=self.text))
        return self._loaded[0]

    @property
    def num_trees(self) -> int:
        return int(self._booster.num_trees())

    def scores(self, values: np.ndarray) -> np.ndarray:
        """float32 [P] of values float32 [P, F]."""
        if not len(values):
            return np.zeros(0, np.float32)
        # One thread: Spark already runs a worker per core.
        return self._booster.predict(values, num_threads=1).astype(np.float32)

    def importances(self) -> dict[str, float]:
        """Share of each feature in the gain of all splits."""
        gain = np.asarray(self._booster.feature_importance("gain"), np.float64)
        return dict(zip(self.names, (gain / max(gain.sum(), 1e-12)).tolist(), strict=True))

    def to_text(self) -> str:
        return self.text


def fit_trees(
    names: tuple[str, ...], rows: FitRows, held_out: FitRows, config: RankerConfig, seed: int
) -> BoostedTrees:
    """Adds trees until NDCG of the users held out has not risen for `config.patience` trees.

    NDCG is that of their whole lists: the one at 10 places rests on the few targets near the top, and its noise stopped
    a fit after 13 trees that goes past 150 by the whole lists.

    Raises:
        ConfigError: LightGBM is not installed.
    """
    package = lightgbm()
    parameters = {
        "objective": "lambdarank",
        "metric": "ndcg",
        "eval_at": [int(max(held_out.sizes.max(), rows.sizes.max()))],
        "lambdarank_truncation_level": _TRUNCATION,
        "learning_rate": config.learning_rate,
        "num_leaves": config.num_leaves,
        "min_data_in_leaf": config.min_leaf_rows,
        "lambda_l2": config.l2,
        "feature_fraction": 0.7,
        "seed": seed % (1 << 31),
        "deterministic": True,
        "force_row_wise": True,  # Otherwise LightGBM times both ways, and what it takes decides the rounding.
        "num_threads": config.num_threads,
        "verbose": -1,
    }
    columns = [f"f{number}" for number in range(len(names))]  # LightGBM takes few characters in a name.
    data = package.Dataset(rows.values, rows.is_target, group=rows.sizes, feature_name=columns)
    check = package.Dataset(held_out.values, held_out.is_target, group=held_out.sizes, reference=data)
    stop = package.early_stopping(config.patience, verbose=False)
    booster = package.train(parameters, data, config.num_trees, valid_sets=[check], callbacks=[stop])
    return BoostedTrees(names, booster.model_to_string(num_iteration=booster.best_iteration))


def lightgbm() -> Any:
    """
    Raises:
        ConfigError: LightGBM is not installed.
    """
    try:
        import lightgbm as package
    except ImportError as error:
        raise ConfigError(
            f"ranker.learner is trees, but LightGBM cannot be imported ({error}): pip install 'lightgbm>=4.3,<5', or "
            "fit a ranker with ranker.learner=linear."
        ) from None
    return package
