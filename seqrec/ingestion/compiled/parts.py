"""A part of the raw files, read in one task: its clean lines become a Parquet file, its others a smaller raw file.

A task that runs twice writes the same files, and what it counts and hashes is returned by the run that Spark takes.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from seqrec.core.columns import GROUP, RATING, TIMESTAMP, VERIFIED, VOTES
from seqrec.core.errors import DataError
from seqrec.core.storage import Storage
from seqrec.ingestion.compiled.blocks import LineBlocks
from seqrec.ingestion.compiled.clean_line import CleanLine
from seqrec.ingestion.compiled.kernel import SCHEMA, LineReader
from seqrec.ingestion.files.archives import Compression
from seqrec.ingestion.files.raw_files import RawFile
from seqrec.ingestion.files.splitting import in_hadoop_frames

# Columns with few values. Ids would fill a dictionary and be written plainly after all, at twice the time.
_DICTIONARIES = [RATING, TIMESTAMP, VERIFIED, VOTES, GROUP]


@dataclass(frozen=True)
class Part:
    """A whole archive, or the lines that start in a range of bytes of a plain file."""

    number: int  # Among all parts.
    file: RawFile
    compression: Compression
    start: int
    end: int
    line: CleanLine
    group: str | None


@dataclass
class ReadPart:
    """What became of the lines of a part."""

    part: Part
    rows: int = 0  # Clean lines: rows of the file that was written.
    size: int = 0  # Bytes of that file.
    digest: int = 0  # Sum of the hashes of its rows, modulo 2^64.
    blank: int = 0  # Empty lines.
    doubtful: tuple[str, ...] = ()  # Paths of raw files with the lines that are left to the exact rules.
    cut_line: str | None = None  # The start of the line in which a cut-off archive ends.
    error: DataError | None = None  # Why the part could not be read.


@dataclass(frozen=True)
class PartReader:
    """The work of a task."""

    library: bytes
    root: str  # Root of the storage.
    table: str  # Folder of the Parquet files, a path in the storage.
    pieces: str  # Folder of the doubtful lines, a path in the storage.
    piece_bytes: int
    keep_cut: bool

    def path_of(self, part: Part) -> str:
        return f"{self.table}/clean-{part.number:05d}.parquet"

    def __call__(self, part: Part) -> ReadPart:
        """Reads a part; an error of the data is returned, as Spark would wrap one that is raised."""
        try:
            return self._read(part)
        except DataError as error:
            return ReadPart(part, error=error)

    def _read(self, part: Part) -> ReadPart:
        storage, path = Storage(self.root), self.path_of(part)
        read = ReadPart(part)
        blocks = LineBlocks(self.library, part.file, part.compression, part.start, part.end, self.keep_cut)
        doubtful = _DoubtfulLines(storage, f"{self.pieces}/doubtful-{part.number:05d}", self.piece_bytes)
        with storage.new_file(path) as place:
            with (
                pq.ParquetWriter(
                    place, SCHEMA, compression="zstd", use_dictionary=_DICTIONARIES, write_statistics=False
                ) as file,
                _rows(self.library, part, read, file) as rows,
            ):
                for block in blocks:
                    rows.add(block, doubtful)
            read.size = place.stat().st_size
        read.doubtful = doubtful.close()
        read.cut_line = blocks.cut_line
        return read


class _Rows:
    """Rows on their way to the file: one group of them is filled while the one before is written."""

    def __init__(
        self, readers: list[LineReader], read: ReadPart, file: pq.ParquetWriter, pool: ThreadPoolExecutor | None
    ):
        self._readers = readers
        self._read = read
        self._file = file
        self._pool = pool
        self._writing: Future[None] | None = None

    def add(self, block: Any, doubtful: "_DoubtfulLines") -> None:
        start = 0
        while start < len(block):
            reader = self._readers[0]
            done = reader.add(block[start:])
            for first, last in reader.doubtful():
                doubtful.add(block[start + first : start + last])
            start += done
            if reader.is_full:
                self.write()

    def write(self) -> None:
        """Writes the rows that wait."""
        self.finish()
        if self._pool is None:
            self._write(self._readers[0])
        else:
            self._writing = self._pool.submit(self._write, self._readers[0])
        self._readers.reverse()

    def finish(self) -> None:
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def _write(self, reader: LineReader) -> None:
        batch, digest, num_blank = reader.taken()
        if batch.num_rows:
            self._file.write_batch(batch)
        self._read.rows += batch.num_rows
        self._read.digest = (self._read.digest + digest) % (1 << 64)
        self._read.blank += num_blank
        reader.clear()


@contextmanager
def _rows(library: bytes, part: Part, read: ReadPart, file: pq.ParquetWriter) -> Iterator[_Rows]:
    """Rows that are all written when the block ends. An archive is one task, so its rows are written beside."""
    is_archive = part.compression is not Compression.PLAIN
    with ThreadPoolExecutor(1) if is_archive else nullcontext() as pool:
        readers = [LineReader(library, part.line, part.group) for _ in range(2 if is_archive else 1)]
        rows = _Rows(readers, read, file, pool)
        yield rows
        rows.write()
        rows.finish()


class _DoubtfulLines:
    """Lines that are left to the exact rules, written as pieces in the framing that Spark reads."""

    def __init__(self, storage: Storage, prefix: str, piece_bytes: int):
        self._storage = storage
        self._prefix = prefix
        self._piece_bytes = piece_bytes
        self._waiting = bytearray()
        self._paths: list[str] = []

    def add(self, line: Any) -> None:
        self._waiting += line.data
        self._waiting += b"\n"
        if len(self._waiting) >= self._piece_bytes:
            self._write()

    def close(self) -> tuple[str, ...]:
        """Paths of the pieces."""
        if self._waiting:
            self._write()
        return tuple(self._paths)

    def _write(self) -> None:
        path = f"{self._prefix}-{len(self._paths):05d}.txt.lz4"
        self._storage.write_bytes(path, in_hadoop_frames(self._waiting))
        self._paths.append(path)
        self._waiting.clear()
