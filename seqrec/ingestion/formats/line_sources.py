"""Raw files as sources of lines whose format is known."""

import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from seqrec.core.errors import DataError
from seqrec.ingestion.config import IngestionConfig
from seqrec.ingestion.files.file_kinds import kind_of_text
from seqrec.ingestion.files.groups import group_of_file
from seqrec.ingestion.files.line_files import LineFile, foreign_file, open_line_file
from seqrec.ingestion.files.raw_files import RawFile, find_raw_files
from seqrec.ingestion.formats.line_format import LineFormat, RawLine
from seqrec.ingestion.formats.registry import load_formats

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class LineSource:
    """A raw file and the format of its lines."""

    lines: LineFile
    line_format: LineFormat
    dialect: Any  # What the format has found out about the file; see `LineFormat.dialect_of`.

    @property
    def file(self) -> RawFile:
        return self.lines.file

    @property
    def uris(self) -> tuple[str, ...]:
        """Addresses of the files in which Spark finds the lines."""
        return self.lines.uris

    @property
    def is_whole(self) -> bool:
        """Whether Spark reads the raw file itself, and not pieces of it."""
        return self.uris == (self.file.uri,)

    @property
    def group(self) -> str | None:
        return group_of_file(self.file.name)


def open_sources(patterns: Sequence[str], setting: str, config: IngestionConfig, *, metadata: bool) -> list[LineSource]:
    """The files that `patterns` name, and what they hold.

    Args:
        setting: the setting that the patterns come from, for errors.
        metadata: whether metadata is wanted, and not reviews.

    Raises:
        DataError: no file, no line in any of them, an unknown format, or reviews where metadata should be.
    """
    files = find_raw_files(list(patterns), setting)
    with ThreadPoolExecutor(16) as pool:
        sources = list(pool.map(partial(_open_source, setting=setting, config=config, metadata=metadata), files))
    if not any(file.size for file in files):
        raise DataError(f"{setting}: {files[0].display} is empty, and so is every other file. Nothing to read.")
    for file in files:
        if not file.size:
            _LOG.warning("%s is empty: it adds no lines", file.display)
    return sources


def _open_source(file: RawFile, setting: str, config: IngestionConfig, metadata: bool) -> LineSource:
    line_file, sample = open_line_file(file)
    lines = [RawLine.of(line) for line in sample]
    line_format = _format_of(lines, line_file) if lines else _any_format(metadata)
    if line_format.is_metadata != metadata:
        other = "source.metadata" if line_format.is_metadata else "source.reviews"
        raise DataError(f"{setting}: {file.display} holds {line_format.holds}. Put it under {other}.")
    alike = [line for line in lines if line_format.looks_like(line)]
    return LineSource(line_file, line_format, line_format.dialect_of(alike, file.display, config))


def _format_of(lines: Sequence[RawLine], line_file: LineFile) -> LineFormat:
    """The format that most lines look like."""
    file = line_file.file
    votes: Counter[LineFormat] = Counter()
    for line in lines:
        votes.update([one for one in load_formats() if one.looks_like(line)][:1])
    if 2 * votes.total() < len(lines) and (kind := kind_of_text("\n".join(line.text for line in lines))):
        raise foreign_file(kind, file, line_file.compression)
    if not votes:
        raise DataError(
            f"{file.display}: holds no line of a known format; it starts with {lines[0].text[:60]!r}. "
            "Give Amazon reviews, ratings or metadata of 2014, 2018 or 2023."
        )
    return votes.most_common(1)[0][0]


def _any_format(metadata: bool) -> LineFormat:
    """For a file with no line but blank ones: any format counts them."""
    return next(one for one in load_formats() if one.is_metadata == metadata)
