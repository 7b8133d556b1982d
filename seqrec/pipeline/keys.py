"""Describes the keys of the configuration for `--help` and the documentation, from dataclasses and comments."""

import inspect
import re
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any

from seqrec.pipeline.config import RunConfig


@dataclass(frozen=True)
class Key:
    """One key, as the documentation and `--help` show it."""

    name: str
    type: str
    default: str
    meaning: str


def describe_keys(section: str = "") -> list[Key]:
    """The keys of one section, or of the top of the file (""), read from the dataclass and its comments."""
    if not section:
        return [key for key in keys_of(RunConfig) if "." not in key.name]
    return keys_of(next(f.default_factory for f in fields(RunConfig) if f.name == section))


def keys_of(config_class: Any, prefix: str = "") -> list[Key]:
    """All keys of a dataclass of settings; the keys of its sections have the section's name before them."""
    keys: list[Key] = []
    meanings = _meanings(config_class)
    for a_field in fields(config_class):
        name = f"{prefix}{a_field.name}"
        if is_dataclass(a_field.default_factory):
            keys += keys_of(a_field.default_factory, f"{name}.")
        else:
            keys.append(Key(name, _type_name(a_field.type), _default_of(a_field), meanings.get(a_field.name, "")))
    return keys


def sections() -> list[str]:
    return [f.name for f in fields(RunConfig) if is_dataclass(f.default_factory)]


def _meanings(config_class: type) -> dict[str, str]:
    """Field name -> its trailing comment with the lines that continue it, or the comment above it."""
    meanings: dict[str, str] = {}
    current, above = "", ""
    for line in inspect.getsource(config_class).splitlines():
        if match := re.match(r"    (\w+): [^#]+(?:#\s*(.*))?$", line):
            current = match[1]
            meanings[current] = match[2] or above
            above = ""
        elif match := re.match(r"    \s*#\s*(.*)$", line):
            if meanings.get(current, ".").endswith("."):  # A finished sentence: the comment is of the next field.
                above = f"{above} {match[1]}".strip()
            else:
                meanings[current] = f"{meanings[current]} {match[1]}".strip()
        elif line.strip().startswith("def "):
            break
    return meanings


def _type_name(annotation: Any) -> str:
    return (
        annotation
        if isinstance(annotation, str)
        else getattr(annotation, "__name__", str(annotation))
        if isinstance(annotation, type)
        else str(annotation).replace("typing.", "")
    )


def _default_of(a_field: Any) -> str:
    if a_field.default is not MISSING:
        value = a_field.default
    elif a_field.default_factory is not MISSING:
        value = a_field.default_factory()
    else:
        return "(required)"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)) if isinstance(value, tuple) else str(value)
