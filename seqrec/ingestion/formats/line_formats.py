"""What a raw file holds, told by its bytes and never by its name; nothing is evaluated."""

import ast
import json
import re
from collections import Counter
from dataclasses import dataclass
from enum import Enum

from seqrec.core.errors import DataError
from seqrec.ingestion.files.archives import Compression, start_of
from seqrec.ingestion.files.raw_files import RawFile


class LineFormat(Enum):
    """One kind of line; the value says it in words."""

    REVIEWS = "2014 or 2018 reviews (JSON)"
    REVIEWS_2023 = "2023 reviews (JSON)"
    RATINGS = "2014 or 2018 ratings (CSV)"
    RATINGS_2023 = "2023 ratings (CSV with a header)"
    METADATA = "2018 metadata (JSON)"
    METADATA_2014 = "2014 metadata (Python literals)"
    METADATA_2023 = "2023 metadata (JSON)"

    @property
    def is_metadata(self) -> bool:
        return self.name.startswith("METADATA")


@dataclass(frozen=True)
class Sniffed:
    """A file, and what its first lines say it is."""

    file: RawFile
    compression: Compression
    line_format: LineFormat | None  # None: no line at all.
    sample: tuple[str, ...]  # Whole lines from the start.


_HEAD_BYTES = 1 << 18  # Read from the start of a file, as it lies on disk.
_SAMPLE_BYTES = 1 << 21  # At most so much of it, uncompressed.
_MAX_SAMPLE_LINES = 1000
_MAGIC = {b"\x1f\x8b": Compression.GZIP, b"\x28\xb5\x2f\xfd": Compression.ZSTD}
_FOREIGN = {
    b"PK\x03\x04": "a zip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"PAR1": "a Parquet file",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}
_NUMBER = re.compile(r"\s*-?\d+(\.\d+)?\s*")


def sniff(file: RawFile) -> Sniffed:
    """Reads the start of `file` and says what it holds.

    Raises:
        DataError: not a format that is read here, or none that can be told from its first lines.
    """
    with file.open() as stream:
        head = stream.read(_HEAD_BYTES)
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise DataError(f"{file.display}: is {what}. Give plain text, .gz or .zst, in UTF-8.")
    compression = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), Compression.PLAIN)
    whole = len(head) == file.size
    text = start_of(head, compression, _SAMPLE_BYTES).decode("utf-8", errors="replace")
    lines = text.split("\n")
    if not whole and len(lines) > 1:
        lines.pop()  # Cut off by the sample's end.
    sample = tuple(line.strip("\ufeff\r") for line in lines if line.strip("\ufeff \t\r"))[:_MAX_SAMPLE_LINES]
    if not sample:
        return Sniffed(file, compression, None, ())
    votes = Counter(kind for line in sample if (kind := _line_format(line)))
    if not votes:
        raise DataError(
            f"{file.display}: holds no line of a known format; it starts with {sample[0][:60]!r}. "
            "Give Amazon reviews, ratings or metadata of 2014, 2018 or 2023."
        )
    # A header is a single line, and those below it look like the ratings of other years.
    voted = LineFormat.RATINGS_2023 if LineFormat.RATINGS_2023 in votes else votes.most_common(1)[0][0]
    return Sniffed(file, compression, voted, sample)


def _line_format(line: str) -> LineFormat | None:
    """The format that a single line fits; None for a broken one."""
    line = line.strip()
    if not line.startswith("{"):
        return _ratings_format(line)
    try:
        record = json.loads(line)
    except ValueError:
        return _literal_format(line)
    except RecursionError:
        return None
    keys = record.keys()
    if "reviewerID" in keys or "unixReviewTime" in keys:
        return LineFormat.REVIEWS
    if "user_id" in keys:
        return LineFormat.REVIEWS_2023
    if "parent_asin" in keys:
        return LineFormat.METADATA_2023
    if "asin" in keys and "related" not in keys and "categories" not in keys:
        return LineFormat.METADATA
    return LineFormat.METADATA_2014 if "asin" in keys else None


def _literal_format(line: str) -> LineFormat | None:
    try:
        record = ast.literal_eval(line)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return LineFormat.METADATA_2014 if isinstance(record, dict) and "asin" in record else None


def _ratings_format(line: str) -> LineFormat | None:
    fields = line.split(",")
    if fields[:2] == ["user_id", "parent_asin"]:
        return LineFormat.RATINGS_2023
    if len(fields) == 4 and _NUMBER.fullmatch(fields[2]) and _NUMBER.fullmatch(fields[3]):
        return LineFormat.RATINGS
    return None
