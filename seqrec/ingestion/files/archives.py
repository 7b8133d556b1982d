"""Compressed raw files as streams of bytes, up to where a broken one ends."""

import bz2
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum
from typing import Any

import rapidgzip
import zstandard

from seqrec.core.errors import DataError, reason_of
from seqrec.ingestion.files.raw_files import RawFile

try:  # Half the time of zlib for the same bytes; runtimes that come with their own packages may lack it.
    from isal import isal_zlib
except ImportError:
    isal_zlib = None

_CHUNK_BYTES = 4 << 20
_HEAD_CHUNK_BYTES = 1 << 10  # Small, as the output for the chunk in which a decompressor fails is lost.
_MAX_WINDOW_BYTES = 1 << 31  # Window of `zstd --long=31`; the library's default limit is 128 MiB.
_BROKEN = (zlib.error, zstandard.ZstdError, lzma.LZMAError, EOFError)
_PARALLEL_ABOVE = 32 << 20  # Compressed bytes from which a parallel decompressor is worth its start.


class Compression(Enum):
    PLAIN = ""
    GZIP = ".gz"
    ZSTD = ".zst"
    XZ = ".xz"
    BZIP2 = ".bz2"


Progress = Callable[[int], None]  # Called with the number of bytes read so far, as they lie on disk.


class BrokenArchiveError(DataError):
    """An archive that is cut off or damaged."""


def read_chunks(file: RawFile, compression: Compression, progress: Progress = lambda _: None) -> Iterator[bytes]:
    """The uncompressed bytes of `file`, a few megabytes at a time; memory does not grow with the file.

    Raises:
        BrokenArchiveError: the archive is cut off or damaged; raised after the last bytes that can be read.
    """
    with file.open() as stream:

        def read() -> bytes:
            progress(stream.tell())
            return stream.read(_CHUNK_BYTES)

        try:
            yield from _chunks(read, compression)
        except _BROKEN as error:
            raise _broken(file, error) from None


def read_chunks_fast(file: RawFile, compression: Compression, *, exactly: bool) -> Iterator[bytes]:
    """`read_chunks`, for a .gz with a faster decompressor where there is one.

    Args:
        exactly: before an error, give all bytes that can be read. A faster decompressor may give fewer.

    Raises:
        BrokenArchiveError: the archive is cut off or damaged; the message is that of `read_chunks`.
    """
    if compression is not Compression.GZIP or exactly or isal_zlib is None:
        yield from read_chunks(file, compression)
        return
    with file.open() as stream:
        try:
            yield from _gzip_chunks(lambda: stream.read(_CHUNK_BYTES), decompressor=isal_zlib.decompressobj)
            return
        except (isal_zlib.error, EOFError) as error:
            broken = _broken(file, error)
    for _ in read_chunks(file, compression):  # It says what is wrong.
        pass
    raise broken


def read_chunks_in_parallel(file: RawFile, num_threads: int, progress: Progress = lambda _: None) -> Iterator[bytes]:
    """`read_chunks` for a .gz, decompressed on several cores.

    Raises:
        BrokenArchiveError: the archive is cut off or damaged; some bytes before the break may be missing.
    """
    if file.size < _PARALLEL_ABOVE or num_threads < 2:
        yield from read_chunks(file, Compression.GZIP, progress)
        return
    with file.open() as stream, rapidgzip.open(stream, parallelization=num_threads) as archive:
        try:
            while chunk := archive.read(_CHUNK_BYTES):
                yield chunk
                progress(archive.tell_compressed() // 8)
        except (RuntimeError, ValueError, EOFError, OSError) as error:
            raise _broken(file, error) from None


def start_of(head: bytes, compression: Compression, max_bytes: int) -> bytes:
    """At most `max_bytes` of the uncompressed bytes in `head`, the first bytes of a file, up to its end or damage."""
    stream, text = io.BytesIO(head), bytearray()
    with suppress(*_BROKEN):  # Reading the whole file will report more precisely what is wrong.
        for chunk in _chunks(lambda: stream.read(_HEAD_CHUNK_BYTES), compression):
            text += chunk
            if len(text) >= max_bytes:
                break
    return bytes(text[:max_bytes])


def is_broken(file: RawFile) -> bool:
    """Whether Spark cannot read a .gz to its end: it takes neither damage nor zeros after the end."""
    with file.open() as stream:
        try:
            for _ in _gzip_chunks(lambda: stream.read(_CHUNK_BYTES), takes_padding=False):
                pass
        except _BROKEN:
            return True
    return False


def _chunks(read: Callable[[], bytes], compression: Compression) -> Iterator[bytes]:
    if compression is Compression.PLAIN:
        yield from iter(read, b"")
    elif compression is Compression.ZSTD:
        yield from _zstd_chunks(read)
    elif compression is Compression.GZIP:
        yield from _gzip_chunks(read)
    else:
        yield from _stream_chunks(
            read, bz2.BZ2Decompressor if compression is Compression.BZIP2 else lzma.LZMADecompressor
        )


def _gzip_chunks(
    read: Callable[[], bytes], *, takes_padding: bool = True, decompressor: Callable[..., Any] = zlib.decompressobj
) -> Iterator[bytes]:
    """A .gz may hold several members in a row; zeros after the last one are padding."""
    waiting = read()
    while waiting:
        member = decompressor(wbits=31)
        while not member.eof:
            if not waiting and not (waiting := read()):
                raise EOFError("it ends early")
            if chunk := member.decompress(waiting, _CHUNK_BYTES):
                yield chunk
            waiting = member.unused_data if member.eof else member.unconsumed_tail
        if not takes_padding and waiting.startswith(b"\0"):
            raise EOFError("zeros follow its end")
        waiting = _after_padding(waiting, read)


def _stream_chunks(
    read: Callable[[], bytes], decompressor: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]
) -> Iterator[bytes]:
    """A .xz or .bz2 may hold several streams in a row; zeros after one are padding."""
    waiting = read()
    while waiting:
        stream = decompressor()
        while not stream.eof:
            if stream.needs_input and not waiting and not (waiting := read()):
                raise EOFError("it ends early")
            try:
                chunk = stream.decompress(waiting, _CHUNK_BYTES)
            except (OSError, ValueError) as error:  # As bz2 calls damage.
                raise EOFError(str(error)) from None
            waiting = b""
            if chunk:
                yield chunk
        waiting = _after_padding(stream.unused_data, read)


def _after_padding(waiting: bytes, read: Callable[[], bytes]) -> bytes:
    """What follows zeros; empty at the end of the file."""
    while not (waiting := waiting.lstrip(b"\0")):
        if not (waiting := read()):
            break
    return waiting


def _zstd_chunks(read: Callable[[], bytes]) -> Iterator[bytes]:
    """A .zst may hold several frames in a row."""
    waiting = read()
    while waiting:
        frame = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES).decompressobj()
        while not frame.eof:
            if not waiting and not (waiting := read()):
                raise EOFError("it ends early")
            if chunk := frame.decompress(waiting):
                yield chunk
            waiting = frame.unused_data if frame.eof else b""
        waiting = waiting or read()


def _broken(file: RawFile, error: Any) -> BrokenArchiveError:
    return BrokenArchiveError(
        f"{file.display}: is cut off or damaged ({reason_of(error)[:120]}). Download it again, or take the whole "
        "lines before the break with --set ingestion.on_truncated=keep."
    )
