"""Fields of a CSV line: separators, quotes, headers, and which of the ids is the user."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from seqrec.core.columns import ITEM, LINE, RATING, TIMESTAMP, USER

SEPARATORS = (",", "\t", ";", "|")
# Names of columns in headers, in small letters; of two that mean the same the earlier one counts.
_NAMES = {
    USER: ("user_id", "userid", "reviewerid", "reviewer_id", "user", "customer_id"),
    ITEM: ("parent_asin", "asin", "item_id", "itemid", "item", "product_id", "productid"),
    RATING: ("rating", "overall", "stars", "star_rating", "score"),
    TIMESTAMP: ("timestamp", "unixreviewtime", "unix_review_time", "time"),
}
HEADERS = tuple(name for names in _NAMES.values() for name in names)
_NUMBER = re.compile(r"\s*-?\d+(\.\d*)?([eE][+-]?\d+)?\s*")
_WHOLE = r"^\s*[+-]?[0-9]+(\.0*)?\s*$|^\s*[+-]?[0-9]+(\.[0-9]{1,15})?[eE][+]?[0-9]{1,2}\s*$"
_ITEM_SHAPE = re.compile(r"B[0-9A-Z]{9}|[0-9]{9}[0-9X]")
_USER_SHAPE = re.compile(r"A[0-9A-Z]{7,27}")  # 13 or 14 characters up to 2018, 28 in 2023.
_CLEAR_SHARE = 0.9  # Share of the sampled lines that must agree on the order of the columns.


@dataclass(frozen=True)
class RatingLine:
    """A line of ratings, or the header of a file of ratings."""

    separator: str
    fields: tuple[str, ...]  # Without quotes.
    header: tuple[str, ...] | None  # The columns that a header names; None for a line of values.


def rating_line(text: str) -> RatingLine | None:
    """A line as ratings: four fields of which the last two are numbers, or a header that names all four."""
    for separator in SEPARATORS:
        if separator not in text:
            continue
        try:
            [fields] = csv.reader([text], delimiter=separator)
        except (csv.Error, ValueError):  # A field of over 128 KiB; a carriage return within a line.
            continue
        fields = [field.strip() for field in fields]
        if (header := _header(fields)) is not None:
            return RatingLine(separator, tuple(fields), header)
        if len(fields) == 4 and _NUMBER.fullmatch(fields[2]) and _NUMBER.fullmatch(fields[3]):
            return RatingLine(separator, tuple(fields), None)
    return None


def columns_by_shape(rows: Sequence[RatingLine]) -> str | None:
    """`item-user` or `user-item`, as nine of ten lines say; None if they do not."""
    pairs = [row.fields[:2] for row in rows]
    item_first = sum(1 for one, two in pairs if _ITEM_SHAPE.fullmatch(one) and _USER_SHAPE.fullmatch(two))
    user_first = sum(1 for one, two in pairs if _USER_SHAPE.fullmatch(one) and _ITEM_SHAPE.fullmatch(two))
    for order, count in (("item-user", item_first), ("user-item", user_first)):
        if count >= _CLEAR_SHARE * len(pairs) and count > 0:
            return order
    return None


def with_csv_fields(lines: DataFrame, separator: str, num_columns: int) -> DataFrame:
    """Adds `fields`, a list of text without quotes, one more than `num_columns` at most.

    A line that does not fit is tried with the other separators. No used field may hold a separator.
    """
    line, plain = F.col(LINE), F.col("plain")

    def fields_by(one: str) -> Column:
        return F.transform(F.split(line, re.escape(one), num_columns + 1), _unquoted)

    # Columns of their own, as Spark computes what two branches share once for each of them.
    fields = F.when((F.size(plain) == num_columns) & ~line.contains('"'), plain)
    for one in (separator, *(other for other in SEPARATORS if other != separator)):
        fields = fields.when(line.contains(one) & (F.size(fields_by(one)) == num_columns), fields_by(one))
    split = F.split(line, re.escape(separator), num_columns + 1)
    return lines.withColumn("plain", split).withColumn("fields", fields.otherwise(F.transform(plain, _unquoted)))


def is_whole_number(text: Column) -> Column:
    """True for numbers such as `1400000000.0` or `1.4e9`; a double alone may hide a fraction that was rounded off."""
    return text.rlike(_WHOLE)


def _header(fields: Sequence[str]) -> tuple[str, ...] | None:
    """The columns of a file by its header: the names of those that are read; None if one of the four is not there."""
    lower = [field.lower() for field in fields]
    columns = [f"column {number}" for number in range(len(fields))]
    for column, names in _NAMES.items():
        name = next((name for name in names if name in lower), None)
        if name is None:
            return None
        columns[lower.index(name)] = column
    return tuple(columns)


def _unquoted(field: Column) -> Column:
    inner = F.regexp_extract(field, r'^\s*"(.*)"\s*$', 1)
    return F.when(field.rlike(r'^\s*".*"\s*$'), F.replace(inner, F.lit('""'), F.lit('"'))).otherwise(field)
