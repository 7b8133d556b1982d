"""The plainly clean lines of review files, read by compiled code, in tasks of bytes; exact rules judge the others."""

import hashlib
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from pyspark.sql import SparkSession

from seqrec.core.manifest import Attempt, FileEntry, Table
from seqrec.ingestion.compiled.kernel import compiled_library
from seqrec.ingestion.compiled.parts import Part, PartReader, ReadPart
from seqrec.ingestion.config import IngestionConfig
from seqrec.ingestion.files.archives import Compression
from seqrec.ingestion.formats.line_sources import LineSource
from seqrec.ingestion.line_counts import BLANK, GOOD, FileCounts
from seqrec.tables.files import check_footers, joined_tables

_LOG = logging.getLogger(__name__)

_MIN_PART_BYTES, _MAX_PART_BYTES = 16 << 20, 256 << 20  # A task takes so much of a plain file.
_PARTS_PER_CORE = 4  # So that the last ones end at about the same time.


@dataclass(frozen=True)
class CleanLines:
    """What the compiled reader has taken."""

    table: Table  # The rows of `reviews` that are clean.
    counts: dict[str, FileCounts]  # Clean and empty lines, by the address of each file that was read.
    # Sources with the lines that are left, in the order given: all lines of some, none of others.
    left: list[LineSource]

    def with_counts(self, others: Sequence[FileCounts]) -> list[FileCounts]:
        """The counts of all lines, from those of the other lines of each file."""
        merged = []
        for other in others:
            whole = FileCounts(other.source)
            for one in (self.counts.get(other.source), other):
                if one is not None:
                    whole.merge(one)
            merged.append(whole)
        return merged


def is_compiled(source: LineSource, config: IngestionConfig) -> bool:
    """Whether the compiled reader reads a source."""
    return (
        config.compiled
        and source.line_format.clean_line(source.dialect, config) is not None
        and compiled_library() is not None
    )


def read_clean_lines(
    spark: SparkSession, sources: Sequence[LineSource], config: IngestionConfig, attempt: Attempt, pieces: str
) -> CleanLines:
    """Writes the clean lines of `sources` as files of the table `reviews`, and their other lines below `pieces`.

    Counts and the digest are those of the tasks' own rows: a task writes whole files of its own, so one that runs again
    writes them over, and Spark returns what one run of each task has counted. The files' footers are compared.

    Raises:
        DataError: a broken archive or a line without end; the message names the file.
    """
    compiled = [source for source in sources if is_compiled(source, config)]
    parts = _parts_of(compiled, config, spark.sparkContext.defaultParallelism)
    if not parts:
        return CleanLines(joined_tables([]), {}, [*sources])
    reader = PartReader(
        library=compiled_library() or b"",
        root=attempt.storage.root,
        table=f"{attempt.path}/reviews",
        pieces=f"{pieces}/{hashlib.sha256(attempt.id.encode()).hexdigest()[:16]}",
        piece_bytes=config.piece_mb << 20,
        keep_cut=config.on_truncated == "keep",
    )
    read = _run(spark, reader, parts, config)
    for one in read:
        if one.error is not None:
            raise one.error
    files = tuple(FileEntry(path=reader.path_of(one.part), rows=one.rows, size=one.size) for one in read if one.rows)
    check_footers(attempt.storage, files)
    digest = sum(one.digest for one in read) % (1 << 64)
    table = Table(rows=sum(file.rows for file in files), content=f"{digest:016x}", files=files)
    counts = {source.file.uri: FileCounts(source.file.uri) for source in compiled}
    for one in read:
        counts[one.part.file.uri].add(GOOD, one.rows)
        counts[one.part.file.uri].add(BLANK, one.blank)
    left = [_left(source, read, attempt) if source in compiled else source for source in sources]
    return CleanLines(table, counts, left)


def _parts_of(sources: Sequence[LineSource], config: IngestionConfig, num_cores: int) -> list[Part]:
    """Large parts first, so that no task begins late and ends last."""
    plain = sum(source.file.size for source in sources if source.lines.compression is Compression.PLAIN)
    wanted = plain // (_PARTS_PER_CORE * num_cores) + 1
    part_bytes = min(max(wanted, _MIN_PART_BYTES), _MAX_PART_BYTES)
    ranges = []
    for source in sources:
        file, compression = source.lines.file, source.lines.compression
        line = source.line_format.clean_line(source.dialect, config)
        assert line is not None  # Otherwise the source would not be here.
        number = -(-file.size // part_bytes) if compression is Compression.PLAIN else 1
        starts = [file.size * place // max(number, 1) for place in range(number + 1)]
        for start, end in zip(starts, starts[1:], strict=False):
            ranges.append(Part(0, file, compression, start, end, line, source.group))
    ranges.sort(key=lambda part: (part.start - part.end, part.file.uri, part.start))
    return [replace(part, number=number) for number, part in enumerate(ranges)]


def _run(spark: SparkSession, reader: PartReader, parts: list[Part], config: IngestionConfig) -> list[ReadPart]:
    """What each part gave, in their order: by threads of this process where there are few bytes, else by Spark."""
    if sum(part.end - part.start for part in parts) <= config.in_process_mb << 20:
        cores = min(spark.sparkContext.defaultParallelism, os.cpu_count() or 1, len(parts))
        with ThreadPoolExecutor(max(cores, 1)) as pool:
            return list(pool.map(reader, parts))
    return spark.sparkContext.parallelize(parts, len(parts)).map(reader).collect()


def _left(source: LineSource, read: Sequence[ReadPart], attempt: Attempt) -> LineSource:
    """The source with its doubtful lines alone."""
    own = [one for one in read if one.part.file == source.file]
    uris = tuple(attempt.storage.uri(path) for one in own for path in one.doubtful)
    cut = tuple(one.cut_line for one in own if one.cut_line is not None)
    return replace(source, lines=replace(source.lines, uris=uris, cut_lines=cut))
