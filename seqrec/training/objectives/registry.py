"""Objectives by name. A new objective is one file and one line here."""

import dataclasses
import importlib
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from seqrec.core.config import load_section
from seqrec.core.errors import ConfigError, did_you_mean
from seqrec.models.config import ModelConfig
from seqrec.models.registry import family_of
from seqrec.training.objectives.config import LossConfig

if TYPE_CHECKING:
    from seqrec.training.objectives.objective import Objective

# Name of an objective -> its class. A class is imported when it is needed: reading a config needs no TensorFlow.
OBJECTIVES = {
    "sampled_softmax": "seqrec.training.objectives.sampled_softmax:SampledSoftmax",
    "full_softmax": "seqrec.training.objectives.full_softmax:FullSoftmax",
    "shared_softmax": "seqrec.training.objectives.shared_softmax:SharedSoftmax",
    "bce": "seqrec.training.objectives.bce:Bce",
}
_DEFAULTS = {"ranking": "sampled_softmax", "retrieval": "full_softmax"}  # By the model's family.


def objective_name(loss: LossConfig, model: str) -> str:
    """The objective that a model is trained with: `training.loss.name`, or the default of the model's family."""
    return loss.name or _DEFAULTS[family_of(model)]


def check_objective(loss: LossConfig, model: str, jit: str | bool = "auto") -> None:
    """Refuses what `build_objective` would refuse, without building anything.

    Args:
        jit: `training.jit`.

    Raises:
        ConfigError: an unknown objective, one that the model cannot be trained with, impossible options of it, a
            shared setting that has no effect on it, or a compiled step for one that cannot be compiled.
    """
    name = objective_name(loss, model)
    options = load_options(loss, model)
    chosen = _class_of(name)
    if chosen.reads == "runs" and family_of(model) != "retrieval":
        fitting = " or ".join(other for other in sorted(OBJECTIVES) if _class_of(other).reads == "windows")
        raise ConfigError(
            f"training.loss.name={name} is for retrieval models, but '{model}' is a ranking model: use {fitting}."
        )
    for field in dataclasses.fields(LossConfig):
        is_shared = field.name not in ("name", "options")
        if is_shared and field.name not in chosen.shared_settings and getattr(loss, field.name) != field.default:
            raise ConfigError(f"training.loss.{field.name} has no effect on the objective '{name}': leave it out.")
    chosen.check_settings(loss, options)
    if jit == "on" and not chosen.can_fix_shapes(options):
        raise ConfigError(
            f"training.jit=on needs fixed shapes, and the loss '{name}' with these options has none: use full_softmax, "
            "or shared_softmax without in_batch_share, or set training.jit=off."
        )


def load_options(loss: LossConfig, model: str) -> Any:
    """The chosen objective's own settings, checked; those of others are not, but must be of known objectives."""
    name = objective_name(loss, model)
    _check_name(name, "training.loss.name")
    for other in loss.options or {}:
        _check_name(other, "training.loss.options")
    return load_section(options_of(name), (loss.options or {}).get(name, {}), f"training.loss.options.{name}")


def options_of(name: str) -> Any:
    """The dataclass of an objective's own settings."""
    return _class_of(name).options_class


def reads_of(loss: LossConfig, model: str) -> Literal["windows", "runs"]:
    """The kind of batches that a model is trained on."""
    return _class_of(objective_name(loss, model)).reads


def memory_of(loss: LossConfig, model: ModelConfig, num_items: int) -> int:
    """Bytes that the loss needs in each worker besides the model, where that may be much; else 0.

    Args:
        num_items: trained items.
    """
    options = load_options(loss, model.name)
    return _class_of(objective_name(loss, model.name)).memory(options, num_items, model.event_dim)


def build_objective(loss: LossConfig, model: str, train_count: np.ndarray) -> "Objective":
    """The objective to train a model with.

    Args:
        model: name of the model.
        train_count: int64 [num_trained_items + 1], training events of each item index; [0] is padding's, 0.

    Raises:
        ConfigError: as `check_objective`.
    """
    check_objective(loss, model)
    return _class_of(objective_name(loss, model))(loss, load_options(loss, model), train_count)


def _check_name(name: str, key: str) -> None:
    if name not in OBJECTIVES:
        known = ", ".join(sorted(OBJECTIVES))
        hint = did_you_mean(name, OBJECTIVES)
        raise ConfigError(f"{key}: there is no objective '{name}'.{hint} Known objectives: {known}.")


def _class_of(name: str) -> Any:
    module, _, attribute = OBJECTIVES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
