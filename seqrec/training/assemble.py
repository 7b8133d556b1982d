"""Puts a worker's parts together: devices, model, optimizer, objective, feeds, checkpoints, reports; then trains."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, ParamSpec, TypeVar

import tensorflow as tf

from seqrec.core.manifest import Manifest
from seqrec.core.metrics import CATALOGUE
from seqrec.core.storage import Storage
from seqrec.events.vocabulary import Vocabulary, read_vocabulary
from seqrec.feed.evaluation import EvaluationFeed, RowSample
from seqrec.feed.listed import ListedFeed
from seqrec.feed.runs import RunFeed
from seqrec.feed.streams import TrainingFeed
from seqrec.feed.windows import WindowFeed
from seqrec.models.contract import SequenceModel
from seqrec.models.registry import build_model
from seqrec.scoring.catalogue_ranks import CatalogueRanker
from seqrec.training.checkpoints import Checkpoints
from seqrec.training.checks import TRAIN, VALIDATION, check_memory, check_prepared, layout_of
from seqrec.training.job import TrainingJob, TrainingState
from seqrec.training.learning_rate import plan_learning_rate
from seqrec.training.loop import Trainer, train
from seqrec.training.objectives.objective import Objective
from seqrec.training.objectives.registry import build_objective
from seqrec.training.objectives.target_lists import list_files, list_length
from seqrec.training.optimizers import Adam, WeightAverage, build_optimizer
from seqrec.training.reporting.reporter import Reporter
from seqrec.training.reporting.status import StatusWriter
from seqrec.training.train_step import Batch, StepOutcome, TrainStep
from seqrec.training.validation import CatalogueValidation, Validation
from seqrec.training.warm_start import start_from_run
from seqrec.training.workers.devices import set_up_devices
from seqrec.training.workers.exchange import Workers

P = ParamSpec("P")
Result = TypeVar("Result")
_FEEDS: Mapping[str, Callable[..., TrainingFeed]] = {"windows": WindowFeed, "runs": RunFeed}


def train_run(
    job: TrainingJob,
    workers: Workers,
    writer: StatusWriter,
    after_epoch: Callable[[TrainingState], None] | None = None,
) -> TrainingState:
    """Trains a run as one of its workers; returns the state in which training ends, the same on all of them.

    Args:
        after_epoch: called with the state once an epoch is validated and saved; what it raises ends the training.
    """
    storage, prepared = Storage(job.workdir), job.prepared_manifest()
    check_prepared(prepared, job.model, job.training)
    check_memory(prepared, job.model, job.training)
    set_up_devices(job.training.num_threads, workers)
    workers.connect()
    learner = _build_learner(job, read_vocabulary(storage, prepared))
    checkpoints = Checkpoints(storage, job.attempt_path, job.training.keep_last, job.training.scratch)
    state = _resume_or_start(job, workers, storage, prepared, checkpoints, learner)
    reporter = Reporter(
        job, writer, storage, state, is_first=workers.rank == 0, is_alone=workers.size == 1
    )  # fmt: skip
    if state.global_step:
        reporter.show_line(f"resumes after {state.global_step} steps, at step {state.step} of epoch {state.epoch + 1}")
    feed = _training_feed(job, workers, storage, prepared, learner.objective)
    step = TrainStep(
        learner.model,
        learner.optimizer,
        learner.objective,
        workers,
        job.training,
        job.seed,
        feed.stream_ids,
        learner.average,
    )
    trainer = Trainer(
        config=job.training,
        feed=feed,
        state=state,
        step=_with_step_status(step, writer),
        learning_rate=plan_learning_rate(job.training, lambda epoch: feed.plan(epoch).steps),
        validate=learner.with_average(_validation(job, workers, storage, prepared, learner.model)),
        save=_checked_save(workers, writer, learner.variables, checkpoints.save),
        save_best=learner.with_average(
            _checked_save(workers, writer, learner.model.named_variables(), checkpoints.save_best)
        ),
        reporter=reporter,
        stop_requested=writer.stop_requested.is_set,
        after_epoch=after_epoch or (lambda _: None),
        leaves_unread=step.is_compiled,
    )
    try:
        state = train(trainer)
    except BaseException:
        reporter.close(failed=True)
        raise
    reporter.close()
    return state


@dataclass(frozen=True)
class _Learner:
    """What training changes, and the loss by which it does."""

    model: SequenceModel
    optimizer: Adam
    objective: Objective
    average: WeightAverage | None  # None: the weights of the last step count.

    @property
    def variables(self) -> dict[str, tf.Variable]:
        """Every variable of a checkpoint by name: the model's, the optimizer's, then averages of the model's."""
        slots = {f"optimizer/{name}": variable for name, variable in self.optimizer.named_slots().items()}
        averages = {} if self.average is None else self.average.named_variables()
        return {**self.model.named_variables(), **slots, **averages}

    def with_average(self, function: Callable[P, Result]) -> Callable[P, Result]:
        """The function, called while the model holds the average of its weights, if there is one."""

        def called(*args: P.args, **kwargs: P.kwargs) -> Result:
            with nullcontext() if self.average is None else self.average.in_place():
                return function(*args, **kwargs)

        return called


