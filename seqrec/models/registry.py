"""Models by name. A new model is one file and one line here."""

import importlib
from typing import TYPE_CHECKING, Any

from seqrec.core.config import load_section
from seqrec.core.errors import ConfigError, did_you_mean
from seqrec.events.vocabulary import Vocabulary
from seqrec.models.config import ModelConfig

if TYPE_CHECKING:
    from seqrec.models.contract import SequenceModel

# Imported only when a model is built, so that reading a config needs no TensorFlow.
MODELS = {
    "a2svd": "seqrec.models.a2svd:A2svd",
    "sli_rec": "seqrec.models.sli_rec:SliRec",
    "gru": "seqrec.models.gru:Gru",
}


def check_name(name: str, key: str = "model.name") -> None:
    """Raises ConfigError, listing the known models, if there is none of this name."""
    if name not in MODELS:
        hint = did_you_mean(name, MODELS)
        raise ConfigError(f"{key}: there is no model '{name}'.{hint} Known models: {', '.join(sorted(MODELS))}.")


def load_options(config: ModelConfig) -> Any:
    """The chosen model's own settings, checked; settings of other models are left alone but must be of known ones."""
    check_name(config.name)
    for name in config.options:
        check_name(name, "model.options")
    values = config.options.get(config.name, {})
    return load_section(options_of(config.name), values, f"model.options.{config.name}")


def check_settings(config: ModelConfig) -> None:
    """What `build_model` would refuse, found without building a model.

    Raises:
        ConfigError: an unknown model, or options of it that are impossible, alone or with the other settings.
    """
    options = load_options(config)
    _model_class(config.name).check_settings(config, options)


def options_of(name: str) -> Any:
    """The dataclass of a model's own settings."""
    return _model_class(name).options_class


def build_model(config: ModelConfig, vocabulary: Vocabulary, seed: int | None) -> "SequenceModel":
    """The model named by `config.name`, its weights drawn from `seed`; None: to be loaded, so none is drawn in vain.

    Raises:
        ConfigError: an unknown model, or an unknown, mistyped or impossible option of it.
    """
    check_settings(config)
    return _model_class(config.name)(config, load_options(config), vocabulary, seed)


def _model_class(name: str) -> Any:
    module, _, attribute = MODELS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
