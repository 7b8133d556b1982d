"""Raw files as sources of lines: what they hold, and the files in which Spark finds their lines."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from seqrec.core.errors import DataError
from seqrec.ingestion.download.groups import group_of_file
from seqrec.ingestion.files.raw_files import RawFile, find_raw_files
from seqrec.ingestion.formats.line_formats import LineFormat, Sniffed, sniff


@dataclass(frozen=True)
class LineSource:
    sniffed: Sniffed
    uris: tuple[str, ...]  # The file itself, or the pieces that it was split into.
    cut_lines: tuple[str, ...] = ()  # The start of the line in which a cut-off archive ends.

    @property
    def file(self) -> RawFile:
        return self.sniffed.file

    @property
    def line_format(self) -> LineFormat | None:
        return self.sniffed.line_format

    @property
    def group(self) -> str | None:
        return group_of_file(self.file.name)


def open_sources(patterns: Sequence[str], setting: str, *, metadata: bool) -> list[LineSource]:
    """What the files named by `patterns` hold.

    Args:
        setting: the setting that the patterns come from, for errors.
        metadata: whether metadata is wanted, and not reviews.

    Raises:
        DataError: no file, no line in any of them, an unknown format, or reviews where metadata should be.
    """
    files = find_raw_files(list(patterns), setting)
    with ThreadPoolExecutor(16) as pool:
        sources = [LineSource(sniffed, (sniffed.file.uri,)) for sniffed in pool.map(sniff, files)]
    for source in sources:
        if source.line_format is not None and source.line_format.is_metadata != metadata:
            other = "source.metadata" if source.line_format.is_metadata else "source.reviews"
            raise DataError(f"{setting}: {source.file.display} holds {source.line_format.value}. Put it under {other}.")
    if not any(source.file.size for source in sources):
        raise DataError(f"{setting}: {sources[0].file.display} is empty, and so is every other file. Nothing to read.")
    return sources
