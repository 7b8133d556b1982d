"""Strict loading of settings into frozen dataclasses: a typo is an error, not a default.

The dataclasses stand beside the code that they configure. This module fills them (with pydantic, which checks types and
names), reports in one line what is wrong, where, and what was expected, and knows which keys decide a stage's result.
"""

import functools
import json
import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, asdict, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ConfigDict, ValidationError, create_model

from seqrec.core.errors import ConfigError, did_you_mean

Config = TypeVar("Config")
Value = TypeVar("Value")

# Strict except for int -> float: a YAML "1" is a good learning rate, but "yes" is not a number, nor is 3 a path.
_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


_KEY_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")


class _Loader(yaml.SafeLoader):
    """Refuses a key that is not text, or that is given twice (YAML forbids it; the safe loader keeps the last one)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            place = f"line {key.start_mark.line + 1}"
            if key.tag not in _KEY_TAGS:
                raise ConfigError(
                    f"{place}: expected the name of a key, got {key.value}. Put it in quotes if it is one."
                )
            if key.value in seen:
                raise ConfigError(f"{place}: the key '{key.value}' is given a second time. Put both in one place.")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file; an empty file is an empty mapping.

    Raises:
        ConfigError: the file cannot be read, or does not hold one mapping.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such config file. Give an existing YAML, such as conf/demo.yaml.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot read the config file: {error}.") from None
    try:
        values = yaml.load(text, _Loader)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (yaml.YAMLError, ValueError, TypeError) as error:  # An impossible date; a list as a key.
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}.") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected a mapping of sections, got {type(values).__name__}.")
    return values


def apply_override(values: dict[str, Any], override: str, origins: dict[str, str]) -> None:
    """Puts one `section.key=value` into `values`; the value is read as YAML, so lists and numbers work.

    `origins` notes which keys came from `--set`, so that an error can say so.

    Raises:
        ConfigError: the text has no key, or the key lies in something that is not a section.
    """
    key, separator, text = override.partition("=")
    key = key.strip()
    if not separator or not key:
        raise ConfigError(f"--set {override}: expected section.key=value, such as --set training.num_epochs=3.")
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, TypeError):
        value = text  # A path with a colon or bracket is not YAML, nor is an impossible date; the checks still apply.
    if isinstance(value, str) and " #" in text and text.lstrip()[:1] not in ("'", '"'):
        value = text  # Not a comment: a path may hold a blank and a hash.
    *sections, last = key.split(".")
    place = values
    for section in sections:
        inner = place.get(section)
        if inner is None:
            inner = place[section] = {}
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {override}: '{section}' holds {inner!r}, not a section.")
        place = inner
    place[last] = value
    origins[key] = "--set"


def load_section(
    config_class: type[Config], values: Mapping[str, Any], where: str, origins: Mapping[str, str] | None = None
) -> Config:
    """Builds `config_class` from `values`, rejecting unknown, missing and mistyped keys.

    Args:
        where: the file (and section) the values come from, for the error.
        origins: dotted key -> the place that it came from instead, such as "--set".

    Raises:
        ConfigError: one line with the place, the key, the value and what was expected.
    """
    # The values go through JSON because strict pydantic accepts lists for tuples, and mappings for dataclasses, only
    # from there. YAML dates become ISO strings.
    try:
        return (
            _wrapper(typing.cast(Any, config_class))
            .model_validate_json(json.dumps({"value": values}, default=str))
            .value
        )
    except ValidationError as error:
        # A misspelt key is also a missing one; the message should be about the spelling.
        first = min(error.errors(), key=lambda e: e["type"] != "unexpected_keyword_argument")
        raise ConfigError(_message(config_class, values, first, where, origins or {})) from None


@functools.cache
def _wrapper(config_class: Any) -> Any:
    """A model around a dataclass, which passes its strictness on; making one takes longer than loading values."""
    return create_model("Wrapper", value=(config_class, ...), __config__=_STRICT)


def speed_only(default: Value) -> Value:
    """The default of a key that changes how fast, where or how safely a stage works, as in `n: int = speed_only(1)`.

    At most it changes the rounding of the result. (The numbers of workers and threads do; over many training steps that
    grows, even to another best epoch.) So a stage is not run again when such a key changes, and may be resumed.
    """
    return marked(default, "speed only", in_recipe=False)


def not_in_recipe(default: Value) -> Value:
    """The default of a key that does not make a stage's result another one, though it changes more than its speed.

    It names the result, says how far it goes (a longer run continues a shorter one), asks for a further output, or
    names a file whose content is among the inputs.
    """
    return marked(default, "not in recipe", in_recipe=False)


def added(default: Value) -> Value:
    """The default of a key that came later, and that does with this value what was done before there was the key.

    The recipe has the key only where it has another value: so results that were made before are still up to date.
    """
    return marked(default, "", in_recipe=True, is_added=True)


def added_section(section: type[Value]) -> Value:
    """As `added`, for a section of keys: the recipe has it only where one of its keys has another value."""
    metadata = {"mark": "", "in_recipe": True, "is_added": True}
    made: Value = field(default_factory=section, metadata=metadata)
    return made


def marked(default: Value, mark: str, *, in_recipe: bool, is_added: bool = False) -> Value:
    """The default of a key that `keys_marked` finds by `mark`.

    Args:
        in_recipe: whether the key decides the stage's result, as every key without a mark does.
        is_added: whether the key came later; see `added`.
    """
    return field(default=default, metadata={"mark": mark, "in_recipe": in_recipe, "is_added": is_added})


def keys_marked(config_class: Any, mark: str) -> list[str]:
    """The keys of a dataclass of settings that have a mark, in the order of the class."""
    return [each.name for each in fields(config_class) if each.metadata.get("mark") == mark]


def recipe_keys(config_class: Any) -> list[str]:
    """The keys of a dataclass of settings that decide a stage's result, in the order of the class."""
    return [each.name for each in fields(config_class) if each.metadata.get("in_recipe", True)]