def _build_learner(job: TrainingJob, vocabulary: Vocabulary) -> _Learner:
    config = job.training
    model = build_model(job.model, vocabulary, job.seed)
    train_count = vocabulary.train_count[: vocabulary.num_trained_items + 1]
    share = config.weight_average
    return _Learner(
        model=model,
        optimizer=build_optimizer(config.optimizer, model.trained_variables),
        objective=build_objective(config.loss, job.model.name, train_count),
        average=WeightAverage(model.named_variables(), share) if share else None,
    )


def _training_feed(
    job: TrainingJob, workers: Workers, storage: Storage, prepared: Manifest, objective: Objective
) -> TrainingFeed:
    more: dict[str, Any] = {"num_runs": job.num_runs} if objective.reads == "runs" else {}
    kind = _FEEDS[objective.reads]
    if job.lists is not None:
        lists = Manifest.from_json(job.lists, "the manifest of the training targets' candidates")
        kind, more = ListedFeed, {"list_files": list_files(lists), "list_length": list_length(lists)}
    return kind(
        storage,
        prepared.table(TRAIN).files,
        layout_of(job.training, job.seed),
        worker_rank=workers.rank,
        max_history_length=job.model.max_history_length,
        scratch=job.training.scratch,
        reader=job.feed.reader,
        **more,
    )


def _validation(
    job: TrainingJob, workers: Workers, storage: Storage, prepared: Manifest, model: SequenceModel
) -> Callable[[], Mapping[str, float]]:
    """A function that measures the model as it stands: against stored negatives, and the catalogue if that decides."""
    config = job.training
    feed = EvaluationFeed(
        storage=storage,
        files=prepared.table(VALIDATION).files,
        batch_size=config.validation_batch_size,
        max_history_length=job.model.max_history_length,
        worker_rank=workers.rank,
        num_workers=workers.size,
        max_rows=config.max_validation_rows,
        scratch=config.scratch,
        reader=job.feed.reader,
    )
    sampled = Validation(model, feed, workers, config.metrics_at, config.metric)
    if not config.metric.startswith(CATALOGUE):
        return sampled.run
    ranker = CatalogueRanker(model, prepared.details["num_items"])
    sample = None if config.validation_sample is None else RowSample(config.validation_sample, job.seed)
    whole = CatalogueValidation(
        ranker, replace(feed, batch_size=ranker.batch_size, sample=sample), workers, config.metric
    )
    return lambda: {**sampled.run(), **whole.run()}


def _resume_or_start(
    job: TrainingJob,
    workers: Workers,
    storage: Storage,
    prepared: Manifest,
    checkpoints: Checkpoints,
    learner: _Learner,
) -> TrainingState:
    """Sets the variables, and returns the state to train on from. Worker 0 reads; the others receive what it has.

    The variables come from the first of these that exists:

    1. the attempt's own newest checkpoint;
    2. the newest checkpoint of the finished run that the attempt resumes;
    3. the weights of another run (`start_from`);
    4. draws that depend on the seed.

    Raises:
        DataError: there are checkpoints to resume from, but none can be read.
    """
    state = None
    if workers.rank == 0:
        state = checkpoints.restore(learner.variables)
        if state is None and job.resume_path is not None:
            other = Checkpoints(storage, job.resume_path, job.training.keep_last, job.training.scratch)
            state = checkpoints.adopt(other, learner.variables)
        if state is None and job.training.start_from:
            start_from_run(storage, job.training.start_from, learner.model, prepared, job.training.scratch)
            if learner.average is not None:
                learner.average.begin()
    values = workers.broadcast(None if state is None else vars(state))
    workers.broadcast_variables(list(learner.variables.values()))
    return TrainingState(**values) if values else TrainingState()


def _with_step_status(step: TrainStep, writer: StatusWriter) -> Callable[[Batch, int, bool, float], StepOutcome]:
    """The step, noted in the status while it runs: a worker that hangs in it waits for another one."""

    def noted(batch: Batch, global_step: int, stop: bool, rate_share: float) -> StepOutcome:
        writer.status.in_step = True
        outcome = step(batch, global_step, stop, rate_share)
        writer.status.in_step = False
        return outcome

    return noted


def _checked_save(
    workers: Workers,
    writer: StatusWriter,
    variables: Mapping[str, tf.Variable],
    save: Callable[[Mapping[str, tf.Variable], TrainingState], None],
) -> Callable[[TrainingState], None]:
    """A function that saves on worker 0, after a check that all workers hold the same variables."""

    def check_and_save(state: TrainingState) -> None:
        phase, writer.status.phase = writer.status.phase, "checkpoint"
        workers.check_equal(variables)
        if workers.rank == 0:
            save(variables, state)
        writer.tick()
        writer.status.phase = phase

    return check_and_save
