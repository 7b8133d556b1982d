"""Files whose names lie: each is read rightly, or refused with what it is and a command that makes lines of it."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import random
import shutil
import sqlite3
import subprocess
import tarfile
import zipfile
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet
import pytest
import zstandard

from seqrec.core.errors import DataError
from seqrec.ingestion.files.archives import read_chunks
from seqrec.ingestion.files.line_files import open_line_file
from seqrec.ingestion.files.raw_files import find_raw_files

LINES = [
    json.dumps({"reviewerID": f"A{n}", "asin": f"B{n}", "overall": 5.0, "unixReviewTime": 1_400_000_000})
    for n in range(40)
]
TEXT = "".join(f"{line}\n" for line in LINES).encode()
NAME = "Gift_Cards_5.json.gz"  # Every kind comes under this name.


def tar(kind):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as archive:
        info = tarfile.TarInfo("reviews.json")
        info.size = len(TEXT)
        archive.addfile(info, io.BytesIO(TEXT))
    return buffer.getvalue()


def old_tar():
    """As tar wrote before 1988: without the word `ustar`."""
    header = bytearray(tar(tarfile.USTAR_FORMAT)[:512])
    header[257:512] = bytes(255)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + tar(tarfile.USTAR_FORMAT)[512:]


def cpio():
    def member(name, content):
        fields = (1, 0o100644, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name + b"\0"
        return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)

    return member(b"reviews.json", TEXT) + member(b"TRAILER!!!", b"")


def zipped(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, TEXT)
    return buffer.getvalue()


def encrypted(method):
    content = bytearray(zipped("reviews.json"))
    content[6] |= 1
    content[8] = method
    return bytes(content)


def table(write):
    buffer = io.BytesIO()
    write(pa.Table.from_pylist([json.loads(line) for line in LINES]), buffer)
    return buffer.getvalue()


def database(tmp_path):
    path = tmp_path / "a.db"
    connection = sqlite3.connect(path)
    connection.execute("create table ratings (user text)")
    connection.commit()
    connection.close()
    return path.read_bytes()


def saved(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


READ = {
    "plain": TEXT,
    "gzip": gzip.compress(TEXT),
    "gzip of two members": gzip.compress(TEXT[:900]) + gzip.compress(TEXT[900:]),
    "gzip with zeros after it": gzip.compress(TEXT) + bytes(512),
    "zstd": zstandard.compress(TEXT),
    "zstd behind a frame of notes": b"\x50\x2a\x4d\x18\2\0\0\0ab" + zstandard.compress(TEXT),
    "xz": lzma.compress(TEXT),
    "xz of two streams": lzma.compress(TEXT[:900]) + bytes(4) + lzma.compress(TEXT[900:]),
    "bzip2": bz2.compress(TEXT),
    "bzip2 of two streams": bz2.compress(TEXT[:900]) + bz2.compress(TEXT[900:]),
    "UTF-8 with a mark": b"\xef\xbb\xbf" + TEXT,
    "UTF-8 with a mark, gzip": gzip.compress(b"\xef\xbb\xbf" + TEXT),
    "CRLF": TEXT.replace(b"\n", b"\r\n"),
    "blank lines first": b"\n\n  \n" + TEXT,
}
REFUSED = {
    "zip": (zipped("reviews.json"), "is a zip archive"),
    "zip of several": (zipped("reviews.json", "meta.json"), "is a zip archive"),
    "zip without files": (zipped(), "is a zip archive"),
    "encrypted zip": (encrypted(8), r"is an encrypted zip archive.* unzip -P PASSWORD"),
    "zip encrypted with AES": (encrypted(99), r"is an encrypted zip archive.* 7z x -pPASSWORD"),
    "xlsx": (zipped("[Content_Types].xml", "xl/workbook.xml"), r"is an Office document \(.xlsx\)"),
    "npz": (zipped("a.npy"), "is a NumPy archive"),
    "zip in gzip": (gzip.compress(zipped("reviews.json")), "holds a zip archive"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4" + bytes(99), "is a 7z archive.* 7z x"),
    "rar": (b"Rar!\x1a\x07\x01\0" + bytes(99), "is a RAR archive.* unrar x"),
    "cabinet": (b"MSCF\0\0\0\0" + bytes(99), "is a Windows cabinet"),
    "ar": (b"!<arch>\n" + bytes(99), "is an ar archive"),
    "tar": (tar(tarfile.USTAR_FORMAT), "is a tar archive"),
    "tar of GNU": (tar(tarfile.GNU_FORMAT), "is a tar archive"),
    "tar of POSIX": (tar(tarfile.PAX_FORMAT), "is a tar archive"),
    "tar of old": (old_tar(), "is a tar archive"),
    "tar in gzip": (gzip.compress(tar(tarfile.GNU_FORMAT)), "holds a tar archive"),
    "tar in xz": (lzma.compress(tar(tarfile.GNU_FORMAT)), "holds a tar archive"),
    "gzip in gzip": (gzip.compress(gzip.compress(TEXT)), "holds a gzip archive"),
    "xz in gzip": (gzip.compress(lzma.compress(TEXT)), "holds an xz archive"),
    "gzip in bzip2": (bz2.compress(gzip.compress(TEXT)), "holds a gzip archive"),
    "lzma": (lzma.compress(TEXT, format=lzma.FORMAT_ALONE), "is an LZMA archive"),
    "lz4": (b"\x04\x22\x4d\x18" + bytes(99), "is an LZ4 archive.* lz4 -dc"),
    "lzop": (b"\x89LZO\0\r\n\x1a\n" + bytes(99), "is an lzop archive"),
    "lzip": (b"LZIP\x01" + bytes(99), "is an lzip archive"),
    "compress": (b"\x1f\x9d\x90" + bytes(99), "is a Unix compress archive"),
    "snappy": (b"\xff\x06\0\0sNaPpY" + bytes(99), "is a Snappy archive"),
    "Parquet": (table(pa.parquet.write_table), "is a Parquet file"),
    "Parquet in gzip": (gzip.compress(table(pa.parquet.write_table)), "holds a Parquet file"),
    "encrypted Parquet": (b"PARE" + bytes(99), "is an encrypted Parquet file"),
    "ORC": (table(pa.orc.write_table), "is an ORC file"),
    "Arrow": (table(lambda rows, sink: pa.feather.write_feather(rows, sink)), "is an Arrow file"),
    "Avro": (b"Obj\x01\x04\x14avro.codec" + bytes(99), "is an Avro file"),
    "sequence file": (b"SEQ\x06\x19org.apache.hadoop.io.Text", "is a Hadoop sequence file"),
    "SQLite": (database, "is an SQLite database.* sqlite3 -csv"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "is an HDF5 file"),
    "NumPy": (saved(np.arange(9)), "is a NumPy array"),
    "NumPy in gzip": (gzip.compress(saved(np.arange(9))), "holds a NumPy array"),
    "pickle": (pickle.dumps([json.loads(line) for line in LINES]), "is a Python pickle"),
    "pickle of old": (pickle.dumps({"a": 1}, protocol=2), "is a Python pickle"),
    "R workspace": (gzip.compress(b"RDX3\nX\n\0\0\0\3" + bytes(99)), "holds an R workspace"),
    "old Office": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), "is an old Office document"),
    "PDF": (b"%PDF-1.7\n%abc\n", "is a PDF document"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(99), "is a PNG picture"),
    "HTML": (b"<!DOCTYPE html>\n<html><head><title>404 Not\n Found</title>\n", r"is an HTML page \('404 Not Found'\)"),
    "HTML in capitals": (b"\n <HTML><BODY><H1>Forbidden</H1>\n", r"is an HTML page \('Forbidden'\)"),
    "HTML in gzip": (gzip.compress(b"<html><body>log in</body></html>"), "holds an HTML page"),
    "XML of S3": (
        b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>',
        r"is an XML document \('AccessDenied'\)",
    ),
    "answer with headers": (b"HTTP/1.1 200 OK\r\nContent-Type: x\r\n\r\n" + TEXT, "is an answer of a web server"),
    "torrent": (b"d8:announce35:udp://tracker", "is a torrent"),
    "UTF-16": (TEXT.decode().encode("utf-16"), "is UTF-16 text"),
    "UTF-16, big end first": (b"\xfe\xff" + TEXT.decode().encode("utf-16-be"), "is UTF-16 text"),
    "UTF-16LE without a mark": (TEXT.decode().encode("utf-16-le"), "is UTF-16LE text"),
    "UTF-16BE without a mark": (TEXT.decode().encode("utf-16-be"), "is UTF-16BE text"),
    "UTF-32": (TEXT.decode().encode("utf-32"), "is UTF-32 text"),
    "UTF-32LE without a mark": (TEXT.decode().encode("utf-32-le"), "is UTF-32LE text"),
    "UTF-32BE without a mark": (TEXT.decode().encode("utf-32-be"), "is UTF-32BE text"),
    "UTF-16 in gzip": (gzip.compress(TEXT.decode().encode("utf-16")), "holds UTF-16 text"),
    "zeros": (bytes(9999), "is a file of zeros"),
    "carriage returns": (TEXT.replace(b"\n", b"\r"), "text whose lines end in carriage returns"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "Git LFS pointer"),
    "git-annex": (b"/annex/objects/SHA256E-s31390--f50d.json.gz\n", "git-annex pointer.* git annex get"),
    "git-annex link": (b"../.git/annex/objects/9k/SHA256E-s3--f5/SHA256E-s3--f5", "git-annex pointer"),
    "AppleDouble": (b"\0\x05\x16\x07\0\x02\0\0Mac OS X        " + bytes(99), "AppleDouble"),
    ".DS_Store": (b"\0\0\0\x01Bud1\0\0\x10" + bytes(99), "a .DS_Store"),
    "OpenSSL": (b"Salted__abcdefgh" + bytes(range(99)), "encrypted by OpenSSL"),
    "PGP": (b"-----BEGIN PGP MESSAGE-----\n\nhQEM\n", "encrypted by PGP"),
    "0 bytes": (b"", "has 0 bytes"),
    "cpio, which holds whole lines": (b"070707" + b"0000017" * 10 + b"reviews.json\0" + TEXT, "is a cpio archive"),
    "new cpio": (cpio(), "is a cpio archive"),
    "binary cpio": (b"\xc7\x71\0\xfe\1\0\xa4\x81" + bytes(30) + TEXT, "is a cpio archive"),
    "zlib": (zlib.compress(TEXT), "is a zlib archive"),
    "deflate": (zlib.compressobj(wbits=-15).compress(TEXT * 9) + bytes(range(256)), "is a file of binary data"),
    "random": (random.Random(1).randbytes(9999), "is a file of binary data"),
    "encrypted, in gzip": (gzip.compress(random.Random(2).randbytes(9999)), "holds a file of binary data"),
    "LHA": (b"\x1f\x9a-lh5-" + bytes(range(99)), "is an LHA archive"),
    "LZ4 of old": (b"\x02\x21\x4c\x18" + bytes(99), "is an LZ4 archive"),
    "web archive": (b"WARC/1.0\r\nWARC-Type: warcinfo\r\n\r\n" + TEXT, "is an archive of web pages"),
    "shell archive": (b"#!/bin/sh\n# This is a shell archive\n" + TEXT, "is a shell script"),
    "uuencode": (b"begin 644 reviews.json\nM>R)R979I97=E<\n", "is a uuencoded file"),
    "ISO image": (bytes(32769) + b"CD001" + TEXT, "is an ISO image"),
}
# Those whose command is followed, and the program that it needs.
FOLLOWED = {
    "zip": "unzip",
    "zip in gzip": "unzip",
    "zip of several": "unzip",
    "tar": "tar",
    "tar of old": "tar",
    "tar in gzip": "tar",
    "tar in xz": "tar",
    "gzip in gzip": "gunzip",
    "xz in gzip": "xz",
    "gzip in bzip2": "bzip2",
    "lzma": "xz",
    "Parquet in gzip": "python",
    "UTF-16": "iconv",
    "UTF-16, big end first": "iconv",
    "UTF-16LE without a mark": "iconv",
    "UTF-16BE without a mark": "iconv",
    "UTF-32": "iconv",
    "UTF-32LE without a mark": "iconv",
    "UTF-16 in gzip": "iconv",
    "carriage returns": "tr",
    "zlib": "python",
    "new cpio": "cpio",
}


@pytest.fixture
def file(tmp_path):
    def write(content, name=NAME):
        path = tmp_path / "it's here" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content(tmp_path) if callable(content) else content)
        [found] = find_raw_files([str(path)], "source.reviews")
        return found

    return write


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize("name", [NAME, "reviews.json", "reviews.json.bz2", "reviews.zip"])
def test_open_line_file_reads_lines_under_any_name(file, kind, name):
    lines, sample = open_line_file(file(READ[kind], name))

    assert sample == LINES
    content = b"".join(read_chunks(lines.file, lines.compression))
    assert content.decode("utf-8-sig").split() == TEXT.decode().split()


@pytest.mark.parametrize("kind", REFUSED)
def test_open_line_file_says_what_a_file_is(file, kind):
    content, match = REFUSED[kind]

    with pytest.raises(DataError, match=match) as caught:
        open_line_file(file(content))

    assert "\n" not in str(caught.value)
    assert NAME in str(caught.value)


@pytest.mark.parametrize("kind", FOLLOWED)
def test_the_command_of_the_message_makes_lines(file, kind):
    if shutil.which(FOLLOWED[kind]) is None:
        pytest.skip(f"{FOLLOWED[kind]} is not installed")
    found = file(REFUSED[kind][0])
    with pytest.raises(DataError) as caught:
        open_line_file(found)
    command = str(caught.value).partition(".bz2: ")[2].removesuffix(".")

    subprocess.run(command, shell=True, check=True, stdout=subprocess.DEVNULL)

    made = [one for one in find_raw_files([found.display.rpartition("/")[0]], "x") if one.uri != found.uri]
    made = [one for one in made if not one.name.endswith(".uncompressed")]
    assert made
    for one in made:
        records = [json.loads(line) for line in open_line_file(one)[1]]
        assert records == [json.loads(line) for line in LINES]


@pytest.mark.parametrize("name", ["a.json.gz.part", "a.json.crdownload", "a.json.aria2", "A.JSON.DOWNLOAD"])
def test_open_line_file_refuses_a_download_that_has_not_ended(file, name):
    with pytest.raises(DataError, match=f"{name}: is a download that has not ended"):
        open_line_file(file(TEXT, name))


@pytest.mark.parametrize(
    "first", ["BZh,A1", "BZh91AY", "PAR1", "ORC", "RDX3", "070701", "{", "7z", "Rar!", "d8", "GIF"]
)
def test_open_line_file_takes_text_that_begins_as_a_kind_does(file, first):
    assert open_line_file(file(f"{first},B1,5.0,1400000000\nA2,B2,1.0,1400000000\n".encode()))[1][0].startswith(first)


def test_find_raw_files_names_the_file_beside_a_note_of_macos(tmp_path):
    (tmp_path / "._a.json").write_bytes(b"\0\x05\x16\x07")

    with pytest.raises(DataError, match=r"Name the file itself: a.json"):
        find_raw_files([str(tmp_path / "._a.json")], "source.reviews")


@pytest.mark.parametrize("pattern", ["a.json", "", "*.json", "*"])
def test_find_raw_files_refuses_a_link_that_leads_nowhere(tmp_path, pattern):
    (tmp_path / "b.json").write_bytes(TEXT)
    (tmp_path / "a.json").symlink_to("../.git/annex/objects/x/a.json")

    with pytest.raises(
        DataError, match=r"a.json': links to ../.git/annex.*, which is not there. .*git annex get a.json"
    ):
        find_raw_files([f"{tmp_path}/{pattern}"], "source.reviews")
