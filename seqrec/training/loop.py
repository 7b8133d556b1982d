"""Read `train` first: the rest is what it calls.

Every worker runs the same loop over the same number of steps, decided before it begins; a worker that ended early
would leave the others waiting. Everything that exchanges something between workers stands outside every
`if rank == 0`.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seqrec.core.errors import TrainingError
from seqrec.feed.prefetching import prefetched
from seqrec.feed.streams import TrainingFeed
from seqrec.training.config import TrainingConfig
from seqrec.training.job import TrainingState
from seqrec.training.learning_rate import LearningRate
from seqrec.training.reporting.reporter import Reporter, StepReport
from seqrec.training.train_step import Batch, StepOutcome

_BATCHES_AHEAD = 4
_UNREAD_STEPS = 10  # Steps whose outcomes may lie on a device unread, as reading waits for the device.


@dataclass
class Trainer:
    """Everything that the loop works with. The functions may exchange things between workers: all call them alike."""

    config: TrainingConfig
    feed: TrainingFeed
    state: TrainingState
    # (batch, global step, whether a stop is requested, share of the full learning rate)
    step: Callable[[Batch, int, bool, float], StepOutcome]
    learning_rate: LearningRate
    validate: Callable[[], Mapping[str, float]]
    save: Callable[[TrainingState], None]
    save_best: Callable[[TrainingState], None]
    reporter: Reporter
    stop_requested: Callable[[], bool]
    after_epoch: Callable[[TrainingState], None]  # Called once an epoch is validated and saved.
    leaves_unread: bool = False  # Whether outcomes may stay on a device for a few steps.
    pace: "Pace" = field(default_factory=lambda: Pace())


def train(trainer: Trainer) -> TrainingState:
    """Trains from where `trainer.state` stands to the last epoch, an early stop, or a request to stop."""
    state, config = trainer.state, trainer.config
    while not state.is_complete(config.num_epochs):
        plan = trainer.feed.plan(state.epoch)
        for batch in _timed_batches(trainer):
            outcome = trainer.step(batch, state.global_step, trainer.stop_requested(), _rate_share(trainer))
            stops = _end_step(trainer, outcome, plan.steps)
            if stops or _is_saved(trainer):
                trainer.save(state)
            if stops:
                return state
        trainer.pace.trained = time.monotonic()
        trainer.reporter.phase("validation")
        metrics = trainer.validate()
        row = _epoch_row(trainer, metrics, plan.steps)
        is_best = state.end_epoch(row, metrics[config.metric], config.patience)
        if is_best:
            trainer.save_best(state)
        trainer.save(state)
        trainer.reporter.epoch(row, is_best)
        trainer.after_epoch(state)
    return state


@dataclass
class Pace:
    """Times of the current epoch in this process, and the losses since they were last logged."""

    is_traced: bool = False  # True once this process has done a step; the first one is slow.
    started: float = field(default_factory=time.monotonic)  # When this process began the epoch, or resumed it.
    trained: float = 0.0  # When the last step was done.
    first_step: int = 0  # The step of the epoch that this process began with.
    waited: float = 0.0  # Seconds that the loop has waited for data.
    logged: float = field(default_factory=time.monotonic)  # When losses were last logged.
    losses: list[float] = field(default_factory=list)  # Losses of the steps since then.
    unread: list[StepOutcome] = field(default_factory=list)  # Outcomes of the last steps that were not read yet.

    def examples_per_second(self, step: int, batch_size: int) -> float:
        """Mean over the steps of this epoch that this process has done, up to `step`."""
        return (step - self.first_step) * batch_size / max(time.monotonic() - self.started, 1e-9)


def _timed_batches(trainer: Trainer) -> Iterator[Batch]:
    """The rest of the epoch's batches; adds up the time that the loop waits for them."""
    state = trainer.state
    pace = trainer.pace = Pace(first_step=state.step, is_traced=trainer.pace.is_traced)
    trainer.reporter.phase("training" if pace.is_traced else "first step")
    batches = prefetched(trainer.feed.batches(state.epoch, state.step), _BATCHES_AHEAD)
    try:
        while True:
            began = time.monotonic()
            batch = next(batches, None)
            pace.waited += time.monotonic() - began
            if batch is None:
                return
            yield batch
    finally:
        batches.close()


