"""Random lines in whatever a compressor of Python or Debian makes: every line is read, or the file is refused."""

import bz2
import gzip
import io
import lzma
import os
import shutil
import subprocess
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqrec.core.errors import DataError
from seqrec.ingestion.files.archives import read_chunks
from seqrec.ingestion.files.line_files import open_line_file
from seqrec.ingestion.files.raw_files import find_raw_files

Compressor = Callable[[bytes], bytes]


def zipped(kind: int) -> Compressor:
    def compress(content: bytes) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", kind) as archive:
            archive.writestr("reviews.json", content)
        return buffer.getvalue()

    return compress


def by_program(*command: str) -> Compressor:
    return lambda content: subprocess.run(command, input=content, capture_output=True, check=True).stdout


IN, OUT = "reviews.json", "made"


def by_files(*command: str) -> Compressor:
    def compress(content: bytes) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, IN).write_bytes(content)
            subprocess.run(command, cwd=folder, capture_output=True, check=True)
            [made] = Path(folder).glob(f"{OUT}*")
            return made.read_bytes()

    return compress


READ: dict[str, Compressor] = {
    "nothing": lambda content: content,
    **{f"gzip {level}": lambda content, level=level: gzip.compress(content, level) for level in (0, 1, 9)},
    "two members": lambda content: gzip.compress(content[:7]) + gzip.compress(content[7:]),
    **{f"bz2 {level}": lambda content, level=level: bz2.compress(content, level) for level in (1, 9)},
    "two bz2 streams": lambda content: bz2.compress(content[:7]) + bz2.compress(content[7:]),
    **{
        f"xz, check {check}": lambda content, check=check: lzma.compress(content, check=check)
        for check in (lzma.CHECK_NONE, lzma.CHECK_CRC32, lzma.CHECK_CRC64, lzma.CHECK_SHA256)
    },
    "two xz streams": lambda content: lzma.compress(content[:7]) + lzma.compress(content[7:]),
    **{f"zstd {level}": lambda content, level=level: zstandard.compress(content, level) for level in (-5, 1, 19, 22)},
    "zstd without sizes": lambda content: zstandard.ZstdCompressor(write_content_size=False).compress(content),
    "zstd with a checksum": lambda content: zstandard.ZstdCompressor(write_checksum=True).compress(content),
    "zstd, a frame of notes first": lambda content: b"\x5a\x2a\x4d\x18\2\0\0\0ab" + zstandard.compress(content),
    "zstd, a frame of notes last": lambda content: zstandard.compress(content) + b"\x50\x2a\x4d\x18\1\0\0\0a",
    "two zstd frames": lambda content: zstandard.compress(content[:7]) + zstandard.compress(content[7:]),
}
REFUSED: dict[str, Compressor] = {
    **{f"zlib {level}": lambda content, level=level: zlib.compress(content, level) for level in (0, 1, 6, 9)},
    "lzma": lambda content: lzma.compress(content, format=lzma.FORMAT_ALONE),
    **{
        f"zip {kind}": zipped(kind)
        for kind in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    },
}
PROGRAMS = {  # Those of Debian that write to standard output; whether what they make is read.
    "gzip": (True, ("gzip", "-c")),
    "pigz": (True, ("pigz", "-c")),
    "bzip2": (True, ("bzip2", "-c")),
    "pbzip2": (True, ("pbzip2", "-c")),
    "lbzip2": (True, ("lbzip2", "-c")),
    "xz": (True, ("xz", "-c")),
    "xz of several threads": (True, ("xz", "-c", "-T2", "--block-size=64")),
    "pixz": (True, ("pixz",)),
    "zstd": (True, ("zstd", "-qc")),
    "zstd --long": (True, ("zstd", "-qc", "--long=27")),
    "pzstd": (True, ("pzstd", "-qc")),
    "lzma": (False, ("lzma", "-c")),
    "lz4": (False, ("lz4", "-qc")),
    "lz4 of old": (False, ("lz4", "-qcl")),
    "lzop": (False, ("lzop", "-c")),
    "lzip": (False, ("lzip", "-c")),
    "lzip.lzip": (False, ("lzip.lzip", "-c")),
    "compress": (False, ("compress", "-cf")),
    "zip": (False, ("zip", "-q", "-", "-")),
    "pigz as zlib": (False, ("pigz", "-zc")),
    "pigz as zip": (False, ("pigz", "-Kc")),
    "uuencode": (False, ("uuencode", "reviews.json")),
    "uuencode in base 64": (False, ("uuencode", "-m", "reviews.json")),
}
KINDS_OF_BSDTAR = "gnutar pax ustar v7tar cpio newc odc bin shar shardump xar 7zip iso9660 zip mtree warc argnu"
ARCHIVERS = {  # Those of Debian that take a file and make another; none of what they make is read.
    **{f"bsdtar {kind}": ("bsdtar", "--format", kind, "-cf", OUT, IN) for kind in KINDS_OF_BSDTAR.split()},
    **{
        f"bsdtar, then {filter_}": ("bsdtar", f"--{filter_}", "-cf", OUT, IN)
        for filter_ in ("gzip", "bzip2", "xz", "zstd", "lzma", "lz4", "compress", "uuencode", "b64encode")
    },
    "7z": ("7z", "a", "made.7z", IN),
    "7z, encrypted": ("7z", "a", "-pz", "-mhe=on", "made.7z", IN),
    "7z as wim": ("7z", "a", "made.wim", IN),
    "7z as zip, PPMd": ("7z", "a", "-mm=PPMd", "made.zip", IN),
    "arj": ("arj", "a", "made.arj", IN),
    "arc": ("arc", "a", OUT, IN),
    "lrzip": ("lrzip", "-q", "-o", OUT, IN),
    "rzip": ("rzip", "-k", "-o", OUT, IN),
    "zpaq": ("zpaq", "a", "made.zpaq", IN),
    "ar": ("ar", "r", OUT, IN),
    "mksquashfs": ("mksquashfs", IN, OUT, "-quiet"),
    "genisoimage": ("genisoimage", "-quiet", "-o", OUT, IN),
}
for program, (is_read, command) in PROGRAMS.items():
    if shutil.which(command[0]):
        (READ if is_read else REFUSED)[f"the program {program}"] = by_program(*command)
