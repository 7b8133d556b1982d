"""What a file is by its bytes, if it is not lines of UTF-8 text, and how lines are made from it.

Names play no part: a browser, a proxy or a careless script may have given any name to any file.
"""

import json
import re
import struct
import zlib
from dataclasses import dataclass

_TAR_HEADER = 512
_CHECKSUM = slice(148, 156)  # Field of a tar header; it counts as spaces in its own sum.
_TEXT_SAMPLE = 4096  # Bytes in which the zeros of UTF-16 and UTF-32, and signs of other data, are counted.
_ISO_SIGN = 32769  # Where it stands.
_CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\v\f\r\x1b") + b"\x7f"
_MOST_CONTROLS = 0.04  # Share of a text; random bytes have 0.105.
_MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s*<")
_TITLE = re.compile(rb"<(?:title|h1|code|message)[^>]*>\s*([^<]{1,80}?)\s*<", re.IGNORECASE)
_PANDAS = (
    "python -c 'import pandas, sys; "
    'pandas.read_KIND(sys.argv[1]).to_json(sys.argv[2], orient="records", lines=True)\' {file} {lines}'
)
_WHERE_MADE = "write it as CSV or as JSON lines with the program that made it"


@dataclass(frozen=True)
class FileKind:
    """A kind of file that is not read, and the way to lines. One of the three ways is given."""

    what: str  # "a zip archive"
    filter: str = ""  # Command that reads the file from standard input and writes its text to standard output.
    # Command with {file}, or {reader} (the command that decompresses it), and what it makes: {lines} or {folder}.
    command: str = ""
    advice: str = ""  # What to do where no command helps.


_COMPRESSED = (
    (b"\x1f\x8b", FileKind("a gzip archive", filter="gunzip -c")),
    (b"\x28\xb5\x2f\xfd", FileKind("a zstd archive", filter="zstd -dc")),
    (b"\xfd7zXZ\0", FileKind("an xz archive", filter="xz -dc")),
    (b"BZh", FileKind("a bzip2 archive", filter="bzip2 -dc")),
    (b"\x04\x22\x4d\x18", FileKind("an LZ4 archive", filter="lz4 -dc")),
    (b"\x02\x21\x4c\x18", FileKind("an LZ4 archive", filter="lz4 -dc")),
    (b"LRZI", FileKind("an lrzip archive", command="lrzip -d -o {lines} {file}")),
    (b"RZIP", FileKind("an rzip archive", command="rzip -dk -o {lines} {file}")),
    (b"\x89LZO\0\r\n\x1a\n", FileKind("an lzop archive", filter="lzop -dc")),
    (b"LZIP\x01", FileKind("an lzip archive", filter="lzip -dc")),
    (b"\x5d\0\0", FileKind("an LZMA archive", filter="xz --format=lzma -dc")),
    (b"\x1f\x9d", FileKind("a Unix compress archive (.Z)", filter="gzip -dc")),
    (b"\xff\x06\0\0sNaPpY", FileKind("a Snappy archive", filter="snzip -dc -t framing2")),
)
_ARCHIVES = (
    (b"7z\xbc\xaf\x27\x1c", FileKind("a 7z archive", command="7z x {file} -o{folder}")),
    (b"Rar!\x1a\x07", FileKind("a RAR archive", command="unrar x {file} {folder}/")),
    (b"MSCF\0\0\0\0", FileKind("a Windows cabinet", command="7z x {file} -o{folder}")),
    (b"!<arch>\n", FileKind("an ar archive", command="7z x {file} -o{folder}")),
    (b"xar!\0\x1c", FileKind("a xar archive", command="7z x {file} -o{folder}")),
    (b"MSWIM\0\0\0", FileKind("a Windows image", command="7z x {file} -o{folder}")),
    (b"\x60\xea", FileKind("an ARJ archive", command="7z x {file} -o{folder}")),
    (b"7kSt", FileKind("a ZPAQ archive", command="zpaq x {file} -to {folder}")),
    (b"hsqs", FileKind("a SquashFS image", command="unsquashfs -d {folder} {file}")),
    (b"#!", FileKind("a shell script, perhaps one that unpacks itself", advice="name the file that it makes")),
    (b"begin-base64 ", FileKind("a uuencoded file", command="uudecode -o {lines} {file}")),
    (b"WARC/1.", FileKind("an archive of web pages (WARC)", advice="take the files out of it")),
    (b"#mtree", FileKind("a list of files (mtree)", advice="name the files that it lists")),
)
_TABLES = (
    (b"PAR1", FileKind("a Parquet file", command=_PANDAS.replace("KIND", "parquet"))),
    (b"PARE", FileKind("an encrypted Parquet file", advice="decrypt it, and " + _WHERE_MADE)),
    (b"ORC", FileKind("an ORC file", command=_PANDAS.replace("KIND", "orc"))),
    (b"ARROW1\0\0", FileKind("an Arrow file", command=_PANDAS.replace("KIND", "feather"))),
    (b"FEA1", FileKind("a Feather file", command=_PANDAS.replace("KIND", "feather"))),
    (b"Obj\x01", FileKind("an Avro file", command="avro-tools tojson {file} > {lines}")),
    (b"SEQ\x06", FileKind("a Hadoop sequence file", command="hadoop fs -text {file} > {lines}")),
    (
        b"SQLite format 3\0",
        FileKind("an SQLite database", command="sqlite3 -csv {file} 'SELECT * FROM TABLE' > {lines}"),
    ),
    (b"\x89HDF\r\n\x1a\n", FileKind("an HDF5 file", advice=_WHERE_MADE)),
    (b"\x93NUMPY", FileKind("a NumPy array", advice=_WHERE_MADE)),
    (b"MATLAB 5.0", FileKind("a MATLAB file", advice=_WHERE_MADE)),
    (b"RDX", FileKind("an R workspace", advice=_WHERE_MADE)),
    (b"X\n\0\0\0", FileKind("an R object", advice=_WHERE_MADE)),
    (b"\xd0\xcf\x11\xe0", FileKind("an old Office document", command="soffice --headless --convert-to csv {file}")),
)
_OTHERS = (
    (b"%PDF-", FileKind("a PDF document", advice="download the data that it describes")),
    (b"%!PS", FileKind("a PostScript document", advice="download the data that it describes")),
    (b"\x89PNG", FileKind("a PNG picture", advice="download the file again")),
    (b"\xff\xd8\xff", FileKind("a JPEG picture", advice="download the file again")),
    (b"GIF8", FileKind("a GIF picture", advice="download the file again")),
    (b"\x7fELF", FileKind("a program", advice="check which file is meant")),
    (b"HTTP/1.", FileKind("an answer of a web server, its headers included", advice="download the file again")),
    (b"d8:announce", FileKind("a torrent, not the file itself", advice="download the file with it")),
    (b"Salted__", FileKind("a file encrypted by OpenSSL", advice="decrypt it")),
    (b"-----BEGIN PGP", FileKind("a file encrypted by PGP", command="gpg --output {lines} --decrypt {file}")),
    (b"age-encryption.org", FileKind("a file encrypted by age", command="age --decrypt -o {lines} {file}")),
    (b"version https://git-lfs", FileKind("a Git LFS pointer, not the file itself", advice="run git lfs pull there")),
    (b"/annex/objects/", FileKind("a git-annex pointer, not the file itself", command="git annex get {file}")),
    (b"../.git/annex/objects/", FileKind("a git-annex pointer, not the file itself", command="git annex get {file}")),
    (b".git/annex/objects/", FileKind("a git-annex pointer, not the file itself", command="git annex get {file}")),
    (
        b"\0\x05\x16\x07",
        FileKind("macOS's notes on a file (AppleDouble)", advice="name the file without '._', or none"),
    ),
    (b"\0\0\0\x01Bud1", FileKind("a .DS_Store of macOS", advice="delete it")),
)
# The longer sign first: UTF-32 begins as UTF-16 does.
_ENCODINGS = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_BY_MAGIC = (*_COMPRESSED, *_ARCHIVES, *_TABLES, *_OTHERS)


