"""Review and ratings lines to reviews: every line gets a state, and good ones all columns."""

import calendar
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from seqrec.core.columns import GROUP, ITEM, LINE, RATING, TIMESTAMP, USER, VERIFIED, VOTES
from seqrec.ingestion.config import IngestionConfig
from seqrec.ingestion.files.raw_lines import line_hash, state_of
from seqrec.ingestion.formats.json_records import with_json_record
from seqrec.ingestion.formats.record_fields import is_id, is_quoted, is_rating, parsed_votes
from seqrec.ingestion.line_counts import GOOD, STATE

# Votes are read as text, whatever they are: an odd one makes no review worthless.
_JSON_FIELDS = (
    "reviewerID:string, asin:string, overall:double, unixReviewTime:bigint, verified:boolean, "
    "vote:string, helpful:string"
)
_JSON_FIELDS_2023 = (
    "user_id:string, parent_asin:string, asin:string, rating:double, timestamp:bigint, verified_purchase:boolean, "
    "helpful_vote:string"
)


def parse_reviews(lines: DataFrame, config: IngestionConfig) -> DataFrame:
    """2014 and 2018 review lines: the columns of `reviews`, `state`, and what came in."""
    return (
        lines.transform(with_json_record, _JSON_FIELDS, config.max_line_bytes)
        .withColumns(
            {
                USER: F.col("record.reviewerID"),
                ITEM: F.col("record.asin"),
                RATING: F.col("record.overall"),
                TIMESTAMP: F.col("record.unixReviewTime"),
                VERIFIED: F.col("record.verified"),
                VOTES: parsed_votes(F.coalesce("record.vote", "record.helpful")),
            }
        )
        .transform(with_json_state, config)
    )


def parse_reviews_2023(lines: DataFrame, config: IngestionConfig) -> DataFrame:
    """2023 review lines. An item is its parent: what the metadata describes. Times come in milliseconds."""
    return (
        lines.transform(with_json_record, _JSON_FIELDS_2023, config.max_line_bytes)
        .withColumns(
            {
                USER: F.col("record.user_id"),
                ITEM: F.coalesce("record.parent_asin", "record.asin"),
                RATING: F.col("record.rating"),
                TIMESTAMP: F.floor(F.col("record.timestamp") / 1000),
                VERIFIED: F.col("record.verified_purchase"),
                VOTES: parsed_votes(F.col("record.helpful_vote")),
            }
        )
        .transform(with_json_state, config)
    )


def with_json_state(parsed: DataFrame, config: IngestionConfig) -> DataFrame:
    """Adds the state of a line that should be one JSON object."""
    is_good = (
        F.col("problem").isNull()
        & _has_good_fields(config)
        & is_quoted(F.col(USER), F.col(LINE))
        & is_quoted(F.col(ITEM), F.col(LINE))
    )
    problem = F.col("problem")
    state = state_of(
        is_good,
        GOOD,
        *((name, problem == name) for name in ("too_long", "malformed", "several_records", "wrong_type")),
        *_field_faults(config),
        ("wrong_type", F.lit(True)),  # An id that is a bare number.
    )
    return parsed.withColumn(STATE, state)


def parse_ratings(lines: DataFrame, config: IngestionConfig, columns: tuple[str, ...], per_second: int) -> DataFrame:
    """Ratings lines.

    Args:
        columns: what stands in the file, in its order: `user_id`, `item_id`, `rating`, `timestamp` and others.
        per_second: units of the timestamp in a second: 1, or 1000 in the 2023 files.
    """
    rating = _number(columns.index(RATING), "double")
    # Nearly all times are whole numbers, which are read faster. The floor of NaN would be 0, a time like any other.
    fraction = F.nanvl(_number(columns.index(TIMESTAMP), "double"), F.lit(float("inf")))
    time = F.coalesce(_number(columns.index(TIMESTAMP), "bigint"), F.floor(fraction))
    is_header = F.get("fields", 0).isin("user_id", "item_id", "userId", "asin", "reviewerID") & time.isNull()
    is_good = (F.size("fields") == len(columns)) & _has_good_fields(config) & F.col(RATING).isNotNull()
    state = state_of(
        is_good,
        GOOD,
        ("blank", is_header),
        ("too_long", F.octet_length(LINE) > config.max_line_bytes),
        ("wrong_columns", F.size("fields") != len(columns)),
        *_field_faults(config),
        ("bad_rating", F.lit(True)),
    )
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


def keep_good_reviews(parsed: DataFrame) -> DataFrame:
    """Only the good lines, only the columns of `reviews`."""
    return parsed.where(F.col(STATE) == GOOD).select(
        USER,
        ITEM,
        F.col(RATING).cast("float").alias(RATING),
        TIMESTAMP,
        VERIFIED,
        VOTES,
        GROUP,
        line_hash(),
    )


def _number(field: int, kind: str) -> Column:
    """With spark.sql.ansi.enabled a plain cast, or fields[...], would end the job at the first broken line."""
    return F.expr(f"try_cast(get(fields, {field}) as {kind})")


def _has_good_fields(config: IngestionConfig) -> Column:
    first, last = _seconds_between(config)
    return (
        is_id(F.col(USER))
        & is_id(F.col(ITEM))
        & F.col(TIMESTAMP).isNotNull()
        & F.col(TIMESTAMP).between(first, last)
        & is_rating(F.col(RATING))
    )


def _field_faults(config: IngestionConfig) -> list[tuple[str, Column]]:
    first, last = _seconds_between(config)
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


def _seconds_between(config: IngestionConfig) -> tuple[int, int]:
    """The first and the last second that a review may have."""
    first = date.fromisoformat(config.first_day)
    last = date.fromisoformat(config.last_day)
    return calendar.timegm(first.timetuple()), calendar.timegm(last.timetuple()) + 86_399
