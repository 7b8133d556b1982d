"""The search space in the form that the YAML file has. Free of Spark, TensorFlow and Optuna."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from seqrec.core.config import load_section, plain
from seqrec.models.config import ModelConfig
from seqrec.training.config import TrainingConfig

SECTIONS: dict[str, type] = {"model": ModelConfig, "training": TrainingConfig}
_ENTRY_KEYS = {"low", "high", "choices", "log", "step", "repeat", "when"}


@dataclass(frozen=True, kw_only=True)
class ParameterConfig:
    """One entry of `tuning.space`."""

    low: float | int | None = None  # Least value; give it with `high`.
    high: float | int | None = None  # Greatest value, included.
    log: bool = False  # Draw the logarithm of the value evenly.
    step: float | int | None = None  # Distance between two values; null: any value (whole ones for a whole number).
    choices: list[Any] | None = None  # Values to choose from; a mapping of keys sets all its keys together.
    repeat: int | None = None  # The key holds a list, with the drawn number so many times.
    when: dict[str, Any] = field(default_factory=dict)  # Draw only if each key has its value here, or one of a list.

    def __post_init__(self) -> None:
        if [] in self.when.values():
            raise ValueError(f"when is {self.when}: give one or more values of each key.")
        if self.choices is not None:
            given = [n for n in ("low", "high", "step", "repeat") if getattr(self, n) is not None] + ["log"] * self.log
            if given:
                raise ValueError(f"choices and {given[0]} exclude each other: keep one.")
            if len(self.choices) < 1 or len({label_of(choice) for choice in self.choices}) < len(self.choices):
                raise ValueError(f"choices is {self.choices}: give one or more different values.")
            return
        if self.low is None or self.high is None:
            raise ValueError("give low and high, or choices.")
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}: swap them.")
        if self.log and self.low <= 0:
            raise ValueError(f"low is {self.low}: a logarithmic range begins above 0.")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other: keep one.")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"step is {self.step}: give more than 0.")
        if self.repeat is not None and self.repeat < 1:
            raise ValueError(f"repeat is {self.repeat}: give at least 1.")


@dataclass(frozen=True)
class Parameter:
    """An entry of the space, with the kind of numbers that its key takes."""

    name: str
    config: ParameterConfig
    is_whole: bool

    def value(self, drawn: Any) -> Any:
        """The value of the key, from the number or the label of a choice that was drawn."""
        if self.config.choices is not None:
            return {label_of(choice): choice for choice in self.config.choices}[drawn]
        return drawn if self.config.repeat is None else [drawn] * self.config.repeat

    @property
    def keys(self) -> list[str]:
        """The keys of the config that the entry sets."""
        return list(dict.fromkeys(key for end in self.ends() for key in assignments({self.name: end})))

    def ends(self) -> list[Any]:
        """Values at the ends of the range, or all choices: if these are possible, so are all others."""
        if self.config.choices is not None:
            return self.config.choices
        return [self.value(end) for end in (self.config.low, self.config.high)]


@dataclass(frozen=True)
class SearchSpace:
    """The entries that are searched, and the settings of everything else."""

    parameters: tuple[Parameter, ...]
    base: dict[str, Any]  # The settings without tuning: {"model": {...}, "training": {...}}.

    def is_open(self, parameter: Parameter, values: Mapping[str, Any]) -> bool:
        """Whether the condition `parameter.when` holds with the values drawn so far."""
        settings = self.settings(values)
        return all(value_at(settings, key) in allowed_values(wanted) for key, wanted in parameter.config.when.items())

    def settings(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The base with `values` (entry of the space -> value) in it."""
        settings = plain(self.base)
        for key, value in assignments(values).items():
            *sections, last = key.split(".")
            place = settings
            for section in sections:
                place = place.setdefault(section, {})
            place[last] = value
        return settings

    def configs(self, values: Mapping[str, Any]) -> tuple[ModelConfig, TrainingConfig]:
        """The settings of one trial.

        Raises:
            ConfigError: the values do not fit together.
        """
        settings = self.settings(values)
        model = load_section(ModelConfig, settings["model"], "model")
        return model, load_section(TrainingConfig, settings["training"], "training")


def flat_space(space: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Entry -> its settings; `--set tuning.space.model.dropout.low=0.1` nests what a YAML file writes with dots."""
    entries: dict[str, Any] = {}
    for key, value in space.items():
        if isinstance(value, dict) and not _ENTRY_KEYS & value.keys() and any(map(_is_mapping, value.values())):
            for name, inner in flat_space(value, f"{prefix}{key}.").items():
                entries[name] = {**entries.get(name, {}), **inner} if _is_mapping(inner) else inner
        else:
            name = f"{prefix}{key}"
            entries[name] = {**entries.get(name, {}), **value} if isinstance(value, dict) else value
    return entries


def label_of(choice: Any) -> str:
    """A choice as text, as trials record it and plots show it."""
    return choice if isinstance(choice, str) else json.dumps(choice)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def allowed_values(wanted: Any) -> list[Any]:
    """The values that a `when` allows for a key: it gives one, or a list of them."""
    return wanted if isinstance(wanted, list) else [wanted]


def assignments(values: Mapping[str, Any]) -> dict[str, Any]:
    """Key -> value. A chosen mapping sets several keys, unless its entry is itself a key."""
    assignments: dict[str, Any] = {}
    for name, value in values.items():
        assignments.update(value if sets_several(value) else {name: value})
    return assignments


def sets_several(value: Any) -> bool:
    """Whether a choice is a mapping of keys, each set to a value of its own."""
    return isinstance(value, dict) and all(key.split(".")[0] in SECTIONS and "." in key for key in value)


def value_at(settings: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key; None if it is not set."""
    place: Any = settings
    for part in key.split("."):
        place = place.get(part) if isinstance(place, Mapping) else None
    return place
