"""Puts a worker's parts together: devices, feed, model, optimizer, checkpoints, reports; then calls the loop."""

import os
import uuid
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import tensorflow as tf

from seqrec.core.batch import TrainBatch
from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.events.vocabulary import read_vocabulary
from seqrec.feed.evaluation import EvaluationFeed
from seqrec.feed.windows import WindowFeed
from seqrec.models.contract import SequenceModel
from seqrec.models.registry import build_model
from seqrec.training.checkpoints import Checkpoints
from seqrec.training.checks import check_prepared, layout_of
from seqrec.training.config import TrainingConfig
from seqrec.training.job import TrainingJob, TrainingState
from seqrec.training.loop import Trainer, train
from seqrec.training.objectives.registry import build_objective
from seqrec.training.optimizers import build_optimizer
from seqrec.training.reporting.mlflow import MlflowLog
from seqrec.training.reporting.progress import ProgressBar, epoch_line, history_csv
from seqrec.training.reporting.status import StatusWriter
from seqrec.training.reporting.tensorboard import ScalarLog
from seqrec.training.train_step import StepOutcome, TrainStep
from seqrec.training.validation import Validation
from seqrec.training.warm_start import start_from_run
from seqrec.training.workers.exchange import Workers

TRAIN, VALIDATION = "sequences/train", "sequences/validation"
_MLFLOW_TAG = "mlflow_tag.txt"  # Beside a run's settings: by what its run in MLflow is found again.


def train_run(
    job: TrainingJob,
    workers: Workers,
    writer: StatusWriter,
    after_epoch: Callable[[TrainingState], None] | None = None,
) -> TrainingState:
    """Trains a run as one of its workers; the state it ends in is the same on all.

    Args:
        after_epoch: called with the state once an epoch is validated and saved; what it raises ends the training.
    """
    config, storage, prepared = job.training, Storage(job.workdir), job.prepared_manifest()
    check_prepared(prepared, job.model, config)
    _set_up_devices(config, workers)
    vocabulary = read_vocabulary(storage, prepared)
    model = build_model(job.model, vocabulary, job.seed)
    optimizer = build_optimizer(config.optimizer, model.trained_variables)
    everything = {**model.named_variables(), **{f"optimizer/{n}": v for n, v in optimizer.named_slots().items()}}
    checkpoints = Checkpoints(storage, job.attempt_path, config.keep_last, config.scratch)
    state = _start(job, workers, storage, prepared, checkpoints, model, everything)

    feed = WindowFeed(
        storage,
        prepared.table(TRAIN).files,
        layout_of(config, job.seed),
        worker_rank=workers.rank,
        max_history_length=job.model.max_history_length,
        scratch=config.scratch,
    )
    objective = build_objective(config.loss, job.model.name, vocabulary.train_count[: vocabulary.num_trained_items + 1])
    validation_feed = EvaluationFeed(
        storage=storage,
        files=prepared.table(VALIDATION).files,
        batch_size=config.validation_batch_size,
        max_history_length=job.model.max_history_length,
        worker_rank=workers.rank,
        num_workers=workers.size,
        max_rows=config.max_validation_rows,
        scratch=config.scratch,
    )
    reporter = Reporter(job, workers, writer, storage, state)
    if state.global_step:
        reporter.say(f"going on after {state.global_step} steps, at step {state.step} of epoch {state.epoch + 1}")

    def report(what: str, figures: dict[str, Any]) -> None:
        reporter.report(what, figures)
        if what == "epoch" and after_epoch is not None:
            after_epoch(state)

    trainer = Trainer(
        config=config,
        feed=feed,
        state=state,
        step=_noting_steps(TrainStep(model, optimizer, objective, workers, config, job.seed, feed.stream_ids), writer),
        validate=Validation(model, validation_feed, workers, config.metrics_at, config.metric).run,
        save=_saver(workers, writer, everything, checkpoints.save),
        save_best=_saver(workers, writer, model.named_variables(), checkpoints.save_best),
        report=report,
        stop_requested=writer.stop_requested.is_set,
    )
    try:
        state = train(trainer)
    except BaseException:
        reporter.close(failed=True)
        raise
    reporter.close()
    return state