def kind_of(head: bytes) -> FileKind | None:
    """The kind of a file that begins with `head` (some kilobytes, or all of it); None if it may be UTF-8 text."""
    for magic, kind in _BY_MAGIC:
        if head.startswith(magic) and _is_really(kind, head):
            return kind
    for look in (_zip, _tar, _cpio, _of_dos, _zlib, _image, _pickle, _encoding, _markup, _binary, _returns):
        if (found := look(head)) is not None:
            return found
    return None


def kind_of_text(text: str) -> FileKind | None:
    """The kind of a text, or the start of one, in which records are no lines: one JSON list, or one object over several
    lines; None if it is neither."""
    text = text.lstrip("\ufeff \t\r\n")
    if re.match(r"\[\s*\{", text):
        return FileKind("one JSON list", filter="jq -c '.[]'")
    if not text.startswith("{"):
        return None
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return FileKind("JSON objects over several lines each", filter="jq -c .") if "\n" in text[:end] else None


def _is_really(kind: FileKind, head: bytes) -> bool:
    """Whether more than the first bytes speak for a kind whose sign could begin a line of text."""
    if kind.what == "a bzip2 archive":
        return head[4:10] in (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90")
    if kind.what in ("a Parquet file", "an ORC file", "a Feather file", "an R workspace"):
        return not head[:64].isascii() or b"\0" in head[:64]
    return True


def _zip(head: bytes) -> FileKind | None:
    if not head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return None
    if head[:4] == b"PK\x03\x04" and len(head) >= 30:
        flags, method = struct.unpack_from("<HH", head, 6)
        if flags & 1:
            tool = "7z x -pPASSWORD {file} -o{folder}" if method == 99 else "unzip -P PASSWORD {file} -d {folder}"
            return FileKind("an encrypted zip archive", command=tool)
    if b"xl/" in head[:4096] or b"[Content_Types].xml" in head[:4096]:
        return FileKind("an Office document (.xlsx)", command="soffice --headless --convert-to csv {file}")
    if head[30:].startswith(b"mimetypeapplication/vnd.oasis"):
        return FileKind("an OpenDocument file (.ods)", command="soffice --headless --convert-to csv {file}")
    if b".npy" in head[30:256]:
        return FileKind("a NumPy archive (.npz)", advice=_WHERE_MADE)
    return FileKind("a zip archive", command="unzip {file} -d {folder}")


def _tar(head: bytes) -> FileKind | None:
    """By the checksum of the first header, which archives without the word `ustar` have too."""
    header = head[:_TAR_HEADER]
    digits = header[_CHECKSUM].strip(b" \0")
    if len(header) < _TAR_HEADER or not re.fullmatch(rb"[0-7]{1,7}", digits):
        return None
    if int(digits, 8) != sum(header) - sum(header[_CHECKSUM]) + 8 * ord(" "):
        return None
    return FileKind("a tar archive", command="mkdir {folder} && {reader} | tar -xf - -C {folder}")


def _cpio(head: bytes) -> FileKind | None:
    """Text around it is whole lines, so that only a few would be rejected."""
    is_text = re.match(rb"070707[0-7]{70}|07070[12][0-9A-Fa-f]{104}|begin [0-7]{3,4} \S+\r?\n", head)
    if is_text and is_text[0].startswith(b"begin"):
        return FileKind("a uuencoded file", command="uudecode -o {lines} {file}")
    if is_text or (head[:2] in (b"\xc7\x71", b"\x71\xc7") and b"\0" in head[:32]):
        return FileKind("a cpio archive", command="mkdir {folder} && {reader} | (cd {folder} && cpio -id)")
    return None


def _of_dos(head: bytes) -> FileKind | None:
    if re.match(rb"..-l[hz][0-9ds]-", head, re.DOTALL):
        return FileKind("an LHA archive", command="7z x {file} -o{folder}")
    if re.match(rb"\x1a[\x01-\x1f][^\0]{1,12}\0", head):
        return FileKind("an ARC archive", advice="unpack it (arc x)")
    return None


def _zlib(head: bytes) -> FileKind | None:
    if head[:1] != b"x" or int.from_bytes(head[:2], "big") % 31:
        return None
    try:
        zlib.decompressobj().decompress(head[:_TEXT_SAMPLE])
    except zlib.error:
        return None
    unpack = "import sys, zlib; sys.stdout.buffer.write(zlib.decompress(sys.stdin.buffer.read()))"
    return FileKind("a zlib archive", filter=f"python -c '{unpack}'")


def _image(head: bytes) -> FileKind | None:
    """An image of a disk begins with zeros."""
    is_iso = head[_ISO_SIGN : _ISO_SIGN + 5] == b"CD001"
    return FileKind("an ISO image", command="7z x {file} -o{folder}") if is_iso else None


def _pickle(head: bytes) -> FileKind | None:
    if not re.match(rb"\x80[\x02-\x05]", head):
        return None
    return FileKind("a Python pickle, which could run code when opened", advice=_WHERE_MADE)


def _encoding(head: bytes) -> FileKind | None:
    """UTF-16 or UTF-32, by its mark or by the zeros that it puts between ASCII characters."""
    for mark, name in _ENCODINGS:
        if head.startswith(mark):
            return FileKind(f"{name} text", filter=f"iconv -f {name} -t UTF-8")
    sample = head[: min(_TEXT_SAMPLE, len(head) // 4 * 4)]
    if not sample:
        return None
    if not sample.strip(b"\0"):
        return FileKind("a file of zeros, as an unfinished download is", advice="download it again")
    zeros = [sample[start::4].count(0) / (len(sample) / 4) > 0.7 for start in range(4)]
    names = {
        (False, True, True, True): "UTF-32LE",
        (True, True, True, False): "UTF-32BE",
        (False, True, False, True): "UTF-16LE",
        (True, False, True, False): "UTF-16BE",
    }
    found = names.get((zeros[0], zeros[1], zeros[2], zeros[3]))
    return None if found is None else FileKind(f"{found} text", filter=f"iconv -f {found} -t UTF-8")


def _markup(head: bytes) -> FileKind | None:
    if not _MARKUP.match(head):
        return None
    start = head[:_TEXT_SAMPLE]
    what = "an XML document" if b"<?xml" in start[:64] and b"<html" not in start.lower() else "an HTML page"
    if title := _TITLE.search(start):
        what += f" ('{' '.join(title[1].decode('utf-8', errors='replace').split())}')"
    return FileKind(what, advice="download the file again; what came may be an error message")


def _returns(head: bytes) -> FileKind | None:
    if b"\n" in head or b"\r" not in head.strip():
        return None
    return FileKind("text whose lines end in carriage returns alone", filter="tr '\\r' '\\n'")


def _binary(head: bytes) -> FileKind | None:
    """Data without a sign of its own has many control characters, text in any encoding next to none."""
    sample = head[:_TEXT_SAMPLE]
    if len(sample) - len(sample.translate(None, _CONTROLS)) <= max(2, _MOST_CONTROLS * len(sample)):
        return None
    advice = "unpack it, if it is compressed without a sign (brotli) or encrypted, or name another file"
    return FileKind("a file of binary data", advice=advice)