for program, command in ARCHIVERS.items():
    if shutil.which(command[0]):
        REFUSED[f"the program {program}"] = by_files(*command)

LINES = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00\ufeff"), min_size=1), min_size=1)
FUZZ = settings(
    max_examples=int(os.environ.get("SEQREC_FUZZ", "40")), suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def content_of(lines: list[str]) -> bytes:
    """Lines as they are in files of reviews: each begins as a record does."""
    return "".join(f'{{"x": {line!r}}}\n' for line in lines).encode()


@pytest.mark.slow
@pytest.mark.parametrize("kind", READ)
@FUZZ
@given(lines=LINES)
def test_every_line_of_what_is_read_comes_through(kind, lines, tmp_path):
    content = content_of(lines)
    (tmp_path / "reviews.json.gz").write_bytes(READ[kind](content))
    [file] = find_raw_files([str(tmp_path / "reviews.json.gz")], "source.reviews")

    opened, sample = open_line_file(file)

    assert b"".join(read_chunks(opened.file, opened.compression)) == content
    assert sample == content.decode().split("\n")[: len(sample)]
    assert len(sample) == min(len(lines), len(sample))


@pytest.mark.slow
@pytest.mark.parametrize("kind", REFUSED)
@FUZZ
@given(lines=LINES)
def test_what_is_not_read_is_refused_by_its_name(kind, lines, tmp_path):
    (tmp_path / "reviews.json.gz").write_bytes(REFUSED[kind](content_of(lines)))
    [file] = find_raw_files([str(tmp_path / "reviews.json.gz")], "source.reviews")

    with pytest.raises(DataError, match=r"(is|holds) an? .*") as caught:
        open_line_file(file)
    assert "\n" not in str(caught.value)
