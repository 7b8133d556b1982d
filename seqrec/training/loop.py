"""Read `train` first: the rest is what it calls.

Every worker runs the same loop over the same number of steps, decided before it begins; a worker that ended early
would leave the others waiting. What exchanges something between workers stands outside every `if rank == 0`.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from seqrec.core.batch import TrainBatch
from seqrec.core.errors import TrainingError
from seqrec.feed.prefetching import prefetched
from seqrec.feed.streams import TrainingFeed
from seqrec.training.config import TrainingConfig
from seqrec.training.job import TrainingState
from seqrec.training.train_step import StepOutcome

_BATCHES_AHEAD = 4


@dataclass
class Trainer:
    """Everything the loop works with. The functions may exchange things between workers: all call them alike."""

    config: TrainingConfig
    feed: TrainingFeed
    state: TrainingState
    step: Callable[[TrainBatch, int, bool], StepOutcome]
    validate: Callable[[], Mapping[str, float]]
    save: Callable[[TrainingState], None]
    save_best: Callable[[TrainingState], None]
    report: Callable[[str, dict[str, Any]], None]  # What has happened ("phase", "step", "epoch"), and its figures.
    stop_requested: Callable[[], bool]
    pace: "Pace" = field(default_factory=lambda: Pace())


def train(trainer: Trainer) -> TrainingState:
    """Trains from where `trainer.state` stands to the last epoch, an early stop, or a request to stop."""
    state, config = trainer.state, trainer.config
    while not state.is_complete(config.num_epochs):
        plan = trainer.feed.plan(state.epoch)
        for batch in _timed_batches(trainer):
            outcome = trainer.step(batch, state.global_step, trainer.stop_requested())
            _count(trainer, outcome, plan.steps)
            if float(outcome.stop) > 0.0:
                trainer.save(state)
                return state
            if config.checkpoint_every_steps and state.global_step % config.checkpoint_every_steps == 0:
                trainer.save(state)
        trainer.pace.trained = time.monotonic()
        trainer.report("phase", {"phase": "validation"})
        metrics = trainer.validate()
        row = _epoch_row(trainer, metrics, plan.steps)
        is_best = state.end_epoch(row, metrics[config.metric], config.patience)
        if is_best:
            trainer.save_best(state)
        trainer.save(state)
        trainer.report("epoch", {"row": row, "is_best": is_best})
    return state


@dataclass
class Pace:
    """Times of the epoch at hand, of this process; and the figures of the steps since the last report."""

    is_traced: bool = False  # Whether this process has done a step: its first one is slow.
    started: float = field(default_factory=time.monotonic)
    trained: float = 0.0  # When the last step was done.
    first_step: int = 0
    waited: float = 0.0  # Seconds the loop waited for data.
    reported: float = field(default_factory=time.monotonic)
    losses: list[float] = field(default_factory=list)


def _timed_batches(trainer: Trainer) -> Any:
    """The rest of the epoch's batches as tensors; notes how long each was waited for."""
    state = trainer.state
    pace = trainer.pace = Pace(first_step=state.step, is_traced=trainer.pace.is_traced)
    trainer.report("phase", {"phase": "training" if pace.is_traced else "first step"})
    batches = prefetched(trainer.feed.batches(state.epoch, state.step), _BATCHES_AHEAD)
    try:
        while True:
            asked = time.monotonic()
            batch = next(batches, None)
            pace.waited += time.monotonic() - asked
            if batch is None:
                return
            yield tf.nest.map_structure(tf.convert_to_tensor, batch)
    finally:
        batches.close()


def _count(trainer: Trainer, outcome: StepOutcome, steps: int) -> None:
    """Advances the state by a step; every `log_every_steps` reports, and stops if the loss is no number."""
    state, pace, config = trainer.state, trainer.pace, trainer.config
    loss = float(outcome.loss)
    if not pace.is_traced:
        pace.is_traced = True
        trainer.report("phase", {"phase": "training"})
    state.step += 1
    state.global_step += 1
    state.loss_sum += loss
    pace.losses.append(loss)
    due = state.global_step % config.log_every_steps == 0 or state.step == steps
    now = time.monotonic()
    figures: dict[str, Any] = {"step": state.step, "steps": steps, "loss": loss}
    if due or not np.isfinite(loss):
        if not np.all(np.isfinite(pace.losses)):
            first = state.global_step - len(pace.losses) + 1
            raise TrainingError(
                f"The loss is {loss} between steps {first} and {state.global_step}: lower "
                "training.optimizer.learning_rate or set training.max_gradient_norm."
            )
        figures["scalars"] = {
            "train/loss": float(np.mean(pace.losses)),
            "train/gradient_norm": float(outcome.gradient_norm),
            "train/examples_per_second": len(pace.losses) * config.global_batch_size / max(now - pace.reported, 1e-9),
            "train/wait_share": pace.waited / max(now - pace.started, 1e-9),
            "train/bytes_sent_per_step": float(outcome.bytes_sent),
        }
        pace.losses, pace.reported = [], now
    done = state.step - pace.first_step
    figures["examples_per_second"] = done * config.global_batch_size / max(now - pace.started, 1e-9)
    trainer.report("step", figures)


def _epoch_row(trainer: Trainer, metrics: Mapping[str, float], steps: int) -> dict[str, Any]:
    state, pace = trainer.state, trainer.pace
    seconds = time.monotonic() - pace.started
    training_seconds = max(pace.trained - pace.started, 1e-9)
    examples = (steps - pace.first_step) * trainer.config.global_batch_size
    return {
        "epoch": state.epoch + 1,
        "global_step": state.global_step,
        "steps": steps - pace.first_step,
        "loss": state.loss_sum / steps,
        **metrics,
        "seconds": round(seconds, 3),
        "examples_per_second": round(examples / training_seconds, 1),
        "wait_share": round(pace.waited / training_seconds, 4),
    }
