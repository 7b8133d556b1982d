"""Files with rejected lines that a second look can save: a literal among JSON, a number written as text."""

from collections.abc import Sequence
from dataclasses import replace

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from seqrec.core.columns import LINE
from seqrec.ingestion.config import IngestionConfig
from seqrec.ingestion.files.raw_lines import LINE_ORDER, read_lines
from seqrec.ingestion.formats.line_sources import LineSource
from seqrec.ingestion.line_counts import BLANK, FILE_PATH, STATE, TRUNCATED, WRITTEN, FileCounts, path_of


def with_second_look(
    spark: SparkSession, sources: Sequence[LineSource], counts: Sequence[FileCounts], config: IngestionConfig
) -> list[LineSource]:
    """`sources`, with the dialect of the second look for files in which it saves a line.

    Only files with rejects are read again, and Python sees only their rejected lines.

    Args:
        counts: of the lines of each source at the first look.
    """
    with_rejects = {one.source for one in counts if one.rejects.keys() - {TRUNCATED, "too_long"}}
    again = [
        replace(source, dialect=dialect)
        if source.file.uri in with_rejects
        and (dialect := source.line_format.second_dialect(source.dialect)) is not None
        else source
        for source in sources
    ]
    pairs = [(first, second) for first, second in zip(sources, again, strict=True) if first != second]
    saved = _saved_files(spark, pairs, config)
    return [
        second if saved.intersection(map(path_of, second.uris)) else first
        for first, second in zip(sources, again, strict=True)
    ]


def _saved_files(
    spark: SparkSession, pairs: Sequence[tuple[LineSource, LineSource]], config: IngestionConfig
) -> set[str]:
    """Paths of the files with a line that is refused at the first look and good at the second."""
    uris: dict[tuple, list[str]] = {}
    for first, second in pairs:
        uris.setdefault((first.line_format, first.dialect, second.dialect), []).extend(first.uris)
    found: set[str] = set()
    for (line_format, dialect, second_dialect), files in uris.items():
        refused = _refused(line_format.parse(read_lines(spark, files), dialect, config))
        looked_at = line_format.parse(refused, second_dialect, config)
        saved = looked_at.where(F.col(STATE).isin(*WRITTEN)).select(FILE_PATH).distinct()
        found.update(row[0] for row in saved.collect())
    return found


def _refused(parsed: DataFrame) -> DataFrame:
    # The observation keeps the filter apart from the parser, which Spark would copy into the condition.
    observed = parsed.observe("first look", F.count(F.lit(1)).alias("lines"))
    return observed.where(~F.col(STATE).isin(*WRITTEN, BLANK)).select(LINE, FILE_PATH, LINE_ORDER)
