"""What is checked before a run begins, and how its settings and data are compared with those of an earlier one."""

from dataclasses import replace
from functools import partial
from typing import Any

from seqrec.core.errors import ConfigError, DataError, check_all
from seqrec.core.machine import usable_memory
from seqrec.core.manifest import Manifest, digest_of
from seqrec.core.metrics import CATALOGUE, cutoff_of
from seqrec.feed.layout import Layout
from seqrec.models.config import ModelConfig
from seqrec.models.registry import family_of
from seqrec.training.config import AUTO, TrainingConfig
from seqrec.training.objectives.registry import memory_of, objective_name

TRAIN, VALIDATION = "sequences/train", "sequences/validation"  # Tables of the prepared data that training reads.
_METRICS = {"ranking": "group_auc", "retrieval": "catalogue_ndcg@10"}  # What `auto` means, by the model's family.
# Pairs of row and item that may be scored after an epoch. On one core A2SVD scores 2.4 million a second and SLi-Rec a
# quarter of a million, and a product of vectors 130 million: the most are 4, 36 and 13 minutes.
_MOST_PAIRS = {"ranking": 5 * 10**8, "retrieval": 10**11}
TRAIN_FILES = "train_files"  # Input of a recipe: how the training data is cut into files.


def with_metric(training: TrainingConfig, model: ModelConfig) -> TrainingConfig:
    """The settings with the name of a metric in place of `auto`.

    Raises:
        ConfigError: there is no such model.
    """
    return replace(training, metric=_METRICS[family_of(model.name)]) if training.metric == AUTO else training


def check_prepared(prepared: Manifest, model: ModelConfig, training: TrainingConfig) -> None:
    """Refuses data that cannot give what the settings ask for, which would show after an epoch only, or never.

    Raises:
        ConfigError: the model is to read longer histories than are stored, or a metric counts every candidate.
        DataError: there are no validation rows.
    """
    check_all(
        partial(_check_rows, prepared),
        partial(_check_history, prepared, model),
        partial(
            check_cutoffs, prepared.details["num_negatives"]["validation"], prepared.details["num_items"], training
        ),
        partial(_check_catalogue, prepared, model, training),
    )


def _check_rows(prepared: Manifest) -> None:
    if not prepared.table(VALIDATION).rows:
        raise DataError(
            f"prepared '{prepared.name}': sequences/validation has no rows, so no epoch can be chosen as the best. "
            "Move preparation.validation_boundary or test_boundary, or loosen its filters, and prepare the data again."
        )


def _check_history(prepared: Manifest, model: ModelConfig) -> None:
    stored = prepared.details["max_stored_history"]
    if model.max_history_length > stored:
        raise ConfigError(
            f"model.max_history_length={model.max_history_length} but prepared '{prepared.name}' stores {stored} "
            f"events before a target: set model.max_history_length={stored}, or prepare with "
            f"preparation.max_stored_history={model.max_history_length}."
        )


def check_cutoffs(num_negatives: int, num_items: int, training: TrainingConfig) -> None:
    """Refuses cutoffs at which every candidate would count.

    Args:
        num_negatives: negatives of each validation target.

    Raises:
        ConfigError: the metric, or one that is shown, has such a cutoff.
    """
    metric, cutoff = training.metric, cutoff_of(training.metric) or 0
    faults = []
    most_shown = max(training.metrics_at, default=0)
    if most_shown > num_negatives:
        kept = [k for k in training.metrics_at if k <= num_negatives]
        faults.append(
            f"training.metrics_at: hit_rate@{most_shown} of the target and {num_negatives} validation negatives is "
            f"always 1: set training.metrics_at={kept}, or prepare with "
            f"preparation.num_validation_negatives={most_shown}."
        )
    if metric.startswith("hit_rate@") and cutoff > num_negatives:
        faults.append(
            f"training.metric: {metric} of the target and {num_negatives} validation negatives is always 1: set "
            f"training.metric=hit_rate@{num_negatives}, or prepare with preparation.num_validation_negatives={cutoff}."
        )
    if metric.startswith(CATALOGUE) and cutoff >= num_items:
        name = metric.partition("@")[0]
        faults.append(
            f"training.metric: {metric} among the {num_items} items leaves no item out: set "
            f"training.metric={name}@{max(1, num_items - 1)}."
        )
    if faults:
        raise ConfigError(" ".join(faults))


def _check_catalogue(prepared: Manifest, model: ModelConfig, training: TrainingConfig) -> None:
    if not training.metric.startswith(CATALOGUE):
        return
    num_items = prepared.details["num_items"]
    num_rows = min(prepared.table(VALIDATION).rows, training.max_validation_rows)
    num_rows = min(num_rows, training.validation_sample or num_rows)
    most = _MOST_PAIRS[family_of(model.name)]
    if num_rows * num_items > most:
        raise ConfigError(
            f"training.metric={training.metric} would rank {num_rows:,} validation rows among {num_items:,} items "
            f"after each epoch, more than the {most:,} pairs that {model.name} may score there: set "
            f"training.validation_sample={max(1, most // num_items)}, or less."
        )


def check_memory(prepared: Manifest, model: ModelConfig, training: TrainingConfig) -> str | None:
    """A line about the memory that the loss needs in each worker; None where it is little.

    Raises:
        ConfigError: it is more than this machine has. Where the worker runs elsewhere it is the worker that checks.
    """
    num_items = prepared.details["num_trained_items"]
    needed = memory_of(training.loss, model, num_items)
    if not needed:
        return None
    available = usable_memory()
    name = objective_name(training.loss, model.name)
    if needed > available:
        raise ConfigError(
            f"The loss {name} needs about {needed / 1e9:,.1f} GB for {num_items:,} items, and this machine has "
            f"{available / 1e9:,.1f} GB: set training.loss.name=shared_softmax, or a smaller model.item_dim."
        )
    return f"loss: {name} over {num_items:,} items, about {needed / 1e6:,.0f} MB a worker"


def layout_of(config: TrainingConfig, seed: int) -> Layout:
    """The settings that decide how an epoch is cut into batches."""
    return Layout(
        seed=seed,
        num_streams=config.num_streams,
        global_batch_size=config.global_batch_size,
        files_per_group=config.files_per_group,
        num_parts=config.gradient_accumulation,
        num_workers=config.num_workers,
    )


def choose_launcher(training: TrainingConfig) -> str:
    """The launcher to use: the one that is set, or for `auto` the one that fits the number of workers."""
    if training.launcher != "auto":
        return training.launcher
    if training.num_workers == 1:
        return "in_process"
    return "spark" if training.exchange == "horovod" else "processes"


def train_files_digest(prepared: Manifest) -> str:
    """Digest of how the training data is cut into files.

    The order of examples depends on it, and the data's content does not show it: it is the same for the same rows in
    other files.
    """
    return digest_of([(file.rows, file.targets) for file in prepared.table(TRAIN).files])


def differences(before: Any, now: Any, path: str = "") -> list[str]:
    """Every place where two nests of settings and inputs differ, such as "training.num_streams was 8, now 4"."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted({*before, *now})
        inner = [differences(before.get(k), now.get(k), f"{path}.{k}" if path else str(k)) for k in keys]
        return [difference for part in inner for difference in part]
    if before == now:
        return []
    if path == f"inputs.{TRAIN_FILES}":
        return ["the training data was cut into other files (preparation.num_streams_max and the like)"]
    if path.startswith("inputs."):
        return [f"the content of {path.removeprefix('inputs.')} was {before}, now {now}"]
    return [f"{path.removeprefix('settings.')} was {before}, now {now}"]