def recipe_settings(config: Any) -> dict[str, Any]:
    """The settings that decide a stage's result, in plain form: what the stage's recipe holds."""
    values = {key: getattr(config, key) for key in recipe_keys(config)}
    for each in fields(config):
        default = each.default if each.default_factory is MISSING else each.default_factory()
        if each.metadata.get("is_added") and values[each.name] == default:
            del values[each.name]
    return {key: recipe_settings(value) if is_dataclass(value) else plain(value) for key, value in values.items()}


def plain(settings: Any) -> Any:
    """Settings as JSON and YAML know them: dataclasses become mappings, tuples become lists.

    A recipe's digest is taken of this form, and manifests hold it.
    """
    return json.loads(json.dumps(settings, default=asdict))


def _message(config_class: type, values: Mapping[str, Any], error: Any, where: str, origins: Mapping[str, str]) -> str:
    path = _path_in(values, error["loc"][1:])
    key = ".".join(path)
    place = _origin_of(key, origins) or _origin_within(f"{key}.", values, origins) or where
    got = error["input"]
    if error["type"] == "unexpected_keyword_argument":
        known = _keys_at(config_class, path[:-1])
        return f"{place}: unknown key '{key}'.{did_you_mean(path[-1], known) or known_keys(known)}"
    if error["type"] in ("missing", "missing_argument"):
        return f"{where}: missing key '{key}'. Add it: it has no default."
    if error["type"] == "value_error":
        fault = str(error["ctx"]["error"])
        parts = [_origin_of_fault(fault, key, values, origins) or where, key, fault]
        return ": ".join(part for part in parts if part)
    expected = error["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    hint = ""
    if error["type"].startswith("float") and isinstance(got, str) and "e" in got.lower():
        hint = f" YAML reads {got} as text: write {_as_yaml(got)}."
    elif error["type"].startswith("string") and isinstance(got, int | float) and not isinstance(got, bool):
        hint = f""" YAML reads a number: put it in quotes, '"{got}"'."""
    return f"{place}: {key}: expected {expected.replace('an object', 'a section of keys')}, got {got!r}.{hint}"


def _as_yaml(number: str) -> str:
    """A number with an exponent in the form that YAML 1.1 takes for one: with a point, and a sign of the exponent."""
    mantissa, _, exponent = number.lower().partition("e")
    mantissa += "" if "." in mantissa else ".0"
    return f"{mantissa}e{exponent if exponent[:1] in ('+', '-') else f'+{exponent}'}"


def _origin_of(key: str, origins: Mapping[str, str]) -> str | None:
    """The place that a key's value came from, if not the file: an override of the key, or of a section around it."""
    parts = key.split(".")
    around = (".".join(parts[:number]) for number in range(len(parts), 0, -1))
    return next((origins[name] for name in around if name in origins), None)


def _origin_within(prefix: str, values: Mapping[str, Any], origins: Mapping[str, str]) -> str | None:
    """The place that all values of a section came from, if none is from the file."""
    given = [_origin_of(name, origins) for name in _keys_in(values) if name.startswith(prefix)]
    return given[0] if given and all(given) else None


def _origin_of_fault(fault: str, section: str, values: Mapping[str, Any], origins: Mapping[str, str]) -> str | None:
    """The place that the refused value of a section came from, if not the file.

    A section checks its values together: an override is to blame only if the message names its key, or if the file
    gives nothing of the section.
    """
    prefix = f"{section}." if section else ""
    words = {word.rstrip(".") for word in re.findall(r"[\w.]+", fault)}
    named = [name for name in origins if name.startswith(prefix) and name.removeprefix(prefix) in words]
    return origins[named[0]] if named else _origin_within(prefix, values, origins)


def _keys_in(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _keys_in(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _path_in(values: Any, location: tuple[str | int, ...]) -> list[str]:
    """The part of a pydantic location that names keys; the location also names members of unions, which are not."""
    path: list[str] = []
    for part in location:
        if isinstance(values, Mapping) and part not in values and path and not isinstance(part, int):
            break
        if not isinstance(values, Mapping | list):
            break
        path.append(str(part))
        values = values.get(part) if isinstance(values, Mapping) else values[part] if isinstance(part, int) else None
    return path


def _keys_at(config_class: Any, path: list[str]) -> list[str]:
    for part in path:
        hints = typing.get_type_hints(config_class)
        options = [hints[part], *typing.get_args(hints[part])]
        config_class = next(option for option in options if is_dataclass(option))
    return [field.name for field in fields(config_class)]


def known_keys(known: Iterable[str]) -> str:
    """A sentence that follows an error message, with a leading space: all keys, in order."""
    return f" Known keys: {', '.join(sorted(known))}."
