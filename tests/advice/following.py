"""Reads the settings that a message tells to set, as a user would who does exactly what it says."""

import re

_SETTING = re.compile(
    r"(?<![\w.])(?:--set )?((?:[a-z_0-9]+\.)+[a-z_0-9]+|seed|force|workdir|name)=(\[[^\]]*\]|[^\s,;\]]+)"
)


def told(message: str) -> list[str]:
    """The settings after the verb "set" (or "use", "name", "prepare with") of a message, as `key=value`.

    It takes the first of alternatives ("..., or ..."). A value that is described and not given stays out.
    """
    found = []
    for part in re.split(r"\b[Ss]et |\b[Uu]se |\b[Rr]un |with --set |ranker with ", message)[1:]:
        first = re.split(r",? or (?!less)|\. |: [a-z]", part)[0]
        found += [f"{key}={value.rstrip('.')}" for key, value in _SETTING.findall(first) if value != "…"]
    return list(dict.fromkeys(found))
