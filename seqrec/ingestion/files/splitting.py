"""Archives cut into pieces of whole lines: Spark reads an archive as one task, and some kinds not at all.

Pieces are compressed with LZ4 in Hadoop's framing, which Spark reads without native libraries and which costs little
to write. They lie below the dataset and are deleted once it is published. An interrupted job resumes after its last
piece.
"""

import hashlib
import json
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace

import pyarrow as pa
from tqdm import tqdm

from seqrec.core.errors import DataError
from seqrec.core.storage import Storage
from seqrec.ingestion.config import IngestionConfig
from seqrec.ingestion.files.archives import (
    BrokenArchiveError,
    Compression,
    is_broken,
    read_chunks,
    read_chunks_in_parallel,
)
from seqrec.ingestion.files.line_files import LineFile
from seqrec.ingestion.files.raw_files import RawFile

_PROGRESS = "progress.json"
_MAX_LINE_BYTES = 1 << 30
_BLOCK_BYTES = 250_000  # Hadoop's decompressor has a buffer of 256 KiB.
_CUT_BYTES = 1_000  # Bytes of the cut line that are kept.
_READ_BY_NAME = (".gz", ".zst", ".bz2", ".lz4", ".snappy", ".deflate")  # Names that Hadoop takes for archives.


@dataclass(frozen=True)
class _Progress:
    """How far a file has been split. It is saved after every piece."""

    num_pieces: int = 0
    num_bytes: int = 0  # Uncompressed bytes in those pieces.
    is_done: bool = False
    cut_line: str | None = None


def needs_pieces(lines: LineFile, config: IngestionConfig) -> bool:
    """Whether Spark cannot read a file directly, or would read it on one core for too long."""
    compression, name = lines.compression, lines.file.name
    if compression is Compression.PLAIN:
        return name.endswith(_READ_BY_NAME)
    if compression is Compression.GZIP and name.endswith(".gz"):
        return 0 < config.split_above_mb << 20 < lines.file.size
    return True


def split_file(
    lines: LineFile, storage: Storage, folder: str, config: IngestionConfig, *, keep_truncated: bool
) -> LineFile:
    """`lines` as pieces below `folder` of `storage`.

    Args:
        keep_truncated: take the whole lines of a broken archive instead of raising an error.

    Raises:
        BrokenArchiveError: the archive is cut off or damaged, and `keep_truncated` is False.
    """
    file = lines.file
    identity = f"{file.uri} {file.size} {file.modified} {config.piece_mb} {keep_truncated}"
    key = hashlib.sha256(identity.encode()).hexdigest()[:16]
    splitter = _Splitter(lines, storage, f"{folder}/{key}", config.piece_mb << 20, keep_truncated)
    with tqdm(total=file.size, unit="B", unit_scale=True, desc=f"split {file.name}", disable=None) as bar:

        def report(position: int) -> None:
            bar.update(max(0, min(position, file.size) - bar.n))

        done = splitter.split(report)
    uris = tuple(storage.uri(splitter.piece_path(number)) for number in range(done.num_pieces))
    return replace(lines, uris=uris, cut_lines=() if done.cut_line is None else (done.cut_line,))


def find_broken(line_files: Sequence[LineFile]) -> list[RawFile]:
    """Those archives among the files that Spark reads directly that cannot be read to their ends."""
    files = [lines.file for lines in line_files if lines.uris == (lines.file.uri,)]
    archives = [file for file in files if file.name.endswith(".gz")]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [file for file, broken in zip(archives, pool.map(is_broken, archives), strict=True) if broken]


