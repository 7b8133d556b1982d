"""Checks of a search space, before the first trial: what can be wrong with it must not be found after hours."""

import dataclasses
import difflib
import itertools
import json
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from seqrec.core.errors import ConfigError
from seqrec.models.config import ModelConfig
from seqrec.models.registry import load_options
from seqrec.training.config import FREE_SETTINGS, TrainingConfig
from seqrec.tuning.search_space import (
    SECTIONS,
    Parameter,
    ParameterConfig,
    SearchSpace,
    allowed_values,
    assignments,
    sets_several,
)

# Settings of what a trial is measured by: trials that differ in them would not compare.
_MEASURING = {"metric", "metrics_at", "max_validation_rows", "start_from"}
_MAX_COMBINATIONS = 200  # Of other draws, tried for one that a value goes with.


def build_space(
    parameters: Mapping[str, ParameterConfig], model: ModelConfig, training: TrainingConfig, where: str = "tuning.space"
) -> SearchSpace:
    """Checks every entry against the settings it is about.

    Raises:
        ConfigError: a key does not exist, does not change the result, or cannot take a value of its range.
    """
    base = json.loads(json.dumps({"model": dataclasses.asdict(model), "training": dataclasses.asdict(training)}))
    built = tuple(_parameter(name, config, f"{where}.{name}") for name, config in parameters.items())
    space = SearchSpace(built, base)
    for position, parameter in enumerate(built):
        place = f"{where}.{parameter.name}"
        for earlier in built[:position]:
            shared = [key for key in parameter.keys if key in earlier.keys]
            if shared and not _exclude_each_other(parameter, earlier):
                raise ConfigError(f"{place}: '{shared[0]}' is drawn by the entry '{earlier.name}' already: keep one.")
        for key, wanted in parameter.config.when.items():
            _check_key(key, f"{place}.when")
            later = [other.name for other in built[position:] if key in other.keys]
            if later:
                raise ConfigError(f"{place}.when: '{key}' is drawn later: put the entry '{later[0]}' before this one.")
            for value in allowed_values(wanted):
                _check_value(space, parameter, {key: value}, f"{place}.when")
        for end in parameter.ends():
            _check_value(space, parameter, {parameter.name: end}, place)
    return space


def _exclude_each_other(one: Parameter, other: Parameter) -> bool:
    """Whether the conditions of two entries can never hold in one trial."""
    shared = one.config.when.keys() & other.config.when.keys()
    return any(
        not any(value in allowed_values(other.config.when[key]) for value in allowed_values(one.config.when[key]))
        for key in shared
    )


def _parameter(name: str, config: ParameterConfig, where: str) -> Parameter:
    if config.choices is not None and all(sets_several(choice) for choice in config.choices):
        for choice in config.choices:
            for key in choice:
                _check_key(key, where)
        return Parameter(name, config, False)
    kind = _check_key(name, where)
    if config.choices is not None:
        return Parameter(name, config, False)
    kinds = _kinds_in(kind)
    bounds = [bound for bound in (config.low, config.high, config.step) if bound is not None]
    whole = all(isinstance(bound, int) for bound in bounds) and float not in kinds
    if not whole and int in kinds and float not in kinds:
        raise ConfigError(f"{where}: takes whole numbers, got {bounds}. Write them without a decimal point.")
    if kinds and not {int, float} & kinds:
        raise ConfigError(f"{where}: takes no numbers: give choices instead of low and high.")
    return Parameter(name, config, whole)


def _check_key(key: str, where: str) -> Any:
    """The type of a key's value (Any for a model's own options); ConfigError if it cannot be tuned."""
    section, *path = key.split(".")
    if section not in SECTIONS or not path:
        raise ConfigError(
            f"{where}: '{key}' cannot be tuned: name a key of model or training, such as model.dropout. Other sections "
            "change the data, and then the validation metrics of two trials do not compare."
        )
    if section == "training" and path[0] in FREE_SETTINGS | _MEASURING:
        raise ConfigError(f"{where}: '{key}' cannot be tuned: it does not change what is learned, or what measures it.")
    kind: Any = SECTIONS[section]
    for depth, part in enumerate(path):
        if not dataclasses.is_dataclass(kind):
            return Any if typing.get_origin(kind) is dict else _unknown(where, key, [])
        hints = typing.get_type_hints(kind)
        if part not in hints:
            return _unknown(where, key, [".".join([section, *path[:depth], name]) for name in hints])
        kind = hints[part]
    if dataclasses.is_dataclass(kind):
        raise ConfigError(f"{where}: '{key}' is a section: name one of its keys.")
    return kind


def _unknown(where: str, key: str, known: list[str]) -> Any:
    close = difflib.get_close_matches(key, known, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else f" Known keys: {', '.join(sorted(known))}." if known else ""
    raise ConfigError(f"{where}: unknown key '{key}'.{hint}")


def _kinds_in(kind: Any) -> set[Any]:
    """The plain types inside a union or a tuple; empty if anything goes."""
    if kind is Any:
        return set()
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) in (typing.Union, tuple):
        return set().union(*(_kinds_in(part) for part in typing.get_args(kind) if part not in (type(None), ...)))
    return {kind}


def _check_value(space: SearchSpace, parameter: Parameter, values: Mapping[str, Any], where: str) -> None:
    """Refuses a value that is impossible with the base and with every combination of what else is drawn."""
    first_error = None
    for others in _combinations(space, parameter):
        try:
            _check_together(space, {**others, **values})
            return
        except ConfigError as error:
            first_error = first_error or error
    shown = next(iter(values.values()))
    raise ConfigError(f"{where}: {shown!r} is not possible: {first_error}")


def _combinations(space: SearchSpace, parameter: Parameter) -> Iterator[dict[str, Any]]:
    """Nothing else drawn, then ends and choices of the other entries."""
    yield {}
    others = [other for other in space.parameters if other is not parameter]
    for ends in itertools.islice(itertools.product(*(other.ends() for other in others)), _MAX_COMBINATIONS):
        yield {other.name: end for other, end in zip(others, ends, strict=True)}


def _check_together(space: SearchSpace, values: Mapping[str, Any]) -> None:
    model, _ = space.configs(values)
    models = {model.name} | {key.split(".")[2] for key in assignments(values) if key.startswith("model.options.")}
    if any(key.startswith(("model.options.", "model.name")) for key in assignments(values)):
        for name in models:
            load_options(dataclasses.replace(model, name=name))
