"""Checks a search space before the first trial, so that a mistake in it is not found only after hours."""

import dataclasses
import itertools
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from seqrec.core.config import keys_marked, known_keys, plain, recipe_keys
from seqrec.core.errors import ConfigError, did_you_mean
from seqrec.models.config import ModelConfig
from seqrec.models.registry import check_settings, load_options
from seqrec.training.config import NOT_TUNABLE, TrainingConfig
from seqrec.tuning.search_space import (
    SECTIONS,
    Parameter,
    ParameterConfig,
    SearchSpace,
    allowed_values,
    assignments,
    sets_several,
    value_at,
)

# Keys that do not change what is learned, and keys by which trials would not compare.
_NOT_TUNABLE = {field.name for field in dataclasses.fields(TrainingConfig)} - set(recipe_keys(TrainingConfig))
_NOT_TUNABLE |= set(keys_marked(TrainingConfig, NOT_TUNABLE))
_MAX_COMBINATIONS = 200  # How many combinations of the other entries to try before a value is called impossible.


def build_space(
    parameters: Mapping[str, ParameterConfig], model: ModelConfig, training: TrainingConfig, where: str = "tuning.space"
) -> SearchSpace:
    """Checks every entry against the settings that it sets.

    Raises:
        ConfigError: a key does not exist, does not change the result, or cannot take a value of its range; or no
            entry would ever be drawn.
    """
    # Fill in the model's options: the first trial and the conditions need their values, even if the file gives none.
    options = {**model.options, model.name: dataclasses.asdict(load_options(model))}
    model = dataclasses.replace(model, options=options)
    base = plain({"model": model, "training": training})
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
                _check_value(space, parameter, {key: value}, f"{place}.when", _check_alone)
        check = _check_together if _may_open(space, parameter) else _check_alone
        for end in parameter.ends():
            _check_value(space, parameter, {parameter.name: end}, place, check)
    # The entry that is drawn first must be open before anything is drawn.
    if not any(space.is_open(parameter, {}) for parameter in built):
        raise ConfigError(
            f"{where}: none of its entries would ever be drawn, because no `when` holds. Set the keys that they name, "
            "or change the conditions."
        )
    return space


def _may_open(space: SearchSpace, parameter: Parameter) -> bool:
    """Whether each key of the condition has its value in the base, or is drawn by some entry."""
    return all(
        value_at(space.base, key) in allowed_values(wanted) or any(key in other.keys for other in space.parameters)
        for key, wanted in parameter.config.when.items()
    )


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
    """The type of a key's value; Any for a model's own options.

    Raises:
        ConfigError: the key cannot be tuned.
    """
    section, *path = key.split(".")
    if section not in SECTIONS or not path:
        raise ConfigError(
            f"{where}: '{key}' cannot be tuned: name a key of model or training, such as model.dropout. Other sections "
            "change the data, and then the validation metrics of two trials do not compare."
        )
    if section == "training" and path[0] in _NOT_TUNABLE:
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
    hint = did_you_mean(key, known) or (known_keys(known) if known else "")
    raise ConfigError(f"{where}: unknown key '{key}'.{hint}")


def _kinds_in(kind: Any) -> set[Any]:
    """The plain types inside a union or a tuple; an empty set if any type will do."""
    if kind is Any:
        return set()
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) in (typing.Union, tuple):
        return set().union(*(_kinds_in(part) for part in typing.get_args(kind) if part not in (type(None), ...)))
    return {kind}


def _check_value(
    space: SearchSpace,
    parameter: Parameter,
    values: Mapping[str, Any],
    where: str,
    check: Callable[[SearchSpace, Mapping[str, Any]], None],
) -> None:
    """Refuses a value that is impossible with the base, and with all combinations of the other entries."""
    first_error = None
    for others in _combinations(space, parameter, values):
        try:
            check(space, {**others, **values})
            return
        except ConfigError as error:
            first_error = first_error or error
    shown = next(iter(values.values()))
    raise ConfigError(f"{where}: {shown!r} is not possible: {first_error}")


def _combinations(space: SearchSpace, parameter: Parameter, values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Draws that fulfil the entry's condition: first with no other entry, then with the ends and choices of others."""
    when = parameter.config.when
    conditions = [
        dict(zip(when, wanted, strict=True)) for wanted in itertools.product(*map(allowed_values, when.values()))
    ]
    yield from conditions
    others = [other for other in space.parameters if other is not parameter]
    combinations = itertools.product(itertools.product(*(other.ends() for other in others)), conditions)
    for ends, condition in itertools.islice(combinations, _MAX_COMBINATIONS):
        drawn = dict(condition)
        for other, end in zip(others, ends, strict=True):
            if space.is_open(other, {**drawn, **values}):
                drawn[other.name] = end
        if space.is_open(parameter, drawn):
            yield drawn


def _check_together(space: SearchSpace, values: Mapping[str, Any]) -> None:
    """
    Raises:
        ConfigError: no model can be built and trained with these values.
    """
    _check_alone(space, values)
    check_settings(space.configs(values)[0])


def _check_alone(space: SearchSpace, values: Mapping[str, Any]) -> None:
    """
    Raises:
        ConfigError: a key cannot take its value in the trial of any model.
    """
    model, _ = space.configs(values)
    models = {model.name} | {key.split(".")[2] for key in assignments(values) if key.startswith("model.options.")}
    if any(key.startswith(("model.options.", "model.name")) for key in assignments(values)):
        for name in models:
            load_options(dataclasses.replace(model, name=name))
