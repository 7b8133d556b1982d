"""Ratings without text: one CSV line each, without a header in 2014 (user, item, rating, time) and 2018 (item, user,
rating, time), with a header and times in milliseconds in 2023."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from seqrec.core.columns import ITEM, LINE, RATING, TIMESTAMP, USER, VERIFIED, VOTES
from seqrec.core.errors import DataError
from seqrec.ingestion.config import IngestionConfig
from seqrec.ingestion.files.raw_lines import state_of
from seqrec.ingestion.formats.fields.review_columns import field_faults, has_good_fields
from seqrec.ingestion.formats.line_format import LineFormat, RawLine
from seqrec.ingestion.line_counts import GOOD, STATE

_ORDERS = {
    "item-user": (ITEM, USER, RATING, TIMESTAMP),
    "user-item": (USER, ITEM, RATING, TIMESTAMP),
}
_HEADER_2023 = ["user_id", "parent_asin"]
_NUMBER = re.compile(r"\s*-?\d+(\.\d+)?\s*")
_ITEM_SHAPE = re.compile(r"B[0-9A-Z]{9}|[0-9]{9}[0-9X]")
_USER_SHAPE = re.compile(r"A[0-9A-Z]{7,20}")
_CLEAR_SHARE = 0.9  # Share of the sampled lines that must agree on the order of the columns.


@dataclass(frozen=True)
class RatingsDialect:
    columns: tuple[str, ...]  # In the order of the file: `user_id`, `item_id`, `rating`, `timestamp` and others.
    units_per_second: int  # 1 if times are in seconds, 1000 if in milliseconds.


class Ratings(LineFormat):
    holds = "2014, 2018 or 2023 ratings (CSV)"

    def looks_like(self, line: RawLine) -> bool:
        fields = line.text.split(",")
        if fields[:2] == _HEADER_2023:
            return True
        return len(fields) == 4 and bool(_NUMBER.fullmatch(fields[2]) and _NUMBER.fullmatch(fields[3]))

    def dialect_of(self, lines: Sequence[RawLine], place: str, config: IngestionConfig) -> RatingsDialect:
        """By its header, else by `ingestion.csv_columns`, else by the shapes of the ids.

        Raises:
            DataError: the ids fit neither order, or both.
        """
        for line in lines:
            fields = line.text.split(",")
            if fields[:2] == _HEADER_2023:
                return RatingsDialect((USER, ITEM, RATING, TIMESTAMP, *fields[4:]), units_per_second=1000)
        if config.csv_columns != "auto":
            return RatingsDialect(_ORDERS[config.csv_columns], units_per_second=1)
        pairs = [line.text.split(",")[:2] for line in lines]
        item_first = sum(1 for one, two in pairs if _ITEM_SHAPE.fullmatch(one) and _USER_SHAPE.fullmatch(two))
        user_first = sum(1 for one, two in pairs if _USER_SHAPE.fullmatch(one) and _ITEM_SHAPE.fullmatch(two))
        if item_first >= _CLEAR_SHARE * len(pairs) and item_first > 0:
            return RatingsDialect(_ORDERS["item-user"], units_per_second=1)
        if user_first >= _CLEAR_SHARE * len(pairs) and user_first > 0:
            return RatingsDialect(_ORDERS["user-item"], units_per_second=1)
        raise DataError(
            f"{place}: cannot tell whether the items or the users come first, for example in {lines[0].text!r}. "
            "Set ingestion.csv_columns to item-user or user-item."
        )

    def parse(self, lines: DataFrame, dialect: RatingsDialect, config: IngestionConfig) -> DataFrame:
        columns = dialect.columns
        rating = _number(columns.index(RATING), "double")
        # Nearly all times are whole numbers, which are read faster. The floor of NaN would be 0, a time like any other.
        fraction = F.nanvl(_number(columns.index(TIMESTAMP), "double"), F.lit(float("inf")))
        time = F.coalesce(_number(columns.index(TIMESTAMP), "bigint"), F.floor(fraction))
        is_header = F.get("fields", 0).isin("user_id", "item_id", "userId", "asin", "reviewerID") & time.isNull()
        is_good = (F.size("fields") == len(columns)) & has_good_fields(config) & F.col(RATING).isNotNull()
        state = state_of(
            is_good,
            GOOD,
            ("blank", is_header),
            ("too_long", F.octet_length(LINE) > config.max_line_bytes),
            ("wrong_columns", F.size("fields") != len(columns)),
            *field_faults(config),
            ("bad_rating", F.lit(True)),
        )
        per_second = dialect.units_per_second
        return (
            lines.withColumn("fields", F.split(LINE, ",", len(columns) + 1))
            .withColumns(
                {
                    USER: F.get("fields", columns.index(USER)),
                    ITEM: F.get("fields", columns.index(ITEM)),
                    RATING: rating,
                    TIMESTAMP: F.floor(time / per_second) if per_second > 1 else time,
                    VERIFIED: F.lit(None).cast("boolean"),
                    VOTES: F.lit(None).cast("int"),
                }
            )
            .withColumn(STATE, state)
        )


def _number(field: int, kind: str) -> Column:
    """With spark.sql.ansi.enabled a plain cast, or fields[...], would end the job at the first broken line."""
    return F.expr(f"try_cast(get(fields, {field}) as {kind})")
