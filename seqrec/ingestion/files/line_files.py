"""Raw files as lines: how they are compressed, and the lines at their start."""

from dataclasses import dataclass

from seqrec.core.errors import DataError
from seqrec.ingestion.files.archives import Compression, start_of
from seqrec.ingestion.files.raw_files import RawFile

_HEAD_BYTES = 1 << 18  # Bytes that are read from the start of a file, as it lies on disk.
_SAMPLE_BYTES = 1 << 21  # Uncompressed bytes that are looked at, at most.
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


@dataclass(frozen=True)
class LineFile:
    """A raw file, and the files in which Spark finds its lines."""

    file: RawFile
    compression: Compression
    uris: tuple[str, ...]  # The file itself, or the pieces that it was split into.
    cut_lines: tuple[str, ...] = ()  # The start of the line in which a cut-off archive ends.


def open_line_file(file: RawFile) -> tuple[LineFile, list[str]]:
    """`file` and the whole lines at its start, those that are not blank; its bytes tell what it is, never its name.

    Raises:
        DataError: the file does not hold lines of UTF-8 text, or is an archive of a kind that is not read.
    """
    with file.open() as stream:
        head = stream.read(_HEAD_BYTES)
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise DataError(f"{file.display}: is {what}. Give plain text, .gz or .zst, in UTF-8.")
    compression = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), Compression.PLAIN)
    text = start_of(head, compression, _SAMPLE_BYTES).decode("utf-8", errors="replace")
    lines = text.split("\n")
    if len(head) < file.size and len(lines) > 1:
        lines.pop()  # Cut off by the sample's end.
    sample = [line.strip("\ufeff\r") for line in lines if line.strip("\ufeff \t\r")]
    return LineFile(file, compression, (file.uri,)), sample[:_MAX_SAMPLE_LINES]
