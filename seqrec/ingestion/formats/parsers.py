"""From line sources to parsed lines: each format by its own parser, all in one table."""

from collections import defaultdict
from collections.abc import Sequence
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from seqrec.core.columns import GROUP, ITEM, LINE, RATING, TIMESTAMP, USER, VERIFIED, VOTES
from seqrec.ingestion.config import IngestionConfig
from seqrec.ingestion.files.line_sources import LineSource
from seqrec.ingestion.files.raw_lines import LINE_ORDER, read_lines
from seqrec.ingestion.formats.line_formats import LineFormat
from seqrec.ingestion.formats.metadata_parsing import (
    ITEM_COLUMNS,
    SOURCE_ORDER,
    parse_metadata,
    parse_metadata_2014,
    parse_metadata_2023,
)
from seqrec.ingestion.formats.ratings_columns import ratings_columns
from seqrec.ingestion.formats.review_parsing import parse_ratings, parse_reviews, parse_reviews_2023
from seqrec.ingestion.line_counts import FILE_PATH, STATE

_REVIEW_COLUMNS = (USER, ITEM, RATING, TIMESTAMP, VERIFIED, VOTES, GROUP, LINE, FILE_PATH, STATE)
_METADATA_PARSERS = {
    LineFormat.METADATA: parse_metadata,
    LineFormat.METADATA_2014: parse_metadata_2014,
    LineFormat.METADATA_2023: parse_metadata_2023,
}


def parsed_reviews(spark: SparkSession, sources: Sequence[LineSource], config: IngestionConfig) -> DataFrame:
    """One row per line of all sources: the columns of `reviews`, the line, its file and its state."""
    alike: dict[tuple[LineFormat, tuple[str, ...], str | None], list[str]] = defaultdict(list)
    for source in sources:
        line_format = source.line_format or LineFormat.REVIEWS  # No line but blank ones: any parser counts them.
        columns: tuple[str, ...] = ()
        if line_format in (LineFormat.RATINGS, LineFormat.RATINGS_2023):
            columns = ratings_columns(source.sniffed, config.csv_columns)
        alike[line_format, columns, source.group].extend(source.uris)
    parts = []
    for (line_format, columns, group), uris in alike.items():
        lines = read_lines(spark, uris)
        if line_format is LineFormat.REVIEWS:
            parsed = parse_reviews(lines, config)
        elif line_format is LineFormat.REVIEWS_2023:
            parsed = parse_reviews_2023(lines, config)
        else:
            per_second = 1000 if line_format is LineFormat.RATINGS_2023 else 1
            parsed = parse_ratings(lines, config, columns, per_second)
        parts.append(parsed.withColumn(GROUP, F.lit(group).cast("string")).select(*_REVIEW_COLUMNS))
    return reduce(DataFrame.unionByName, parts)


def parsed_metadata(spark: SparkSession, sources: Sequence[LineSource], config: IngestionConfig) -> DataFrame:
    """One row per line of all sources: the columns of `items`, the line, its file, its place and its state."""
    parts = []
    for number, source in enumerate(sources):
        parse = _METADATA_PARSERS[source.line_format or LineFormat.METADATA]
        group = F.coalesce(GROUP, F.lit(source.group))
        parsed = parse(read_lines(spark, list(source.uris)), config)
        parsed = parsed.withColumn(GROUP, group).withColumn(SOURCE_ORDER, F.lit(number))
        parts.append(parsed.select(*ITEM_COLUMNS, LINE, FILE_PATH, SOURCE_ORDER, LINE_ORDER, STATE))
    return reduce(DataFrame.unionByName, parts)
