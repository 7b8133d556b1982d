"""From sources to parsed lines: each file by its own format, all in one table."""

from collections import defaultdict
from collections.abc import Sequence
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from seqrec.core.columns import GROUP, ITEM, LINE, RATING, TIMESTAMP, USER, VERIFIED, VOTES
from seqrec.ingestion.config import IngestionConfig
from seqrec.ingestion.files.raw_lines import LINE_ORDER, read_lines
from seqrec.ingestion.formats.fields.item_columns import ITEM_COLUMNS, SOURCE_ORDER
from seqrec.ingestion.formats.line_format import LineFormat
from seqrec.ingestion.formats.line_sources import LineSource
from seqrec.ingestion.line_counts import FILE_PATH, STATE

_REVIEW_COLUMNS = (USER, ITEM, RATING, TIMESTAMP, VERIFIED, VOTES, GROUP, LINE, FILE_PATH, STATE)


def parsed_reviews(spark: SparkSession, sources: Sequence[LineSource], config: IngestionConfig) -> DataFrame:
    """One row per line of all sources: the columns of `reviews`, the line, its file and its state."""
    alike: dict[tuple[LineFormat, Any, str | None], list[str]] = defaultdict(list)
    for source in sources:
        alike[source.line_format, source.dialect, source.group].extend(source.uris)
    parts = []
    for (line_format, dialect, group), uris in alike.items():
        parsed = line_format.parse(read_lines(spark, uris), dialect, config)
        parts.append(parsed.withColumn(GROUP, F.lit(group).cast("string")).select(*_REVIEW_COLUMNS))
    return reduce(DataFrame.unionByName, parts)


def parsed_metadata(spark: SparkSession, sources: Sequence[LineSource], config: IngestionConfig) -> DataFrame:
    """One row per line of all sources: the columns of `items`, the line, its file, its place and its state."""
    parts = []
    for number, source in enumerate(sources):
        group = F.coalesce(GROUP, F.lit(source.group))
        parsed = source.line_format.parse(read_lines(spark, list(source.uris)), source.dialect, config)
        parsed = parsed.withColumn(GROUP, group).withColumn(SOURCE_ORDER, F.lit(number))
        parts.append(parsed.select(*ITEM_COLUMNS, LINE, FILE_PATH, SOURCE_ORDER, LINE_ORDER, STATE))
    return reduce(DataFrame.unionByName, parts)
