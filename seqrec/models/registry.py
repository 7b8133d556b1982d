"""Models by name and family. A new model is one file and one line here."""

import importlib
from typing import TYPE_CHECKING, Any, Literal

from seqrec.core.config import load_section
from seqrec.core.errors import ConfigError, did_you_mean
from seqrec.events.vocabulary import Vocabulary
from seqrec.models.config import ModelConfig

if TYPE_CHECKING:
    from seqrec.models.contract import SequenceModel

# Name of a model -> its class. A class is imported when it is needed, so that reading a config needs no TensorFlow.
RANKING_MODELS = {
    "a2svd": "seqrec.models.a2svd:A2svd",
    "sli_rec": "seqrec.models.sli_rec:SliRec",
    "gru": "seqrec.models.gru:Gru",
}
RETRIEVAL_MODELS = {
    "sasrec": "seqrec.models.sasrec:Sasrec",
    "gru4rec": "seqrec.models.gru4rec:Gru4rec",
}
MODELS = {**RANKING_MODELS, **RETRIEVAL_MODELS}


def check_name(name: str, key: str = "model.name") -> None:
    """Raises ConfigError, listing the known models, if there is none of this name."""
    if name not in MODELS:
        hint = did_you_mean(name, MODELS)
        raise ConfigError(f"{key}: there is no model '{name}'.{hint} Known models: {', '.join(sorted(MODELS))}.")


def family_of(name: str) -> Literal["ranking", "retrieval"]:
    """The family of a model: `contract.py` explains the two.

    Raises:
        ConfigError: there is no model of this name.
    """
    check_name(name)
    return "ranking" if name in RANKING_MODELS else "retrieval"


def load_options(config: ModelConfig) -> Any:
    """The chosen model's own settings, checked.

    Settings of other models are not checked, so that one config serves several models; but their names must be known.

    Raises:
        ConfigError: an unknown model, or an unknown or mistyped key of the chosen one.
    """
    check_name(config.name)
    for name in config.options:
        check_name(name, "model.options")
    values = config.options.get(config.name, {})
    return load_section(options_of(config.name), values, f"model.options.{config.name}")


def check_settings(config: ModelConfig) -> None:
    """Refuses what `build_model` would refuse, without building a model.

    Raises:
        ConfigError: an unknown model, or options of it that are impossible, alone or with the other settings.
    """
    options = load_options(config)
    _model_class(config.name).check_settings(config, options)


def options_of(name: str) -> Any:
    """The dataclass of a model's own settings."""
    return _model_class(name).options_class


def build_model(config: ModelConfig, vocabulary: Vocabulary, seed: int | None) -> "SequenceModel":
    """The model named by `config.name`.

    Args:
        seed: the initial weights are drawn from it. None leaves tables at zero, for weights that are loaded next.

    Raises:
        ConfigError: an unknown model, or an unknown, mistyped or impossible option of it.
    """
    check_settings(config)
    return _model_class(config.name)(config, load_options(config), vocabulary, seed)


def _model_class(name: str) -> Any:
    module, _, attribute = MODELS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
