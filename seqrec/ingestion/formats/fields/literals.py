"""Records as JSON or as Python printed them, in the names of any edition, with numbers as text: a second look at lines
that Spark's strict parser refuses. Nothing is ever evaluated."""

import ast
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import pandas as pd
from pyspark.sql import Column
from pyspark.sql import functions as F

_MAX_LITERAL_BYTES = 1 << 20  # Python's parser needs about a hundred times the size of what it reads.
_DECIMAL = re.compile(r"\s*[+-]?[0-9]{1,40}(\.[0-9]{0,40})?([eE][+-]?[0-9]{1,2})?\s*", re.ASCII)

Record = Mapping[str, Any]
# Makes fields under the names of a format from those of any edition; returns whether values were converted.
Fields = Callable[[Record], tuple[dict[str, Any], bool]]


@dataclass(frozen=True)
class Look:
    """What a second look finds in a line."""

    text: str  # The record as JSON, with the fields that a format uses.
    is_converted: bool  # Values had another type, and were converted without loss.


class _WrittenFloat(float):
    """A number as a line has it: 1400000000.0000001 is no whole number, though the nearest float is one."""

    text: str

    def __new__(cls, text: str) -> "_WrittenFloat":  # noqa: PYI034
        made = super().__new__(cls, text)
        made.text = text
        return made


def record_of(line: str) -> tuple[Record, bool] | None:
    """The JSON object or the Python dictionary that a line is, and whether it is the latter; None if it is neither.

    `ast.literal_eval` builds strings, numbers, lists and dictionaries and nothing else: a line that holds a call, a
    name or an operator is refused, not run.
    """
    line = line.strip()
    if not line.startswith("{"):
        return None
    try:
        record = json.loads(line, parse_constant=_refuse, parse_float=_WrittenFloat)
    except RecursionError:
        return None
    except ValueError:
        pass
    else:
        return record, False
    if len(line) > _MAX_LITERAL_BYTES:
        return None
    try:
        record = ast.literal_eval(line)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return (record, True) if isinstance(record, dict) and all(isinstance(key, str) for key in record) else None


def looked_at(line: str | None, fields: Fields) -> Look | None:
    """A line as JSON in the names of a format; None if it is no record, or holds what JSON cannot."""
    found = None if line is None else record_of(line)
    if found is None:
        return None
    used, is_converted = fields(found[0])
    try:
        text = json.dumps({name: value for name, value in used.items() if value is not None}, allow_nan=False)
    except (TypeError, ValueError, RecursionError):  # Bytes, sets, complex numbers, infinities.
        return None
    return Look(text, is_converted)


def second_look(line: Column, fields: Fields) -> Column:
    """`looked_at` for a column of lines, a batch at a time: a struct of `text` and `is_converted`."""

    @F.pandas_udf("text string, is_converted boolean")
    def look(lines: pd.Series) -> pd.DataFrame:
        looks = [looked_at(line, fields) for line in lines]
        texts = [None if one is None else one.text for one in looks]
        return pd.DataFrame({"text": texts, "is_converted": [one is not None and one.is_converted for one in looks]})

    # Arrow refuses invalid UTF-8, which decoding replaces.
    return look(F.decode(line.cast("binary"), "UTF-8"))


def whole(value: Any) -> Any:
    """A whole number written as `"1400000000"`, `1400000000.0` or `1.4e9` as an int; anything else as it is."""
    if isinstance(value, _WrittenFloat):
        exact = whole(value.text)
        return exact if isinstance(exact, int) else value
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if not isinstance(value, str) or (number := _decimal(value)) is None:
        return value
    return int(number) if number == number.to_integral_value() else value


def number(value: Any) -> Any:
    """A number written as text, such as `"5.0"`, as a float; anything else as it is."""
    if not isinstance(value, str) or (found := _decimal(value)) is None:
        return value
    return float(found)


def truth(value: Any) -> Any:
    """`"true"` and `"False"` as booleans; anything else as it is."""
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text.strip()) if _DECIMAL.fullmatch(text) else None
    except InvalidOperation:
        return None


def _refuse(constant: str) -> None:
    raise ValueError(constant)