class Reporter:
    """Tells what happens: every worker its status, worker 0 also TensorBoard, history.csv and (alone) the screen."""

    def __init__(
        self, job: TrainingJob, workers: Workers, writer: StatusWriter, storage: Storage, state: TrainingState
    ):
        self._job = job
        self._writer = writer
        self._storage = storage
        self._state = state
        is_first = workers.rank == 0
        self._log = ScalarLog(storage, f"{job.attempt_path}/logs", job.training.scratch) if is_first else None
        self._mlflow: MlflowLog | None = None
        if is_first and job.training.mlflow:
            run = job.attempt_path.split("/")[-2]
            settings = {"seed": job.seed, "model": asdict(job.model), "training": asdict(job.training)}
            self._mlflow = MlflowLog(job.training.mlflow, run, _mlflow_tag(storage, job.attempt_path), settings)
        # With several workers the driver draws the bar, from worker 0's status.
        self._bar = ProgressBar() if is_first and workers.size == 1 else None

    def report(self, what: str, figures: dict[str, Any]) -> None:
        """Called by the loop: `what` is "phase", "step" or "epoch"."""
        status, state = self._writer.status, self._state
        self._writer.tick()
        if what == "phase":
            status.phase, status.epoch, status.step = figures["phase"], state.epoch, state.step
        elif what == "step":
            status.step, status.steps = figures["step"], figures["steps"]
            status.progress = {"loss": figures["loss"], "examples/s": figures["examples_per_second"]}
            if self._bar is not None:
                self._bar.show(state.epoch, status.step, status.steps, status.progress)
            if "scalars" in figures:
                self._write_scalars(state.global_step, figures["scalars"])
        else:
            self._end_epoch(figures["row"], figures["is_best"])

    def say(self, line: str) -> None:
        """A line on the screen: from here, or from the driver, which reads it in the status."""
        self._writer.status.lines.append(line)
        if self._bar is not None:
            self._bar.close()
            self._bar.write(line)

    def close(self, failed: bool = False) -> None:
        if self._mlflow is not None:
            self._mlflow.close(failed)
        if self._bar is not None:
            self._bar.close()
        if self._log is not None:
            self._log.close()

    def _write_scalars(self, step: int, values: Mapping[str, float]) -> None:
        for log in (self._log, self._mlflow):
            if log is not None:
                log.write(step, values)

    def _end_epoch(self, row: Mapping[str, Any], is_best: bool) -> None:
        self.say(epoch_line(row, self._job.training.num_epochs, is_best))
        if self._log is not None:
            kept = {k: v for k, v in row.items() if k not in ("epoch", "global_step", "steps")}
            self._write_scalars(row["global_step"], {f"epoch/{name}": value for name, value in kept.items()})
            self._log.publish()
            self._storage.write_bytes(f"{self._job.attempt_path}/history.csv", history_csv(self._state.history))


def _mlflow_tag(storage: Storage, attempt_path: str) -> str:
    """Drawn once for an attempt; its id would not do, as runs with equal settings have the same."""
    path = f"{attempt_path}/{_MLFLOW_TAG}"
    if not storage.exists(path):
        storage.write_bytes(path, uuid.uuid4().hex.encode())
    return storage.read_bytes(path).decode()


def _start(
    job: TrainingJob,
    workers: Workers,
    storage: Storage,
    prepared: Manifest,
    checkpoints: Checkpoints,
    model: SequenceModel,
    everything: Mapping[str, tf.Variable],
) -> TrainingState:
    """Sets the variables and says where to go on. Worker 0 reads, the others are told.

    1. The attempt's own newest checkpoint. 2. That of the finished run it goes on from. 3. Another run's weights
    (`start_from`). 4. Weights drawn from the seed.

    Raises:
        DataError: there are checkpoints to go on from, but none can be read.
    """
    state = None
    if workers.rank == 0:
        state = checkpoints.restore(everything)
        if state is None and job.resume_path is not None:
            other = Checkpoints(storage, job.resume_path, job.training.keep_last, job.training.scratch)
            state = checkpoints.adopt(other, everything)
        if state is None and job.training.start_from:
            start_from_run(storage, job.training.start_from, model, prepared, job.training.scratch)
    values = workers.broadcast(None if state is None else vars(state))
    workers.broadcast_variables(list(everything.values()))
    return TrainingState(**values) if values else TrainingState()


def _noting_steps(step: TrainStep, writer: StatusWriter) -> Callable[[TrainBatch, int, bool], StepOutcome]:
    """The step, with a note in the status while inside: who hangs there waits for another."""

    def noted(batch: TrainBatch, global_step: int, stop: bool) -> StepOutcome:
        writer.status.in_step = True
        outcome = step(batch, global_step, stop)
        writer.status.in_step = False
        return outcome

    return noted


def _saver(
    workers: Workers,
    writer: StatusWriter,
    variables: Mapping[str, tf.Variable],
    save: Callable[[Mapping[str, tf.Variable], TrainingState], None],
) -> Callable[[TrainingState], None]:
    """Saves on worker 0, after a check that all workers hold the same."""

    def check_and_save(state: TrainingState) -> None:
        phase, writer.status.phase = writer.status.phase, "checkpoint"
        workers.check_equal(variables)
        if workers.rank == 0:
            save(variables, state)
        writer.tick()
        writer.status.phase = phase

    return check_and_save


def _set_up_devices(config: TrainingConfig, workers: Workers) -> None:
    """One GPU for each worker of a machine where there are GPUs; a single inter-op thread.

    With more inter-op threads the order of additions, and so the last bits, would differ from run to run.
    """
    gpus = tf.config.list_physical_devices("GPU")
    threads = config.num_threads or max(1, (os.cpu_count() or 1) // workers.local_size)
    try:
        if gpus:
            tf.config.set_visible_devices(gpus[workers.local_rank % len(gpus)], "GPU")
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError:
        # TensorFlow runs already in this process (another stage before this one): its threads cannot change any more.
        inter_op = tf.config.threading.get_inter_op_parallelism_threads() or os.environ.get("TF_NUM_INTEROP_THREADS")
        if str(inter_op) != "1":
            warnings.warn(
                "TensorFlow was started before training with several inter-op threads: the result may differ in the "
                "last bits from run to run.",
                stacklevel=2,
            )
