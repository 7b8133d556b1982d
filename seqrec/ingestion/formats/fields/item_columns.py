"""The columns of `items`, the state of a metadata line, and the first good line of each item."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from seqrec.core.columns import ALSO_BUY, ALSO_VIEW, BRAND, CATEGORY, CATEGORY_PATH, GROUP, ITEM, LINE, PRICE, TITLE
from seqrec.ingestion.files.raw_lines import LINE_ORDER, state_of
from seqrec.ingestion.formats.fields.categories import last_of
from seqrec.ingestion.formats.fields.record_fields import decoded, is_id, is_quoted, non_empty, parsed_price, text_list
from seqrec.ingestion.line_counts import FILE_PATH, GOOD, STATE, WRITTEN

SOURCE_ORDER = "source_order"  # Number of the raw file among all of them: earlier files win.

ITEM_COLUMNS = (ITEM, CATEGORY, CATEGORY_PATH, GROUP, TITLE, BRAND, PRICE, ALSO_BUY, ALSO_VIEW)
_IMAGE_TEXT = r"<img[^>]*\balt=\"([^\"]+)\""


def with_item_columns(
    parsed: DataFrame,
    *,
    item: Column,
    path: Column,
    brand: Column,
    group: Column,
    also_buy: Column,
    also_view: Column,
    text: str = LINE,
) -> DataFrame:
    """Adds the columns of `items`, and the state of each line.

    Args:
        text: the column that holds the line as JSON, where an id must stand in quotes.
    """
    problem = F.col("problem")
    is_good = problem.isNull() & is_id(F.col(ITEM)) & is_quoted(F.col(ITEM), F.col(text))
    state = state_of(
        is_good,
        GOOD,
        *((name, problem == name) for name in ("too_long", "malformed", "several_records", "wrong_type")),
        ("malformed", F.col(text).isNull()),
        ("missing_item", F.col(ITEM).isNull() | (F.trim(ITEM) == "")),
        ("bad_item", ~is_id(F.col(ITEM))),
        ("wrong_type", F.lit(True)),  # An id that is a bare number.
    )
    named = {
        ITEM: item,
        CATEGORY_PATH: F.coalesce(path, F.array().cast("array<string>")),
        GROUP: non_empty(decoded(_without_image(group))),
        TITLE: non_empty(decoded(parsed["record"]["title"])),
        BRAND: non_empty(decoded(brand)),
        PRICE: parsed_price(parsed["record"]["price"]),
        ALSO_BUY: text_list(also_buy),
        ALSO_VIEW: text_list(also_view),
    }
    return parsed.withColumns(named).withColumn(CATEGORY, last_of(F.col(CATEGORY_PATH))).withColumn(STATE, state)


def keep_first_lines(parsed: DataFrame) -> DataFrame:
    """One row per item, the columns of `items`: of several good lines the first one."""
    in_order = Window.partitionBy(ITEM).orderBy(SOURCE_ORDER, FILE_PATH, LINE_ORDER)
    return (
        parsed.where(F.col(STATE).isin(*WRITTEN))
        .select(*ITEM_COLUMNS, SOURCE_ORDER, FILE_PATH, LINE_ORDER)
        .withColumn("number", F.row_number().over(in_order))
        .where(F.col("number") == 1)
    )


def _without_image(group: Column) -> Column:
    """Some departments come as the picture that shows their name."""
    return F.when(group.contains("<"), F.regexp_extract(group, _IMAGE_TEXT, 1)).otherwise(group)