class _Splitter:
    def __init__(self, lines: LineFile, storage: Storage, folder: str, piece_bytes: int, keep_truncated: bool):
        self._lines = lines
        self._storage = storage
        self._folder = folder
        self._piece_bytes = piece_bytes
        self._keep_truncated = keep_truncated
        self._cut_line: str | None = None

    def piece_path(self, number: int) -> str:
        return f"{self._folder}/part-{number:05d}.txt.lz4"

    def split(self, report: Callable[[int], None]) -> _Progress:
        progress = self._load()
        if progress.is_done:
            return progress
        # A piece is compressed and written while the next one is decompressed; after a failure no other is written.
        with ThreadPoolExecutor(1) as writer:
            writing: Future[_Progress] | None = None
            for piece in self._pieces(progress.num_bytes, report):
                if writing is not None:
                    writing.result()
                num_bytes = progress.num_bytes + len(piece)
                progress = replace(progress, num_pieces=progress.num_pieces + 1, num_bytes=num_bytes)
                writing = writer.submit(self._write, progress, piece)
            if writing is not None:
                writing.result()
        return self._save(replace(progress, is_done=True, cut_line=self._cut_line))

    def _pieces(self, num_bytes: int, report: Callable[[int], None]) -> Iterator[bytearray]:
        """Pieces of whole lines after byte `num_bytes`; the line in which a broken archive ends becomes `_cut_line`."""
        waiting = bytearray()
        try:
            for chunk in _after(self._chunks(report), num_bytes):
                waiting += chunk
                while len(waiting) >= self._piece_bytes and (end := self._end_of_piece(waiting)):
                    yield waiting[:end]
                    del waiting[:end]
                self._check_line(waiting)
        except BrokenArchiveError:
            if not self._keep_truncated:
                raise
            end = waiting.rfind(b"\n") + 1
            self._cut_line = bytes(waiting[end:][:_CUT_BYTES]).decode("utf-8", errors="replace") or None
            del waiting[end:]
        if waiting:
            yield waiting

    def _end_of_piece(self, waiting: bytearray) -> int:
        """Position after the last newline of a piece, or after the first one if a line is longer; 0: no newline."""
        return waiting.rfind(b"\n", 0, self._piece_bytes) + 1 or waiting.find(b"\n") + 1

    def _chunks(self, report: Callable[[int], None]) -> Iterator[bytes]:
        file, compression = self._lines.file, self._lines.compression
        if compression is Compression.GZIP and not self._keep_truncated:
            # One core compresses. The parallel decompressor with two threads is no faster than the plain one.
            return read_chunks_in_parallel(file, (os.cpu_count() or 1) - 1, report)
        return read_chunks(file, compression, report)

    def _write(self, progress: _Progress, lines: bytearray) -> _Progress:
        """Writes the last piece of `progress`, then `progress` itself."""
        self._storage.write_bytes(self.piece_path(progress.num_pieces - 1), in_hadoop_frames(lines))
        return self._save(progress)

    def _check_line(self, waiting: bytearray) -> None:
        if len(waiting) > max(_MAX_LINE_BYTES, 2 * self._piece_bytes):
            name = self._lines.file.display
            raise DataError(
                f"{name}: a line is longer than {_MAX_LINE_BYTES >> 20} MB, so this is not a file of lines. "
                "Check what source.reviews and source.metadata name."
            )

    def _load(self) -> _Progress:
        path = f"{self._folder}/{_PROGRESS}"
        if not self._storage.exists(path):
            return _Progress()
        return _Progress(**json.loads(self._storage.read_bytes(path)))

    def _save(self, progress: _Progress) -> _Progress:
        self._storage.write_bytes(f"{self._folder}/{_PROGRESS}", json.dumps(asdict(progress)).encode())
        return progress


def in_hadoop_frames(content: bytes | bytearray) -> bytes:
    """`content` as Hadoop's Lz4Codec writes it: blocks of (size, compressed size, LZ4 block), sizes big-endian."""
    codec = pa.Codec("lz4_raw")
    frames = []
    for start in range(0, len(content), _BLOCK_BYTES):
        block = memoryview(content)[start : start + _BLOCK_BYTES]
        compressed = codec.compress(block)
        frames += [struct.pack(">II", len(block), len(compressed)), compressed]
    return b"".join(frames)


def _after(chunks: Iterator[bytes], num_bytes: int) -> Iterator[bytes]:
    """The bytes after the first `num_bytes`."""
    for chunk in chunks:
        if num_bytes >= len(chunk):
            num_bytes -= len(chunk)
        else:
            yield chunk[num_bytes:]
            num_bytes = 0
