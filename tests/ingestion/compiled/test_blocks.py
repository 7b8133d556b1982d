"""Files as blocks of whole lines: every line in one block of one range, whatever the ranges and the file's kind."""

import bz2
import gzip

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from seqrec.ingestion.compiled import blocks
from seqrec.ingestion.compiled.blocks import LineBlocks
from seqrec.ingestion.compiled.kernel import compiled_library
from seqrec.ingestion.files import archives
from seqrec.ingestion.files.archives import BrokenArchiveError, Compression
from seqrec.ingestion.files.raw_files import find_raw_files

TEXT = b"".join(b'{"number": %d, "text": "%x"}\n' % (number, number**7) for number in range(8_000)) + b"the end"


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    def write(content):
        path = tmp_path_factory.mktemp("raw") / "lines"
        path.write_bytes(content)
        [file] = find_raw_files([str(path)], "x")
        return file

    return write


def lines_of(file, start, end, compression=Compression.PLAIN, keep_cut=False):
    """The lines of all blocks. Each block but the last ends in a newline."""
    found = LineBlocks(compiled_library(), file, compression, start, end, keep_cut)
    copies = [block.tobytes() for block in found]
    assert all(one.endswith(b"\n") for one in copies[:-1])
    return b"".join(copies).split(b"\n"), found.cut_line


@settings(database=None)
@given(
    lines=st.lists(st.binary(max_size=9).map(lambda line: line.replace(b"\n", b"")), min_size=1, max_size=12),
    cuts=st.lists(st.integers(0, 120), max_size=5),
    chunk_bytes=st.sampled_from([1 << 6, 1 << 22]),
    has_newline=st.booleans(),
)
def test_each_line_is_in_the_range_that_it_starts_in(write, lines, cuts, chunk_bytes, has_newline):
    content = b"\n".join(lines) + (b"\n" if has_newline else b"")
    file = write(content)
    places = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_CHUNK_BYTES", chunk_bytes)
        parts = [lines_of(file, start, end)[0] for start, end in zip(places, places[1:], strict=False)]

    starts = [0, *(place + 1 for place, byte in enumerate(content) if byte == ord("\n"))]
    for (start, end), part in zip(zip(places, places[1:], strict=False), parts, strict=True):
        own = [content[one:].partition(b"\n") for one in starts if start <= one < end]
        assert b"\n".join(part) == b"".join(line + newline for line, newline, _ in own)


@pytest.mark.parametrize(
    ("content", "compression"),
    [
        (TEXT, Compression.PLAIN),
        (gzip.compress(TEXT[:99]) + gzip.compress(b"") + gzip.compress(TEXT[99:]) + bytes(999), Compression.GZIP),
        (zstandard.compress(TEXT[:99]) + zstandard.compress(TEXT[99:]), Compression.ZSTD),
        (bz2.compress(TEXT), Compression.BZIP2),
    ],
)
@pytest.mark.parametrize("chunk_bytes", [1000, 1 << 22])
def test_blocks_hold_all_lines_of_every_kind(write, monkeypatch, content, compression, chunk_bytes):
    monkeypatch.setattr(archives, "_CHUNK_BYTES", chunk_bytes)
    monkeypatch.setattr(blocks, "_CHUNK_BYTES", chunk_bytes)

    assert lines_of(write(content), 0, len(content), compression) == (TEXT.split(b"\n"), None)


def test_blocks_hold_a_line_that_is_longer_than_they_are(write, monkeypatch):
    monkeypatch.setattr(blocks, "_CHUNK_BYTES", 64)
    content = b"short\n" + b"x" * 5000 + b"\nshort\n"

    assert lines_of(write(content), 0, len(content))[0] == content.split(b"\n")


def test_blocks_of_a_cut_archive_are_its_whole_lines(write):
    cut = gzip.compress(TEXT)
    cut = cut[: len(cut) // 2]
    file = write(cut)

    lines, cut_line = lines_of(file, 0, len(cut), Compression.GZIP, keep_cut=True)

    assert lines.pop() == b""
    assert lines == TEXT.split(b"\n")[: len(lines)]
    assert len(lines) > 3_000
    assert TEXT.split(b"\n")[len(lines)].startswith(cut_line.encode())
    with pytest.raises(BrokenArchiveError, match="is cut off or damaged .it ends early"):
        lines_of(file, 0, len(cut), Compression.GZIP)


def test_a_faster_decompressor_says_of_damage_what_zlib_says(write):
    pytest.importorskip("isal")
    archive = bytearray(gzip.compress(TEXT))
    archive[len(archive) // 2] ^= 0xFF
    messages = []
    for exactly in (True, False):
        with pytest.raises(BrokenArchiveError) as caught:
            list(archives.read_chunks_fast(write(bytes(archive)), Compression.GZIP, exactly=exactly))
        messages.append(str(caught.value).partition("is cut off")[2])

    assert messages[0] == messages[1]


def test_no_block_is_read_where_nothing_is(write):
    assert lines_of(write(b""), 0, 0) == ([b""], None)