def _rate_share(trainer: Trainer) -> float:
    """The share of the full learning rate that the next step takes."""
    metric = trainer.config.metric
    return trainer.learning_rate.share(trainer.state.global_step, [row[metric] for row in trainer.state.history])


def _end_step(trainer: Trainer, outcome: StepOutcome, steps: int) -> bool:
    """Advances the state by a step and reads its outcome, or leaves that for a later step.

    Every worker reads after the same steps, so that all stop together.

    Returns: whether a worker was asked to stop.
    Raises:
        TrainingError: a loss since the last log is not a finite number; seen when losses are logged, or at once.
    """
    state, pace = trainer.state, trainer.pace
    pace.unread.append(outcome)
    state.step += 1
    state.global_step += 1
    is_due = not trainer.leaves_unread or len(pace.unread) == _UNREAD_STEPS or not pace.is_traced
    if is_due or _is_saved(trainer) or _is_logged(trainer, steps):
        return _read_outcomes(trainer, steps)
    return False


def _is_saved(trainer: Trainer) -> bool:
    every = trainer.config.checkpoint_every_steps
    return every > 0 and trainer.state.global_step % every == 0


def _is_logged(trainer: Trainer, steps: int) -> bool:
    state = trainer.state
    return state.global_step % trainer.config.log_every_steps == 0 or state.step == steps


def _read_outcomes(trainer: Trainer, steps: int) -> bool:
    """Waits for the steps done so far, and reports them; returns whether a worker was asked to stop."""
    state, pace, config = trainer.state, trainer.pace, trainer.config
    unread, pace.unread = pace.unread, []
    losses = [float(outcome.loss) for outcome in unread]
    if not pace.is_traced:
        pace.is_traced = True
        trainer.reporter.phase("training")
    for loss in losses:  # One by one: the sum does not depend on how many are read together.
        state.loss_sum += loss
    pace.losses += losses
    is_logged = _is_logged(trainer, steps)
    if is_logged or not np.all(np.isfinite(losses)):
        _check_losses(trainer)
    trainer.reporter.step(
        StepReport(
            step=state.step,
            steps=steps,
            loss=losses[-1],
            examples_per_second=pace.examples_per_second(state.step, config.global_batch_size),
            scalars=_scalars(trainer, unread[-1]) if is_logged else None,
        )
    )
    return any(float(outcome.stop) > 0.0 for outcome in unread)


def _check_losses(trainer: Trainer) -> None:
    state, losses = trainer.state, trainer.pace.losses
    if not np.all(np.isfinite(losses)):
        first = state.global_step - len(losses) + 1
        raise TrainingError(
            f"The loss is {losses[-1]} between steps {first} and {state.global_step}: lower "
            "training.optimizer.learning_rate or set training.max_gradient_norm."
        )


def _scalars(trainer: Trainer, outcome: StepOutcome) -> dict[str, float]:
    """Figures for the logs over the steps since the last call."""
    pace, batch_size = trainer.pace, trainer.config.global_batch_size
    now = time.monotonic()
    scalars = {
        "train/loss": float(np.mean(pace.losses)),
        "train/gradient_norm": float(outcome.gradient_norm),
        "train/learning_rate": float(outcome.learning_rate),
        "train/examples_per_second": len(pace.losses) * batch_size / max(now - pace.logged, 1e-9),
        "train/wait_share": pace.waited / max(now - pace.started, 1e-9),
        "train/bytes_sent_per_step": float(outcome.bytes_sent),
    }
    pace.losses, pace.logged = [], now
    return scalars


def _epoch_row(trainer: Trainer, metrics: Mapping[str, float], steps: int) -> dict[str, Any]:
    """The finished epoch's line of the history."""
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
