"""Raw files as lines: how they are compressed, and the lines at their start."""

import re
from dataclasses import dataclass
from shlex import quote

from seqrec.core.errors import DataError
from seqrec.ingestion.files.archives import Compression, start_of
from seqrec.ingestion.files.file_kinds import FileKind, kind_of
from seqrec.ingestion.files.raw_files import RawFile

_HEAD_BYTES = 1 << 18  # Bytes that are read from the start of a file, as it lies on disk.
_BZIP2_HEAD_BYTES = 1 << 20  # Enough for one block of bzip2, which gives nothing before its end.
_SAMPLE_BYTES = 1 << 21  # Uncompressed bytes that are looked at, at most.
_MAX_SAMPLE_LINES = 1000
_MAGIC = {
    b"\x1f\x8b": Compression.GZIP,
    b"\x28\xb5\x2f\xfd": Compression.ZSTD,
    b"\xfd7zXZ\0": Compression.XZ,
    b"BZh": Compression.BZIP2,
}
_READERS = {
    Compression.GZIP: "gunzip -c",
    Compression.ZSTD: "zstd -dc",
    Compression.XZ: "xz -dc",
    Compression.BZIP2: "bzip2 -dc",
}
_ARCHIVE_NAMES = (".gz", ".zst", ".xz", ".bz2")
# What is taken off a name for the name of the lines; text has no such ending, so no file is written over itself.
_ENDINGS = (*_ARCHIVE_NAMES, ".tgz", ".tar", ".zip", ".7z", ".rar", ".parquet", ".orc", ".avro", ".xlsx", ".db")
_UNFINISHED = (".part", ".partial", ".crdownload", ".download", ".opdownload", ".filepart", ".aria2")


@dataclass(frozen=True)
class LineFile:
    """A raw file, and the files in which Spark finds its lines."""

    file: RawFile
    compression: Compression
    uris: tuple[str, ...]  # The file itself, or the pieces that it was split into.
    cut_lines: tuple[str, ...] = ()  # The start of the line in which a cut-off archive ends.


def open_line_file(file: RawFile) -> tuple[LineFile, list[str]]:
    """`file` and the whole lines at its start, those that are not blank; its bytes tell what it is, never its name.

    Only the start is read: a folder of thousands of files costs some hundred kilobytes each.

    Raises:
        DataError: the file does not hold lines of UTF-8 text, is an archive of a kind that is not read, or a download
            that has not ended.
    """
    _check_finished(file)
    with file.open() as stream:
        head = stream.read(_HEAD_BYTES)
        compression = _compression_of(head)
        if compression is Compression.BZIP2:
            head += stream.read(_BZIP2_HEAD_BYTES)
    content = start_of(head, compression, _SAMPLE_BYTES)
    if (kind := kind_of(content)) is not None:
        raise foreign_file(kind, file, compression)
    is_whole = len(head) == file.size and len(content) < _SAMPLE_BYTES
    lines = content.decode("utf-8", errors="replace").split("\n")
    if not is_whole and len(lines) > 1:
        lines.pop()  # Cut off by the sample's end.
    sample = [line.strip("\ufeff\r") for line in lines if line.strip("\ufeff \t\r")]
    return LineFile(file, compression, (file.uri,)), sample[:_MAX_SAMPLE_LINES]


def foreign_file(kind: FileKind, file: RawFile, compression: Compression) -> DataError:
    """The error that says what a file is and how lines are made from it."""
    verb = "is" if compression is Compression.PLAIN else "holds"
    return DataError(
        f"{file.display}: {verb} {kind.what}. Give lines of UTF-8 text, plain or in .gz, .zst, .xz or .bz2: "
        f"{_way_to_lines(kind, file, compression)}."
    )


def _check_finished(file: RawFile) -> None:
    name = file.name.lower()
    if name.endswith(_UNFINISHED):
        raise DataError(
            f"{file.display}: is a download that has not ended, by its name. Wait for its end; rename a whole one."
        )
    if file.size == 0 and name.endswith(_ARCHIVE_NAMES):
        raise DataError(f"{file.display}: has 0 bytes, and an archive of nothing has more. Copy or download it again.")


def _compression_of(head: bytes) -> Compression:
    if re.match(rb"[\x50-\x5f]\x2a\x4d\x18", head) and b"\x28\xb5\x2f\xfd" in head:
        return Compression.ZSTD  # pzstd begins with a frame that states a size.
    for magic, compression in _MAGIC.items():
        if head.startswith(magic) and kind_of(head) is not None:
            return compression
    return Compression.PLAIN


def _way_to_lines(kind: FileKind, file: RawFile, compression: Compression) -> str:
    """What to do, in words or as a shell command that makes a file or a folder with another name."""
    if kind.advice:
        return kind.advice
    source = file.display if "://" not in file.display else file.name  # A shell reads local files only.
    base = source
    while base.lower().endswith(_ENDINGS):
        base = base[: base.rindex(".")]
    lines = base if base != source else f"{base}.txt"
    decompressor = _READERS.get(compression)
    reader = f"{decompressor} < {quote(source)}" if decompressor else f"cat {quote(source)}"
    if kind.filter:
        first = f"{reader} | {kind.filter}" if decompressor else f"{kind.filter} < {quote(source)}"
        return f"{first} > {quote(lines)}"
    before = ""
    if decompressor and "{file}" in kind.command:
        source = f"{base}.uncompressed"
        before = f"{reader} > {quote(source)} && "
    folder = quote(f"{base}_unpacked")
    return before + kind.command.format(file=quote(source), reader=reader, lines=quote(lines), folder=folder)
