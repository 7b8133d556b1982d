"""Settings of training. Free of TensorFlow, Petastorm and Horovod."""

import re
from dataclasses import dataclass, field
from typing import Literal

from seqrec.core.secrets import refuse_secret
from seqrec.training.objectives.config import LossConfig
from seqrec.training.optimizer_config import OptimizerConfig

_METRIC = re.compile(r"auc|group_auc|mrr|(ndcg|hit_rate)@[1-9]\d*")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The `training` section of a run."""

    run: str | None = None  # Name of the run; null: the names of the data and of the model.
    num_epochs: int = 10  # Passes over the train files, fewer if stopped early; raise it to train a finished run on.
    global_batch_size: int = 400  # Examples of an update over all workers: the only batch size there is.
    num_streams: int = 8  # Shares of a batch that negatives, batch norm and dropout look across; fixes the order.
    num_workers: int = 1  # Processes; must divide num_streams. Changes the result by rounding, which grows over steps.
    files_per_group: int = 4  # Train files of a stream that are read and shuffled together; more need more memory.
    gradient_accumulation: int = 1  # Parts of a batch worked on one after the other; batch norm looks across a part.
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    warmup_steps: int = 0  # Updates over which the learning rate grows linearly to its full value.
    learning_rate_for_batch_size: int | None = None  # Scale the learning rate by global_batch_size / this; null: never.
    max_gradient_norm: float | None = None  # Clip the norm of all gradients together; null: never.
    metric: str = "group_auc"  # Validation metric that decides which epoch is best: auc, group_auc, mrr, ndcg@K, ...
    patience: int = 3  # Stop after this many epochs without a better metric; 0: never.
    metrics_at: tuple[int, ...] = (2,)  # The K of ndcg@K and hit_rate@K shown after each epoch; below 1 + negatives.
    max_validation_rows: int = 100_000  # Rows of the validation split used after each epoch; all if there are fewer.
    validation_batch_size: int = 512  # Rows scored at once; no effect on the result.
    resume: Literal["auto", "never"] = "auto"  # Go on from the newest checkpoint, or start over.
    start_from: str | None = None  # A finished run whose weights to start from, items matched by id; null: none.
    dry_run: bool = False  # Only show the plan: steps, targets of streams and workers, memory.
    launcher: Literal["auto", "in_process", "spark", "horovodrun"] = "auto"  # How workers start; auto: one worker
    # runs in this process, several by Spark.
    gradient_compression: Literal["none", "fp16"] = "none"  # Of dense gradients on their way; fp16 cuts them at 8.
    checkpoint_every_steps: int = 0  # Also save within an epoch; 0: at the ends of epochs only.
    keep_last: int = 2  # Newest checkpoints kept, beside the best weights.
    num_threads: int | None = None  # TensorFlow threads of a worker, which change rounding; null: the cores shared out.
    scratch: str | None = None  # Local folder for copies of remote files and half-made checkpoints; null: the system's.
    log_every_steps: int = 50  # Updates between two points in TensorBoard.
    mlflow: str | None = None  # MLflow tracking URI, such as file:///tmp/mlruns or databricks; null: not logged there.
    hosts: str | None = None  # Of launcher horovodrun, such as "a:2,b:2" (by ssh); null: this machine.
    start_timeout: int = 600  # Seconds to wait until all workers have started.
    hang_timeout: int = 60  # Seconds without any progress after which the workers are taken to hang.

    def __post_init__(self) -> None:
        least = {
            1: ("num_epochs", "global_batch_size", "num_streams", "num_workers", "files_per_group"),
            0: ("warmup_steps", "patience", "checkpoint_every_steps"),
        }
        least[1] += ("gradient_accumulation", "max_validation_rows", "validation_batch_size", "keep_last")
        least[1] += ("log_every_steps", "start_timeout")
        for bound, names in least.items():
            for name in names:
                if getattr(self, name) < bound:
                    raise ValueError(f"{name} is {getattr(self, name)}: give at least {bound}.")
        for name in ("learning_rate_for_batch_size", "max_gradient_norm", "num_threads"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} is {value}: give more than 0, or null.")
        least_batch = 2 * self.num_streams * self.gradient_accumulation
        if self.loss.negatives == "in_batch" and self.global_batch_size < least_batch:
            raise ValueError(
                f"global_batch_size is {self.global_batch_size} with num_streams {self.num_streams} and "
                f"gradient_accumulation {self.gradient_accumulation}: a single example in each part of a stream has no "
                f"in_batch negatives. Give a batch of at least {least_batch}, or other negatives."
            )
        check_metric(self.metric)
        if any(k < 1 for k in self.metrics_at):
            raise ValueError(f"metrics_at is {list(self.metrics_at)}: give numbers of at least 1.")
        refuse_secret("mlflow", self.mlflow)
        if self.hang_timeout < 10:
            raise ValueError(f"hang_timeout is {self.hang_timeout}: give at least 10 seconds.")
        if self.launcher == "in_process" and self.num_workers > 1:
            raise ValueError(
                f"launcher is in_process but num_workers is {self.num_workers}: set one of them otherwise."
            )


# Settings that may differ between a checkpoint and the run that goes on from it: they change what is computed by
# rounding at most, as the numbers of workers and threads do; over many steps that grows, even to another best epoch.
FREE_SETTINGS = frozenset(
    {
        "run",
        "num_epochs",
        "num_workers",
        "resume",
        "dry_run",
        "launcher",
        "checkpoint_every_steps",
        "keep_last",
        "num_threads",
        "scratch",
        "validation_batch_size",
        "log_every_steps",
        "mlflow",
        "hosts",
        "start_timeout",
        "hang_timeout",
    }
)


def check_metric(metric: str) -> None:
    """
    Raises:
        ValueError: it is no validation metric.
    """
    if not _METRIC.fullmatch(metric):
        raise ValueError(f"metric is {metric!r}: give auc, group_auc, mrr, ndcg@K or hit_rate@K.")
