import gzip
import zlib

import pytest
import zstandard

from seqrec.core.storage import Storage
from seqrec.ingestion.config import IngestionConfig
from seqrec.ingestion.files import archives, splitting
from seqrec.ingestion.files.archives import (
    BrokenArchiveError,
    Compression,
    read_chunks,
    read_chunks_in_parallel,
    start_of,
)
from seqrec.ingestion.files.line_files import LineFile
from seqrec.ingestion.files.raw_files import find_raw_files
from seqrec.ingestion.files.splitting import needs_pieces, split_file

TEXT = b"".join(b'{"number": %d, "text": "%x"}\n' % (number, number * 7919) for number in range(90_000))


@pytest.fixture
def file(tmp_path):
    def write(content, name="a.json.gz"):
        (tmp_path / name).write_bytes(content)
        [found] = find_raw_files([str(tmp_path / name)], "x")
        return found

    return write


# Without a time in the archives, so that every process gives the tests the same names.
@pytest.mark.parametrize(
    ("content", "compression"),
    [
        (TEXT, Compression.PLAIN),
        (gzip.compress(TEXT, mtime=0), Compression.GZIP),
        (
            gzip.compress(TEXT[:99], mtime=0)
            + gzip.compress(b"", mtime=0)
            + gzip.compress(TEXT[99:], mtime=0)
            + bytes(1000),
            Compression.GZIP,
        ),
        (zstandard.compress(TEXT), Compression.ZSTD),
        (zstandard.compress(TEXT[:99]) + zstandard.compress(TEXT[99:]), Compression.ZSTD),
        (b"", Compression.GZIP),
    ],
)
@pytest.mark.parametrize("chunk_bytes", [1000, 1 << 22])
def test_read_chunks_reads_all_of_every_kind(file, monkeypatch, content, compression, chunk_bytes):
    monkeypatch.setattr(archives, "_CHUNK_BYTES", chunk_bytes)

    assert b"".join(read_chunks(file(content), compression)) == (TEXT if content else b"")


@pytest.mark.parametrize(
    ("content", "compression"),
    [(gzip.compress(TEXT, mtime=0), Compression.GZIP), (zstandard.compress(TEXT), Compression.ZSTD)],
)
def test_read_chunks_gives_all_there_is_before_it_raises(file, content, compression):
    chunks = []
    with pytest.raises(BrokenArchiveError, match="a.json.gz: is cut off or damaged"):
        chunks.extend(read_chunks(file(content[: len(content) * 2 // 3]), compression))

    got = b"".join(chunks)
    assert TEXT.startswith(got)
    assert len(got) > len(TEXT) // 2


@pytest.mark.parametrize(
    ("content", "compression"),
    [
        (TEXT, Compression.PLAIN),
        (gzip.compress(TEXT[:99]) + gzip.compress(TEXT[99:]), Compression.GZIP),
        (zstandard.compress(TEXT[:99]) + zstandard.compress(TEXT[99:]), Compression.ZSTD),
    ],
)
def test_start_of_gives_the_beginning_of_every_kind(content, compression):
    assert start_of(content[: 1 << 16], compression, 20_000) == TEXT[:20_000]


def test_start_of_gives_what_comes_before_the_damage():
    archive = zlib.compressobj(wbits=31)
    sound = archive.compress(TEXT[:30_000]) + archive.flush(zlib.Z_FULL_FLUSH)

    assert TEXT[:30_000].startswith(got := start_of(sound + b"\xff" * 5000, Compression.GZIP, 1 << 20))
    assert len(got) > 20_000


def test_read_chunks_in_parallel_reads_the_same(file, monkeypatch):
    monkeypatch.setattr(archives, "_PARALLEL_ABOVE", 0)
    positions = []

    chunks = list(read_chunks_in_parallel(file(gzip.compress(TEXT)), 2, positions.append))

    assert b"".join(chunks) == TEXT
    assert positions == sorted(positions)


def test_read_chunks_in_parallel_raises_on_a_cut_archive(file, monkeypatch):
    monkeypatch.setattr(archives, "_PARALLEL_ABOVE", 0)
    content = gzip.compress(TEXT)

    with pytest.raises(BrokenArchiveError):
        list(read_chunks_in_parallel(file(content[: len(content) // 2]), 2))


@pytest.mark.parametrize(
    ("name", "compression", "size_mb", "expected"),
    [
        ("a.json", Compression.PLAIN, 9999, False),
        ("a.json.gz", Compression.GZIP, 1, False),
        ("a.json.gz", Compression.GZIP, 300, True),
        ("a.json", Compression.GZIP, 1, True),
        ("a.json.gz", Compression.PLAIN, 1, True),
        ("a.json.zst", Compression.ZSTD, 1, True),
    ],
)
def test_needs_pieces_where_spark_cannot_or_should_not_read(file, name, compression, size_mb, expected):
    found = file(b"x", name)
    large = type(found)(found.uri, size_mb << 20, found.modified)

    assert needs_pieces(LineFile(large, compression, (large.uri,)), IngestionConfig()) == expected


@pytest.fixture
def source(file):
    found = file(gzip.compress(TEXT))
    return LineFile(found, Compression.GZIP, (found.uri,))


def lines_of(spark, pieces):
    return [row.value for row in spark.read.text(list(pieces.uris)).collect()]


def test_split_file_cuts_between_lines(spark, source, tmp_path):
    pieces = split_file(source, Storage(str(tmp_path)), "pieces", IngestionConfig(piece_mb=1), keep_truncated=False)

    assert len(pieces.uris) == len(TEXT) // (1 << 20) + 1
    assert sorted(lines_of(spark, pieces)) == sorted(TEXT.decode().splitlines())


def test_split_file_goes_on_after_the_pieces_that_are_there(source, tmp_path, monkeypatch):
    storage, config = Storage(str(tmp_path)), IngestionConfig(piece_mb=1)
    whole = split_file(source, storage, "whole", config, keep_truncated=False)
    write, written = splitting._Splitter._write, []

    def fail_at_the_third(self, progress, lines):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(progress.num_pieces)
        return write(self, progress, lines)

    monkeypatch.setattr(splitting._Splitter, "_write", fail_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        split_file(source, storage, "pieces", config, keep_truncated=False)
    monkeypatch.setattr(
        splitting._Splitter, "_write", lambda *args: (written.append(args[1].num_pieces), write(*args))[1]
    )

    resumed = split_file(source, storage, "pieces", config, keep_truncated=False)

    assert written == list(range(1, len(whole.uris) + 1))
    for one, other in zip(whole.uris, resumed.uris, strict=True):
        assert storage.read_bytes(one.partition(f"{tmp_path}/")[2]) == storage.read_bytes(
            other.partition(f"{tmp_path}/")[2]
        )
