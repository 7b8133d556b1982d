"""Settings of the hyper-parameter search. Free of Spark, TensorFlow and Optuna."""

from dataclasses import dataclass, field
from typing import Any, Literal

from seqrec.core.config import Value, load_section, marked, not_in_recipe, speed_only
from seqrec.core.errors import ConfigError
from seqrec.training.config import check_metric
from seqrec.tuning.search_space import ParameterConfig, flat_space

COMPARISON_ONLY = "comparison only"
_DEFAULT_SPACE: dict[str, Any] = {
    "training.optimizer.learning_rate": {"low": 1.0e-4, "high": 1.0e-2, "log": True},
    # Not for SLi-Rec, whose hidden size would have to follow; conf/tune_beauty.yaml chooses the two together.
    "model.item_dim": {"choices": [16, 32, 64], "when": {"model.name": ["a2svd", "gru"]}},
    "model.dropout": {"low": 0.0, "high": 0.5, "repeat": 2},
}


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """How the settings of the next trial are drawn."""

    name: Literal["tpe", "random"] = "tpe"  # Near good trials (tree-structured Parzen estimator), or anywhere.
    seed: int = 1  # A trial's draws depend on this seed, its number and the trials before it.
    num_startup_trials: int = 8  # Number of random trials before the estimator starts.

    def __post_init__(self) -> None:
        if self.num_startup_trials < 1:
            raise ValueError(f"num_startup_trials is {self.num_startup_trials}: give at least 1.")


@dataclass(frozen=True, kw_only=True)
class PruningConfig:
    """Successive halving. At epoch `min_epochs`, and each time the epochs have grown by `reduction_factor`, a trial
    continues only if its validation metric is among the best 1 / `reduction_factor` of all trials that got there."""

    enabled: bool = True  # Stop bad trials early; false: every trial trains to its end.
    min_epochs: int = 1  # Number of epochs that every trial may train.
    reduction_factor: int = 3  # One trial in so many continues.

    def __post_init__(self) -> None:
        if self.min_epochs < 1:
            raise ValueError(f"min_epochs is {self.min_epochs}: give at least 1.")
        if self.reduction_factor < 2:
            raise ValueError(f"reduction_factor is {self.reduction_factor}: give at least 2.")


def comparison_only(default: Value) -> Value:
    """The default of a key that only changes what follows the trials: they are kept, the comparison is repeated."""
    return marked(default, COMPARISON_ONLY, in_recipe=False)


@dataclass(frozen=True, kw_only=True)
class TuningConfig:
    """The `tuning` section of a run."""

    study: str | None = not_in_recipe(None)  # Name of the study; null: the names of the data and of the model.
    metric: str | None = None  # Validation metric to maximise; null: training.metric.
    num_trials: int = not_in_recipe(20)  # Total number of trials, with those of an earlier, interrupted study.
    num_epochs: int | None = None  # Most epochs of a trial; null: training.num_epochs.
    space: dict[str, Any] = field(default_factory=lambda: dict(_DEFAULT_SPACE))  # Key of model or training -> low and
    # high (log, step, repeat) or choices; with `when: {key: value}` only in trials where the key has that value.
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    pruning: PruningConfig = field(default_factory=PruningConfig)
    include_default: bool = True  # The first trial has the settings of the config without tuning.
    # Trials run as processes of this machine, or of Spark tasks.
    executor: Literal["processes", "spark"] = speed_only("processes")
    num_parallel: int = speed_only(1)  # Number of trials at the same time; with 1 the same trials are drawn every time.
    # A trial that takes longer is stopped and counts as failed; null: no limit.
    max_trial_seconds: int | None = speed_only(None)
    resume: Literal["auto", "never"] = speed_only("auto")  # Resume a study that was cut off, or start over.
    # Number of seeds with which winner and default are trained and compared; 0: no comparison.
    num_compared_seeds: int = comparison_only(3)
    num_replicates: int = comparison_only(1000)  # Number of draws for the comparison's interval and test.
    confidence: float = comparison_only(0.95)  # Confidence of the interval.

    def __post_init__(self) -> None:
        for name, least in (("num_trials", 1), ("num_parallel", 1), ("num_compared_seeds", 0), ("num_replicates", 100)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least {least}.")
        for name in ("num_epochs", "max_trial_seconds"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}: give at least 1, or null.")
        if not 0.5 <= self.confidence < 1.0:
            raise ValueError(f"confidence is {self.confidence}: give at least 0.5 and less than 1.")
        if self.metric is not None:
            check_metric(self.metric)
        if not self.space:
            raise ValueError("space is empty: name at least one key, such as training.optimizer.learning_rate.")
        self.parameters()

    def parameters(self) -> dict[str, ParameterConfig]:
        """The entries of the search space, in the order of the file.

        Raises:
            ConfigError: an entry has an unknown, mistyped or impossible key.
        """
        parameters = {}
        for name, values in flat_space(self.space).items():
            if not isinstance(values, dict):
                raise ConfigError(f"space.{name}: expected low and high, or choices, got {values!r}.")
            parameters[name] = load_section(ParameterConfig, values, f"space.{name}")
        return parameters
