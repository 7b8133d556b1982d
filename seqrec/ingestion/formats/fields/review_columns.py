"""The columns of `reviews`: which values are good, and the state of a line."""

import calendar
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from seqrec.core.columns import GROUP, ITEM, LINE, RATING, TIMESTAMP, USER, VERIFIED, VOTES
from seqrec.ingestion.compiled.clean_line import CleanLine
from seqrec.ingestion.config import IngestionConfig
from seqrec.ingestion.files.raw_lines import line_hash, state_of
from seqrec.ingestion.formats.fields.record_fields import is_id, is_quoted, is_rating
from seqrec.ingestion.line_counts import GOOD, STATE, WRITTEN

_MAX_CLEAN_BYTES = 4 << 20  # For JSON: Spark's parser takes no text of over 20 million characters.


def with_json_state(parsed: DataFrame, config: IngestionConfig, text: str = LINE) -> DataFrame:
    """Adds the state of a line that should be one JSON object.

    Args:
        text: the column that holds the line as JSON, where an id must stand in quotes.
    """
    is_good = (
        F.col("problem").isNull()
        & has_good_fields(config)
        & is_quoted(F.col(USER), F.col(text))
        & is_quoted(F.col(ITEM), F.col(text))
    )
    problem = F.col("problem")
    state = state_of(
        is_good,
        GOOD,
        *((name, problem == name) for name in ("too_long", "malformed", "several_records", "wrong_type")),
        *field_faults(config),
        ("wrong_type", F.lit(True)),  # An id that is a bare number.
    )
    return parsed.withColumn(STATE, state)


def clean_json(config: IngestionConfig, units_per_second: int, *refused: str, **fields: str) -> CleanLine:
    """A clean line of JSON.

    Args:
        units_per_second: of the times.
        refused: fields of other editions, which a second look would read.
        fields: JSON field -> column of `reviews`, or what else `CleanLine` knows.
    """
    max_bytes = min(config.max_line_bytes, _MAX_CLEAN_BYTES)
    return CleanLine(*seconds_between(config), max_bytes, units_per_second, fields=fields, refused=refused)


def keep_good_reviews(parsed: DataFrame) -> DataFrame:
    """Only the good lines, only the columns of `reviews`."""
    return parsed.where(F.col(STATE).isin(*WRITTEN)).select(
        USER, ITEM, F.col(RATING).cast("float").alias(RATING), TIMESTAMP, VERIFIED, VOTES, GROUP, line_hash()
    )


def has_good_fields(config: IngestionConfig) -> Column:
    first, last = seconds_between(config)
    return (
        is_id(F.col(USER))
        & is_id(F.col(ITEM))
        & F.col(TIMESTAMP).isNotNull()
        & F.col(TIMESTAMP).between(first, last)
        & is_rating(F.col(RATING))
    )


def field_faults(config: IngestionConfig) -> list[tuple[str, Column]]:
    first, last = seconds_between(config)
    return [
        ("missing_user", _is_missing(F.col(USER))),
        ("missing_item", _is_missing(F.col(ITEM))),
        ("missing_timestamp", F.col(TIMESTAMP).isNull()),
        ("bad_user", ~is_id(F.col(USER))),
        ("bad_item", ~is_id(F.col(ITEM))),
        ("bad_timestamp", ~F.col(TIMESTAMP).between(first, last)),
        ("bad_rating", ~is_rating(F.col(RATING))),
    ]


def _is_missing(text: Column) -> Column:
    return text.isNull() | (F.trim(text) == "")


def seconds_between(config: IngestionConfig) -> tuple[int, int]:
    """The first and the last second that a review may have."""
    first = date.fromisoformat(config.first_day)
    last = date.fromisoformat(config.last_day)
    return calendar.timegm(first.timetuple()), calendar.timegm(last.timetuple()) + 86_399
