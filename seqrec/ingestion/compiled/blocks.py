"""Raw files as blocks of whole lines for the compiled reader, decompressed while earlier lines are read."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from seqrec.core.errors import DataError
from seqrec.ingestion.compiled.kernel import last_newline
from seqrec.ingestion.files.archives import BrokenArchiveError, Compression, read_chunks_fast
from seqrec.ingestion.files.raw_files import RawFile

_CHUNK_BYTES = 4 << 20
_MAX_LINE_BYTES = 1 << 30
_CUT_BYTES = 1_000  # Bytes of the cut line that are kept.
_CHUNKS_AHEAD = 8


class LineBlocks:
    """The lines of a file, or of a range of bytes of a plain one: those that start in it.

    Iterating gives uint8 [N]: whole lines, of which the file's last may lack its newline. A block is valid until the
    next one. Memory does not grow with the file, but with its longest line.
    """

    def __init__(self, library: bytes, file: RawFile, compression: Compression, start: int, end: int, keep_cut: bool):
        """
        Args:
            start: first byte of the range; 0 and the file's size for the whole file, as for any archive.
            keep_cut: give the whole lines of a broken archive instead of raising an error.
        """
        self._library = library
        self._file = file
        self._compression = compression
        self._range = (start, end)
        self._keep_cut = keep_cut
        self.cut_line: str | None = None  # The start of the line in which a broken archive ends, once it was read.

    def __iter__(self) -> Iterator[np.ndarray]:
        """
        Raises:
            BrokenArchiveError: the archive is cut off or damaged, and `keep_cut` is False.
            DataError: a line of over a gigabyte.
        """
        buffer, filled = np.empty(2 * _CHUNK_BYTES, np.uint8), 0
        try:
            for chunk in self._chunks():
                needed = filled + len(chunk)
                if needed > len(buffer):
                    buffer = np.concatenate([buffer[:filled], np.empty(max(2 * filled, len(chunk)), np.uint8)])
                buffer[filled:needed] = np.frombuffer(chunk, np.uint8)
                end = last_newline(self._library, buffer[filled:needed]) + 1
                if end:
                    end += filled
                    yield buffer[:end]
                    buffer[: needed - end] = buffer[end:needed]
                filled = needed - end
                self._check_line(filled)
        except BrokenArchiveError:
            if not self._keep_cut:
                raise
            self.cut_line = bytes(buffer[:filled][:_CUT_BYTES]).decode("utf-8", errors="replace") or None
        else:
            if filled:
                yield buffer[:filled]

    def _chunks(self) -> Iterator[bytes]:
        if self._compression is Compression.PLAIN:
            return _range_of(self._file, *self._range)
        return _ahead(read_chunks_fast(self._file, self._compression, exactly=self._keep_cut), _CHUNKS_AHEAD)

    def _check_line(self, num_bytes: int) -> None:
        if num_bytes > _MAX_LINE_BYTES:
            raise DataError(
                f"{self._file.display}: a line is longer than {_MAX_LINE_BYTES >> 20} MB, so this is not a file of "
                "lines. Check what source.reviews and source.metadata name."
            )


def _range_of(file: RawFile, start: int, end: int) -> Iterator[bytes]:
    """The bytes of the lines that start from `start` to before `end`."""
    chunk = b""
    with file.open() as stream:
        if start:  # A line starts behind a newline: the one that ends at `start`, or a later one.
            stream.seek(start - 1)
            skipped = start - 1
            while (place := (chunk := stream.read(_CHUNK_BYTES)).find(b"\n")) < 0 and chunk:
                skipped += len(chunk)
            start = skipped + place + 1
            if not chunk or start >= end:
                return
            stream.seek(start)
        while start < end and (chunk := stream.read(min(_CHUNK_BYTES, end - start))):
            start += len(chunk)
            yield chunk
        while chunk and not chunk.endswith(b"\n") and (chunk := stream.read(_CHUNK_BYTES >> 6)):
            chunk = chunk[: chunk.find(b"\n") + 1 or len(chunk)]
            yield chunk


def _ahead(items: Iterator[bytes], number: int) -> Iterator[bytes]:
    """`items`, of which a thread makes up to `number` before they are asked for."""
    with ThreadPoolExecutor(1) as pool:
        waiting: deque[Future[bytes | None]] = deque(pool.submit(next, items, None) for _ in range(number))
        while (item := waiting.popleft().result()) is not None:
            waiting.append(pool.submit(next, items, None))
            yield item
