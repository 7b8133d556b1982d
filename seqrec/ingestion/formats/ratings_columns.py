"""Which column of a ratings file is the user: 2014 has user,item,rating,timestamp, 2018 item,user,rating,timestamp."""

import re

from seqrec.core.columns import ITEM, RATING, TIMESTAMP, USER
from seqrec.core.errors import DataError
from seqrec.ingestion.formats.line_formats import LineFormat, Sniffed

_ORDERS = {
    "item-user": (ITEM, USER, RATING, TIMESTAMP),
    "user-item": (USER, ITEM, RATING, TIMESTAMP),
}
_ITEM_SHAPE = re.compile(r"B[0-9A-Z]{9}|[0-9]{9}[0-9X]")
_USER_SHAPE = re.compile(r"A[0-9A-Z]{7,20}")
_CLEAR_SHARE = 0.9  # Of the sampled lines that must say the same.


def ratings_columns(sniffed: Sniffed, setting: str) -> tuple[str, ...]:
    """The columns of a ratings file, in its order.

    Args:
        setting: `ingestion.csv_columns`; `auto` tells by the shape of the ids.

    Raises:
        DataError: the ids fit neither order, or both.
    """
    if sniffed.line_format is LineFormat.RATINGS_2023:
        extra = sniffed.sample[0].split(",")[4:]
        return (USER, ITEM, RATING, TIMESTAMP, *extra)
    if setting != "auto":
        return _ORDERS[setting]
    pairs = [line.split(",")[:2] for line in sniffed.sample if line.count(",") == 3]
    item_first = sum(1 for one, two in pairs if _ITEM_SHAPE.fullmatch(one) and _USER_SHAPE.fullmatch(two))
    user_first = sum(1 for one, two in pairs if _USER_SHAPE.fullmatch(one) and _ITEM_SHAPE.fullmatch(two))
    if item_first >= _CLEAR_SHARE * len(pairs) and item_first > 0:
        return _ORDERS["item-user"]
    if user_first >= _CLEAR_SHARE * len(pairs) and user_first > 0:
        return _ORDERS["user-item"]
    raise DataError(
        f"{sniffed.file.display}: cannot tell whether the items or the users come first, for example in "
        f"{sniffed.sample[0]!r}. Set ingestion.csv_columns to item-user or user-item."
    )
