"""Settings of training. Free of TensorFlow, Petastorm and Horovod."""

from dataclasses import dataclass, field
from typing import Literal

from seqrec.core.config import Value, added, marked, not_in_recipe, speed_only
from seqrec.core.metrics import catalogue_metrics, validation_metrics
from seqrec.core.secrets import refuse_secret
from seqrec.training.objectives.config import LossConfig
from seqrec.training.optimizer_config import OptimizerConfig

NOT_TUNABLE = "not tunable"
AUTO = "auto"


def not_tunable(default: Value, *, is_added: bool = False) -> Value:
    """The default of a key that says how a run begins or is measured: trials that differ in it do not compare.

    Args:
        is_added: whether the key came later; see `added`.
    """
    return marked(default, NOT_TUNABLE, in_recipe=True, is_added=is_added)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The `training` section of a run."""

    run: str | None = not_in_recipe(None)  # Name of the run; null: <name of the data>-<name of the model>.
    # Passes over the train files, fewer if stopped early; raise it to continue a finished run.
    num_epochs: int = not_in_recipe(10)
    global_batch_size: int = 400  # Examples of one update, over all workers; there is no other batch size.
    num_streams: int = 8  # Parts of a batch; negatives and batch norm look across one part. It fixes the order.
    # Processes that train together; must divide num_streams. It changes rounding only, which grows over many steps.
    num_workers: int = speed_only(1)
    files_per_group: int = 4  # Train files of a stream that are read and shuffled together; more take more memory.
    gradient_accumulation: int = 1  # Parts of a batch that are worked on one by one; batch norm looks across one part.
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    warmup_steps: int = 0  # Updates during which the learning rate grows linearly to its full value.
    warmup_epochs: float = added(0.0)  # The same in epochs, such as 1 or 0.5, instead of warmup_steps.
    learning_rate_for_batch_size: int | None = None  # Scale the learning rate by global_batch_size / this; null: no.
    max_gradient_norm: float | None = None  # Upper limit of the norm of all gradients together; null: none.
    # Validate and publish a moving average of the weights, of which each step keeps this share; 0: the weights of the
    # last step. Above 0 each step passes over all tables, so that its cost grows with the catalogue.
    weight_average: float = added(0.0)
    # Validation metric that decides which epoch is best: auc, group_auc, mrr, ndcg@K, hit_rate@K against the stored
    # negatives; catalogue_mrr, catalogue_ndcg@K, catalogue_hit_rate@K against all items but the user's own. auto:
    # catalogue_ndcg@10 for retrieval models, group_auc for ranking models.
    metric: str = not_tunable(AUTO)
    patience: int = 3  # Stop after this many epochs without a better metric; 0: never.
    # Cutoffs K of the metrics shown after each epoch; at most the number of validation negatives.
    metrics_at: tuple[int, ...] = not_tunable((2,))
    # Rows of the validation split that are used after each epoch, from the first on; all if there are fewer.
    max_validation_rows: int = not_tunable(100_000)
    # Rows of these that are ranked against the whole catalogue, if the metric asks for it; they are drawn by the seed.
    # null: all. A ranking model may score up to 5e8 pairs of row and item after an epoch, a retrieval model 1e11.
    validation_sample: int | None = not_tunable(None, is_added=True)
    validation_batch_size: int = speed_only(512)  # Validation rows that are scored at once; no effect on the result.
    resume: Literal["auto", "never"] = speed_only("auto")  # Resume from the newest checkpoint, or start over.
    # Finished run whose weights training starts from, with items matched by id; null: draw the weights.
    start_from: str | None = not_tunable(None)
    dry_run: bool = speed_only(False)  # Only show the plan: steps, examples of streams and workers, memory.
    # How workers start; auto: a single worker in this process, several by Spark, or as processes if they exchange by
    # tensorflow.
    launcher: Literal["auto", "in_process", "spark", "horovodrun", "processes"] = speed_only("auto")
    # What workers exchange gradients by: horovod, or tensorflow's own collectives between processes of this machine
    # (launcher processes). It changes rounding only.
    exchange: Literal["horovod", "tensorflow"] = speed_only("horovod")
    # Compression of dense gradients during the exchange; fp16 clips values to ±8.
    gradient_compression: Literal["none", "fp16"] = "none"
    checkpoint_every_steps: int = speed_only(0)  # Steps between checkpoints within an epoch; 0: none within it.
    keep_last: int = speed_only(2)  # Number of newest checkpoints to keep, beside the best weights.
    # Compile the step by XLA, with fixed shapes: on, off (to YAML true and false), or auto: where there is a
    # GPU. It changes rounding, and the draws of dropout.
    jit: Literal["auto", "on", "off", True, False] = speed_only("auto")
    # Threads that TensorFlow uses in each worker, which change rounding; null: an equal share of the cores.
    num_threads: int | None = speed_only(None)
    # Local folder for copies of remote files and unfinished checkpoints; null: the system's temporary folder.
    scratch: str | None = speed_only(None)
    log_every_steps: int = speed_only(50)  # Steps between two points in TensorBoard and MLflow.
    # MLflow tracking URI, such as file:///tmp/mlruns or databricks; null: do not log to MLflow.
    mlflow: str | None = speed_only(None)
    # Hosts for the launcher horovodrun, such as "a:2,b:2" (by ssh); null: this machine.
    hosts: str | None = speed_only(None)
    start_timeout: int = speed_only(600)  # Seconds to wait until all workers have started.
    hang_timeout: int = speed_only(60)  # Seconds without any progress after which workers count as hung.

    def __post_init__(self) -> None:
        if isinstance(self.jit, bool):
            object.__setattr__(self, "jit", "on" if self.jit else "off")
        least = {
            1: ("num_epochs", "global_batch_size", "num_streams", "num_workers", "files_per_group"),
            0: ("warmup_steps", "warmup_epochs", "patience", "checkpoint_every_steps"),
        }
        least[1] += ("gradient_accumulation", "max_validation_rows", "validation_batch_size", "keep_last")
        least[1] += ("log_every_steps", "start_timeout")
        for bound, names in least.items():
            for name in names:
                if getattr(self, name) < bound:
                    raise ValueError(f"{name} is {getattr(self, name)}: give at least {bound}.")
        for name in ("learning_rate_for_batch_size", "max_gradient_norm", "validation_sample", "num_threads"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} is {value}: give more than 0, or null.")
        if not 0.0 <= self.weight_average < 1.0:
            raise ValueError(f"weight_average is {self.weight_average}: give a share from 0 up to, not including, 1.")
        self._check_learning_rate()
        self.loss.check_batch(self.global_batch_size, self.num_streams, self.gradient_accumulation)
        if self.metric != AUTO:
            check_metric(self.metric)
        if any(k < 1 for k in self.metrics_at):
            raise ValueError(f"metrics_at is {list(self.metrics_at)}: give numbers of at least 1.")
        refuse_secret("mlflow", self.mlflow)
        if self.hang_timeout < 10:
            raise ValueError(f"hang_timeout is {self.hang_timeout}: give at least 10 seconds.")
        if self.num_workers > 1 and self.launcher not in ("auto", "in_process"):
            self._check_exchange()
        if self.launcher == "in_process" and self.num_workers > 1:
            raise ValueError(
                f"launcher is in_process but num_workers is {self.num_workers}: use one worker, or another launcher."
            )

    def _check_exchange(self) -> None:
        fitting = {"horovod": ("spark", "horovodrun"), "tensorflow": ("processes",)}[self.exchange]
        if self.launcher not in fitting:
            raise ValueError(
                f"launcher is {self.launcher} but exchange is {self.exchange}: set launcher to "
                f"{' or '.join(fitting)}, or to auto."
            )

    def _check_learning_rate(self) -> None:
        if self.warmup_steps and self.warmup_epochs:
            raise ValueError(
                f"warmup_steps is {self.warmup_steps} and warmup_epochs is {self.warmup_epochs}: give one of them."
            )
        if self.optimizer.schedule == "plateau" and 0 < self.patience <= self.optimizer.plateau_patience:
            raise ValueError(
                f"patience is {self.patience}, so training ends before optimizer.plateau_patience, "
                f"{self.optimizer.plateau_patience}, has cut the rate: give more patience, or 0 for all epochs."
            )


def check_metric(metric: str) -> None:
    """Refuses a metric that cannot decide which epoch is best.

    Raises:
        ValueError: `metric` is not a validation metric, or less of it is better.
    """
    choices = [each for each in (*validation_metrics(), *catalogue_metrics()) if not each.less_is_better]
    if not any(each.is_name(metric) for each in choices):
        known = ", ".join(each.at_any for each in choices)
        raise ValueError(f"metric is {metric!r}: give one of {known}, with a whole number for K.")
