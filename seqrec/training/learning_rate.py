"""The learning rate of every step: a warm-up, then constant, down a cosine, or lower whenever validation stands still.

It is a function of the step's number, of the plan and, for `plateau`, of the history. Nothing else is kept, so every
worker has the same rate, and a resumed run has the rates of one without a break. It is computed outside TensorFlow:
processors of several kinds differ in the last bit of a float32 cosine, and workers would drift apart.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from seqrec.core.errors import ConfigError
from seqrec.training.config import TrainingConfig
from seqrec.training.job import is_better


@dataclass(frozen=True)
class LearningRate:
    """The learning rates of a run.

    Args:
        warmup_steps: steps in which the rate grows; 0: none.
        planned_steps: steps of all planned epochs; 0 where the rate does not depend on them.
    """

    config: TrainingConfig
    warmup_steps: int
    planned_steps: int

    def share(self, global_step: int, history: Sequence[float]) -> float:
        """The share of the full rate that step `global_step` (0 is the first of the run) takes; a float32.

        Args:
            history: the validation metric after each finished epoch.
        """
        grown = np.float32(1.0)
        if global_step < self.warmup_steps:
            # Times the reciprocal instead of divided: what TensorFlow made of it when it stood in the step's graph.
            grown = np.float32(global_step + 1) * (np.float32(1.0) / np.float32(self.warmup_steps))
        return float(grown * np.float32(self._decayed(global_step, history)))

    def _decayed(self, global_step: int, history: Sequence[float]) -> float:
        optimizer = self.config.optimizer
        if optimizer.schedule == "cosine":
            # The warm-up's last step has the full rate, and training's last step the final one.
            done = (global_step + 1 - self.warmup_steps) / (self.planned_steps - self.warmup_steps)
            cosine = 0.5 * (1.0 + math.cos(math.pi * min(max(done, 0.0), 1.0)))
            return optimizer.final_share + (1.0 - optimizer.final_share) * cosine
        if optimizer.schedule == "plateau":
            cuts = num_cuts(history, optimizer.plateau_patience)
            return max(optimizer.final_share, optimizer.plateau_factor**cuts)
        return 1.0

    def describe(self) -> str:
        """A line for people."""
        full, optimizer = full_rate(self.config), self.config.optimizer
        final, patience = f"{full * optimizer.final_share:.3g}", optimizer.plateau_patience
        epochs = "epoch" if patience == 1 else f"{patience} epochs"
        then = {
            "constant": "constant",
            "cosine": f"down a cosine to {final} at step {self.planned_steps:,}, the last",
            "plateau": f"times {optimizer.plateau_factor:g} after each {epochs} without a better {self.config.metric}, "
            f"not below {final}",
        }[optimizer.schedule]
        grows = f"up to {full:.3g} at step {self.warmup_steps:,}, then" if self.warmup_steps else f"{full:.3g},"
        return f"learning rate: {grows} {then}"


def full_rate(config: TrainingConfig) -> float:
    """The rate of a step that takes all of it; scaled by the global batch if that is set, never by the workers."""
    rate = config.optimizer.learning_rate
    if config.learning_rate_for_batch_size:
        rate *= config.global_batch_size / config.learning_rate_for_batch_size
    return rate


def num_cuts(history: Sequence[float], patience: int) -> int:
    """How often `patience` epochs in a row have had no better metric than all epochs before them.

    After a cut the epochs are counted anew; the best metric stays.
    """
    best, waited, cuts = None, 0, 0
    for value in history:
        if is_better(value, best):
            best, waited = value, 0
            continue
        waited += 1
        if waited == patience:
            waited, cuts = 0, cuts + 1
    return cuts


def plan_learning_rate(config: TrainingConfig, steps_of: Callable[[int], int]) -> LearningRate:
    """The learning rates of a run.

    Args:
        steps_of: the number of steps of an epoch; 0 is the first.

    Raises:
        ConfigError: the warm-up is longer than the training, or leaves no step for the cosine.
    """
    is_cosine = config.optimizer.schedule == "cosine"
    if not (is_cosine or config.warmup_steps or config.warmup_epochs):
        return LearningRate(config, warmup_steps=0, planned_steps=0)  # Nothing to plan, however many epochs there are.
    steps = [steps_of(epoch) for epoch in range(config.num_epochs)]
    warmup = _steps_within(config.warmup_epochs, steps) if config.warmup_epochs else config.warmup_steps
    if config.warmup_epochs > config.num_epochs or warmup + is_cosine > sum(steps):
        key = "warmup_epochs" if config.warmup_epochs else "warmup_steps"
        raise ConfigError(
            f"training.{key}={getattr(config, key)} but num_epochs={len(steps)} has {sum(steps):,} steps: "
            f"{'no step is left for the cosine' if is_cosine else 'the rate never reaches its full value'}. "
            f"Set training.{key}=0 for no warm-up, or a shorter one, or a larger training.num_epochs."
        )
    return LearningRate(config, warmup, sum(steps))


def _steps_within(num_epochs: float, steps: Sequence[int]) -> int:
    """The steps of the first epochs; the last of them may be a part of one."""
    whole = int(num_epochs)
    part = round((num_epochs - whole) * steps[whole]) if whole < len(steps) else 0
    return sum(steps[:whole]) + part
