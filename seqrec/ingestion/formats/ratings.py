"""Ratings without text: one CSV line each, without a header in 2014 (user, item, rating, time) and 2018 (item, user,
rating, time), with a header and times in milliseconds in 2023."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from seqrec.core.columns import ITEM, LINE, RATING, TIMESTAMP, USER, VERIFIED, VOTES
from seqrec.core.errors import DataError
from seqrec.ingestion.compiled.clean_line import MAX_COLUMNS, CleanLine
from seqrec.ingestion.config import IngestionConfig
from seqrec.ingestion.files.raw_lines import state_of
from seqrec.ingestion.formats.fields.csv_fields import (
    HEADERS,
    RatingLine,
    columns_by_shape,
    is_whole_number,
    rating_line,
    with_csv_fields,
)
from seqrec.ingestion.formats.fields.review_columns import field_faults, has_good_fields, seconds_between
from seqrec.ingestion.formats.line_format import LineFormat, RawLine
from seqrec.ingestion.line_counts import CONVERTED, GOOD, STATE

_ORDERS = {"item-user": (ITEM, USER, RATING, TIMESTAMP), "user-item": (USER, ITEM, RATING, TIMESTAMP)}
_FIRST_MILLISECONDS = 10**11  # A time of 1973 if in milliseconds, of 5138 if in seconds.
_MAX_EXACT = float(2**53)  # Whole numbers up to here have doubles of their own.


@dataclass(frozen=True)
class RatingsDialect:
    columns: tuple[str, ...]  # In the order of the file: `user_id`, `item_id`, `rating`, `timestamp` and others.
    units_per_second: int  # 1 if times are in seconds, 1000 if in milliseconds.
    separator: str = ","  # The separator of most lines.


class Ratings(LineFormat):
    holds = "2014, 2018 or 2023 ratings (CSV)"

    def looks_like(self, line: RawLine) -> bool:
        return line.record is None and rating_line(line.text) is not None

    def dialect_of(self, lines: Sequence[RawLine], place: str, config: IngestionConfig) -> RatingsDialect:
        """Separator and unit of the times by most lines; order by the header, else by `ingestion.csv_columns`, else by
        the shapes of the ids.

        Raises:
            DataError: the ids fit neither order, or both.
        """
        read = [found for line in lines if (found := rating_line(line.text)) is not None]
        [(separator, _)] = Counter(found.separator for found in read).most_common(1)
        header = next((found.header for found in read if found.header is not None), None)
        rows = [found for found in read if found.header is None]
        columns = header if header is not None else self._columns(rows, lines, place, config)
        return RatingsDialect(columns, _units(rows, columns, has_header=header is not None), separator)

    def clean_line(self, dialect: RatingsDialect, config: IngestionConfig) -> CleanLine | None:
        if len(dialect.columns) > MAX_COLUMNS:
            return None
        units = dialect.units_per_second
        return CleanLine(
            *seconds_between(config), config.max_line_bytes, units, columns=dialect.columns, separator=dialect.separator
        )

    def _columns(
        self, rows: Sequence[RatingLine], lines: Sequence[RawLine], place: str, config: IngestionConfig
    ) -> tuple[str, ...]:
        order = config.csv_columns if config.csv_columns != "auto" else columns_by_shape(rows)
        if order is None:
            raise DataError(
                f"{place}: cannot tell whether the items or the users come first, for example in {lines[0].text!r}. "
                "Set ingestion.csv_columns to item-user or user-item."
            )
        return _ORDERS[order]

    def parse(self, lines: DataFrame, dialect: RatingsDialect, config: IngestionConfig) -> DataFrame:
        columns = dialect.columns
        rating = _number(columns.index(RATING), "double")
        # Nearly all times are whole numbers, which are read faster. The floor of NaN would be 0, a time like any other.
        written = _number(columns.index(TIMESTAMP), "bigint")
        fraction = F.nanvl(_number(columns.index(TIMESTAMP), "double"), F.lit(float("inf")))
        time = F.coalesce(written, F.floor(fraction))
        is_exact = (F.abs(fraction) < _MAX_EXACT) & (fraction == F.floor(fraction))
        names = [F.lower(F.get("fields", columns.index(column))).isin(*HEADERS) for column in (USER, ITEM)]
        is_header = names[0] & names[1] & F.col(TIMESTAMP).isNull()
        is_good = (F.size("fields") == len(columns)) & has_good_fields(config) & F.col(RATING).isNotNull()
        state = state_of(
            is_good & F.col("written").isNotNull(),
            GOOD,
            (CONVERTED, is_good & is_exact & is_whole_number(F.get("fields", columns.index(TIMESTAMP)))),
            ("blank", is_header),
            ("too_long", F.octet_length(LINE) > config.max_line_bytes),
            ("wrong_columns", F.size("fields") != len(columns)),
            *field_faults(config),
            ("bad_rating", F.col(RATING).isNull()),
            ("wrong_type", F.lit(True)),  # A time with a fraction of a second.
        )
        per_second = dialect.units_per_second
        return (
            lines.transform(with_csv_fields, dialect.separator, len(columns))
            .withColumns(
                {
                    USER: F.get("fields", columns.index(USER)),
                    ITEM: F.get("fields", columns.index(ITEM)),
                    RATING: rating,
                    "written": written,
                    TIMESTAMP: F.floor(time / per_second) if per_second > 1 else time,
                    VERIFIED: F.lit(None).cast("boolean"),
                    VOTES: F.lit(None).cast("int"),
                }
            )
            .withColumn(STATE, state)
        )


def _units(rows: Sequence[RatingLine], columns: Sequence[str], *, has_header: bool) -> int:
    """Units of the times in a second, as most of them say; a header without rows is that of 2023."""
    place = columns.index(TIMESTAMP)
    times = [found for row in rows if len(row.fields) > place and (found := _time(row.fields[place])) is not None]
    if not times:
        return 1000 if has_header else 1
    return 1000 if 2 * sum(time >= _FIRST_MILLISECONDS for time in times) > len(times) else 1


def _time(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _number(field: int, kind: str) -> Column:
    """With spark.sql.ansi.enabled a plain cast, or fields[...], would end the job at the first broken line."""
    return F.expr(f"try_cast(get(fields, {field}) as {kind})")
