"""The row filters, which decide which reviews are interactions. Each is a pure function from DataFrame to DataFrame."""

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from seqrec.core.columns import GROUP, ITEM, RATING, SECONDS_PER_DAY, TIMESTAMP, USER
from seqrec.core.errors import DataError, nearest
from seqrec.preparation.config import PreparationConfig, day_number
from seqrec.tables.prepared_schemas import TIE

_MAX_GROUPS = 1000  # Groups that are collected for a message. There are a few dozen, unless the column is another one.


def keep_rated(reviews: DataFrame, min_rating: float | None) -> DataFrame:
    """Reviews with a rating of at least `min_rating`, so none without a rating; None keeps all."""
    return reviews if min_rating is None else reviews.filter(_rated(min_rating))


def with_item_groups(reviews: DataFrame, items: DataFrame) -> DataFrame:
    """Gives a review without a group the group of its item in the metadata.

    Reviews lack a group if their file does not name one, as the file of the whole dump.
    """
    of_item = F.col("group_of_item")
    named = items.select(ITEM, F.col(GROUP).alias("group_of_item"))
    with_both = reviews.join(named, on=ITEM, how="left").withColumn(GROUP, F.coalesce(GROUP, of_item))
    return with_both.select(*reviews.columns)


def keep_groups(reviews: DataFrame, groups: Sequence[str] | None) -> DataFrame:
    """Reviews in the named groups; None keeps all."""
    return reviews if groups is None else reviews.filter(F.col(GROUP).isin(*groups))


def keep_dates(reviews: DataFrame, start_date: str | None, end_date: str | None) -> DataFrame:
    """Reviews from the first to the last day (YYYY-MM-DD, UTC), both included; None means no bound."""
    if start_date is not None:
        reviews = reviews.filter(_from_day(start_date))
    return reviews if end_date is None else reviews.filter(_until_day(end_date))


def with_tie_hash(reviews: DataFrame) -> DataFrame:
    """Adds `tie`, the xxhash64 of user and item, which orders a user's events that share a timestamp.

    Whole-day timestamps tie often. Neither the item id nor the order of the input may decide: both put a predictable
    item last, and the last item becomes the target.
    """
    return reviews.withColumn(TIE, F.xxhash64(USER, ITEM))


def filter_reviews(reviews: DataFrame, config: PreparationConfig) -> DataFrame:
    """The reviews that all row filters keep."""
    return (
        reviews.transform(keep_rated, config.min_rating)
        .transform(keep_groups, config.groups)
        .transform(keep_dates, config.start_date, config.end_date)
    )


@dataclass(frozen=True)
class Filtered:
    """Counts of the row filters, and the days that the remaining reviews span."""

    counts: dict[str, int]  # Rows that each filter drops, in the order of the filters, and rows that remain.
    first_day: int  # In days since 1970.
    last_day: int


def count_filtered(reviews: DataFrame, config: PreparationConfig) -> Filtered:
    """Counts the rows that each filter drops, in one pass.

    Raises:
        DataError: a user, item or timestamp is null, a group that `groups` names has no reviews, or no review is left.
    """
    rated = _condition(config.min_rating, _rated(config.min_rating))
    grouped = rated & _condition(config.groups, F.col(GROUP).isin(*(config.groups or ())))
    dated = grouped
    for date, condition in ((config.start_date, _from_day), (config.end_date, _until_day)):
        dated = dated & (F.lit(True) if date is None else condition(date))
    is_null = F.col(USER).isNull() | F.col(ITEM).isNull() | F.col(TIMESTAMP).isNull()
    time = F.when(dated, F.col(TIMESTAMP))
    row = reviews.agg(
        F.count(F.lit(1)).alias("reviews"),
        F.count_if(rated).alias("rated"),
        F.count_if(grouped).alias("grouped"),
        F.count_if(dated).alias("dated"),
        F.count_if(is_null).alias("nulls"),
        F.min(time).alias("first"),
        F.max(time).alias("last"),
        *(F.count_if(F.col(GROUP) == group).alias(f"group {group}") for group in config.groups or ()),
    ).first()
    if row["nulls"]:
        raise DataError(f"{row['nulls']} reviews have no user, item or timestamp: run the job 'ingest' again.")
    for group in config.groups or ():
        if not row[f"group {group}"]:
            raise DataError(
                f"preparation.groups: no review is of '{group}'; {_known_groups(reviews, group)}. "
                "Spell it as the data does, or leave it out."
            )
    if not row["dated"]:
        raise DataError(
            f"None of {row['reviews']} reviews passes min_rating, groups, start_date and end_date: widen them."
        )
    counts = {
        "reviews": row["reviews"],
        "dropped_by_rating": row["reviews"] - row["rated"],
        "dropped_by_group": row["rated"] - row["grouped"],
        "dropped_by_date": row["grouped"] - row["dated"],
        "filtered_reviews": row["dated"],
    }
    return Filtered(counts, row["first"] // SECONDS_PER_DAY, row["last"] // SECONDS_PER_DAY)


def _known_groups(reviews: DataFrame, wanted: str) -> str:
    """Names the group that the user may have meant, or the groups there are."""
    rows = reviews.select(GROUP).where(F.col(GROUP).isNotNull()).distinct().orderBy(GROUP).limit(_MAX_GROUPS).collect()
    known = [row[GROUP] for row in rows]
    close = nearest(wanted, known)
    if close is not None:
        return f"the nearest is '{close}'"
    return f"there are {', '.join(known[:20])}" if known else "no review has any group"


def _rated(least: float | None) -> Column:
    # The limit is compared as a float32, as ratings are stored: 3.3 as a float32 is less than 3.3 as a float64.
    return F.col(RATING) >= F.lit(least).cast("float")


def _condition(setting: object, condition: Column) -> Column:
    return F.lit(True) if setting is None else F.coalesce(condition, F.lit(False))


def _from_day(date: str) -> Column:
    return F.col(TIMESTAMP) >= day_number(date, "start_date") * SECONDS_PER_DAY


def _until_day(date: str) -> Column:
    return F.col(TIMESTAMP) < (day_number(date, "end_date") + 1) * SECONDS_PER_DAY
