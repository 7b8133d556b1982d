"""Settings from Python: a YAML, keyword arguments, or both."""

from collections.abc import Iterator, Mapping
from os import PathLike, fspath
from typing import Any

from seqrec.pipeline.config import LoadedConfig, load_run_config

Config = LoadedConfig


def configure(path: str | PathLike[str] | None = None, **settings: Any) -> Config:
    """The settings of a run, from a YAML, from keyword arguments, or from both.

    Args:
        path: a YAML, such as "conf/demo.yaml"; without one, all keys have their defaults.
        settings: keys of the configuration, which win over the file: `workdir="work"` for a key at the top, and
            `training={"num_epochs": 3}` for keys of a section. docs/configuration.md lists them all.
    Returns: settings to call the other functions with. They cannot be changed; call this function again.

    Raises:
        ConfigError: a key is unknown, or its value is impossible; one line that says what was expected.
    """
    given = _values_of(settings)
    return load_run_config(None if path is None else fspath(path), values=given, values_place="configure()")


def _values_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with plain values: paths as text, tuples as lists."""
    return {key: _plain(value) for key, value in settings.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | Iterator):
        return [_plain(inner) for inner in value]
    return fspath(value) if isinstance(value, PathLike) else value
