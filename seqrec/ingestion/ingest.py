"""From raw files to the tables `reviews`, `items` and `rejects`; every line is counted. Read `ingest` first."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from py4j.protocol import Py4JError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from seqrec.core.columns import LINE, REASON, SOURCE
from seqrec.core.errors import DataError
from seqrec.core.manifest import Attempt, Table
from seqrec.ingestion.clean_lines import CleanLines, read_clean_lines
from seqrec.ingestion.config import IngestionConfig
from seqrec.ingestion.files.splitting import find_broken, needs_pieces, split_file
from seqrec.ingestion.formats.fields.item_columns import ITEM_COLUMNS, keep_first_lines
from seqrec.ingestion.formats.fields.review_columns import keep_good_reviews
from seqrec.ingestion.formats.line_sources import LineSource
from seqrec.ingestion.formats.parsing import parsed_metadata, parsed_reviews
from seqrec.ingestion.formats.second_look import with_second_look
from seqrec.ingestion.line_counts import (
    BLANK,
    FILE_PATH,
    GOOD,
    STATE,
    TRUNCATED,
    WRITTEN,
    FileCounts,
    LineCounter,
    check_rejects,
    counts_table,
    path_of,
)
from seqrec.tables.files import joined_tables, write_table

_LOG = logging.getLogger(__name__)

REJECTS = StructType(
    [
        StructField(SOURCE, StringType(), nullable=False),
        StructField(REASON, StringType(), nullable=False),
        StructField(LINE, StringType(), nullable=False),
    ]
)
_PIECES = "pieces"  # Folder below the dataset that holds the pieces of archives.
_REJECT_CHARACTERS = 200  # Characters of a rejected line that are kept.

Parser = Callable[[SparkSession, Sequence[LineSource], IngestionConfig], DataFrame]


@dataclass(frozen=True)
class Ingested:
    tables: dict[str, Table]  # reviews, items, rejects
    files: list[FileCounts]  # Counts of the review files, then of the metadata files, in the order of the sources.


def ingest(
    spark: SparkSession,
    reviews: Sequence[LineSource],
    metadata: Sequence[LineSource],
    config: IngestionConfig,
    attempt: Attempt,
) -> Ingested:
    """Writes the three tables below `attempt`. Each good line is parsed once, on its way to the disk.

    The clean lines of reviews are read by compiled code; what is left of them, and metadata, goes by Spark's rules.

    Raises:
        DataError: a broken archive, too many rejects, or no good review; the message names the file.
    """
    pieces = f"{attempt.dataset.path}/{_PIECES}"

    def split(source: LineSource) -> LineSource:
        keep = config.on_truncated == "keep"
        return replace(source, lines=split_file(source.lines, attempt.storage, pieces, config, keep_truncated=keep))

    clean = read_clean_lines(spark, reviews, config, attempt, pieces)
    reviews, metadata = (
        [split(source) if source.is_whole and needs_pieces(source.lines, config) else source for source in sources]
        for sources in (clean.left, metadata)
    )
    try:
        ingested = write_tables(spark, clean, reviews, metadata, config, attempt)
    except Py4JError:
        # Spark does not name the archive that it failed at. The search for it costs a pass, but only now.
        broken = find_broken([source.lines for source in [*reviews, *metadata]])
        if not broken:
            raise
        reviews, metadata = (
            [split(source) if source.file in broken else source for source in sources]
            for sources in (reviews, metadata)
        )
        _LOG.info("only the whole lines are read of %s", ", ".join(file.display for file in broken))
        ingested = write_tables(spark, clean, reviews, metadata, config, attempt)
    attempt.storage.delete(pieces)
    return ingested


def write_tables(
    spark: SparkSession,
    clean: CleanLines,
    reviews: Sequence[LineSource],
    metadata: Sequence[LineSource],
    config: IngestionConfig,
    attempt: Attempt,
) -> Ingested:
    """Writes the three tables once Spark can read every source. Parameters and errors are those of `ingest`.

    Args:
        clean: what has been written of the reviews.
        reviews: where the other lines are.
    """
    review_table, review_counts = write_reviews(spark, reviews, config, attempt)
    if (looked_at := with_second_look(spark, reviews, review_counts, config)) != [*reviews]:
        reviews = looked_at
        review_table, review_counts = write_reviews(spark, reviews, config, attempt)
    item_table, item_counts = write_items(spark, metadata, config, attempt)
    if (looked_at := with_second_look(spark, metadata, item_counts, config)) != [*metadata]:
        metadata = looked_at
        item_table, item_counts = write_items(spark, metadata, config, attempt)
    review_table = joined_tables([clean.table, review_table])
    review_counts = clean.with_counts(review_counts)
    counts = [*review_counts, *item_counts]
    _LOG.info("%s", counts_table(counts))
    check_rejects(review_counts, config.max_reject_fraction)
    check_rejects(item_counts, config.max_reject_fraction)
    if review_table.rows == 0:
        raise DataError(f"{reviews[0].file.display}: no line holds a review. Check the files of source.reviews.")
    rejects = joined_tables([])
    if any(one.rejects for one in counts):
        rejects = write_table(build_rejects(spark, reviews, metadata, counts, config), attempt, "rejects")
    tables = {"reviews": review_table, "items": item_table, "rejects": rejects}
    _check_sums(tables, review_counts, item_counts)
    return Ingested(tables, counts)


def write_reviews(
    spark: SparkSession, sources: Sequence[LineSource], config: IngestionConfig, attempt: Attempt
) -> tuple[Table, list[FileCounts]]:
    """Writes the table `reviews` for the lines that are not clean; also returns the counts of each file."""
    with_lines = [source for source in sources if source.uris]
    if not with_lines:
        return joined_tables([]), _with_cut_lines([FileCounts(source.file.uri) for source in sources], sources)
    counter = _counter(spark, "reviews", with_lines)
    parsed = counter.watch(parsed_reviews(spark, with_lines, config))
    table = write_table(keep_good_reviews(parsed), attempt, "reviews/others")
    counts = {one.source: one for one in counter.counts()}
    every = [counts.get(source.file.uri, FileCounts(source.file.uri)) for source in sources]
    return table, _with_cut_lines(every, sources)


def write_items(
    spark: SparkSession, sources: Sequence[LineSource], config: IngestionConfig, attempt: Attempt
) -> tuple[Table, list[FileCounts]]:
    """Writes the table `items`; also returns the counts of each file."""
    if not sources:
        return joined_tables([]), []
    good = _counter(spark, "metadata", sources)
    first = _counter(spark, "items", sources)
    parsed = good.watch(parsed_metadata(spark, sources, config))
    kept = first.watch(keep_first_lines(parsed).withColumn(STATE, F.lit(GOOD)))
    table = write_table(kept.select(*ITEM_COLUMNS), attempt, "items")
    counts = good.counts()
    for one, kept_one in zip(counts, first.counts(), strict=True):
        one.repeated = one.written - kept_one.written
        one.written = kept_one.written
    return table, _with_cut_lines(counts, sources)


def build_rejects(
    spark: SparkSession,
    reviews: Sequence[LineSource],
    metadata: Sequence[LineSource],
    counts: Sequence[FileCounts],
    config: IngestionConfig,
) -> DataFrame:
    """One row per rejected line: its file, the reason, and the start of the line.

    Only files that have rejects are read again, so a clean dump is read once.
    """
    with_rejects = {one.source for one in counts if one.rejects.keys() - {TRUNCATED}}
    cut = [
        (source.file.uri, TRUNCATED, line[:_REJECT_CHARACTERS])
        for source in [*reviews, *metadata]
        for line in source.lines.cut_lines
    ]
    rejects = spark.createDataFrame(cut, REJECTS)
    sides: dict[str, tuple[Sequence[LineSource], Parser]] = {
        "reviews": (reviews, parsed_reviews),
        "metadata": (metadata, parsed_metadata),
    }
    for side, (sources, parse) in sides.items():
        chosen = [source for source in sources if source.file.uri in with_rejects]
        if chosen:
            # The observation keeps the filter apart from the parser, which Spark would copy into the condition.
            parsed = parse(spark, chosen, config).observe(f"rejects of {side}", F.count(F.lit(1)).alias("lines"))
            bad = parsed.where(~F.col(STATE).isin(*WRITTEN, BLANK))
            rejects = rejects.unionByName(_as_rejects(spark, bad, chosen))
    return rejects


def _as_rejects(spark: SparkSession, bad: DataFrame, sources: Sequence[LineSource]) -> DataFrame:
    rows = [(path_of(uri), source.file.uri) for source in sources for uri in source.uris]
    names = spark.createDataFrame(rows, f"{FILE_PATH} string, {SOURCE} string")
    start = F.substring(LINE, 1, _REJECT_CHARACTERS)
    return bad.join(F.broadcast(names), FILE_PATH, how="inner").select(
        SOURCE, F.col(STATE).alias(REASON), start.alias(LINE)
    )


def _counter(spark: SparkSession, name: str, sources: Sequence[LineSource]) -> LineCounter:
    return LineCounter(spark, name, {uri: source.file.uri for source in sources for uri in source.uris})


def _with_cut_lines(counts: list[FileCounts], sources: Sequence[LineSource]) -> list[FileCounts]:
    cut = {source.file.uri: len(source.lines.cut_lines) for source in sources}
    for one in counts:
        if cut[one.source]:
            one.add(TRUNCATED, cut[one.source])
    return counts


def _check_sums(tables: dict[str, Table], reviews: Sequence[FileCounts], items: Sequence[FileCounts]) -> None:
    """Checks that the lines counted on the way are those on the disk: a task that ran twice must not count twice."""
    expected = {
        "reviews": sum(one.written for one in reviews),
        "items": sum(one.written for one in items),
        "rejects": sum(one.num_rejects for one in [*reviews, *items]),
    }
    for name, rows in expected.items():
        if tables[name].rows != rows:
            raise DataError(
                f"{name}: {rows:,} lines were counted, but {tables[name].rows:,} written. Run ingest again."
            )
