"""The 2014 metadata: lines that Python printed, read as literals and never evaluated."""

import ast
import json
from typing import Any

import pandas as pd
from pyspark.sql import Column
from pyspark.sql import functions as F

_MAX_LITERAL_BYTES = 1 << 20  # Python's parser needs about a hundred times the size of what it reads.


def literal_to_json(line: str | None) -> str | None:
    """The fields that are used of a 2014 metadata line, as JSON with the names of 2018; None if it is no literal.

    `ast.literal_eval` builds strings, numbers, lists and dictionaries and nothing else: a line that holds a call, a
    name or an operator is refused, not run.
    """
    if line is None or len(line) > _MAX_LITERAL_BYTES:
        return None
    try:
        record = ast.literal_eval(line.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    paths = record.get("categories")
    path = paths[0] if isinstance(paths, list) and paths else paths
    related = record.get("related")
    related = related if isinstance(related, dict) else {}
    used: dict[str, Any] = {
        "asin": record.get("asin"),
        "category": path,
        "title": record.get("title"),
        "brand": record.get("brand"),
        "price": record.get("price"),
        "also_buy": related.get("also_bought"),
        "also_view": related.get("also_viewed"),
    }
    try:
        return json.dumps({name: value for name, value in used.items() if value is not None})
    except (TypeError, ValueError, RecursionError):  # Bytes, sets, complex numbers.
        return None


def json_of_literal(line: Column) -> Column:
    """`literal_to_json` for a column of lines, a batch at a time."""

    @F.pandas_udf("string")
    def convert(lines: pd.Series) -> pd.Series:
        return lines.map(literal_to_json)

    return convert(line)
