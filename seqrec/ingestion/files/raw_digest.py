"""The sha256 of raw files. They are remembered: a file of the same address, size and time is not read again."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

from seqrec.core.storage import Storage
from seqrec.ingestion.files.raw_files import RawFile

_REMEMBERED = "raw/_sha256.json"
_CHUNK_BYTES = 1 << 22


def raw_digests(files: list[RawFile], storage: Storage) -> dict[str, str]:
    """Address of each file -> its sha256, 64 hexadecimal digits. They are kept in `storage` for the next time."""
    remembered = json.loads(storage.read_bytes(_REMEMBERED)) if storage.exists(_REMEMBERED) else {}
    missing = [file for file in files if _key(file) not in remembered]
    if missing:
        with ThreadPoolExecutor(2) as pool:
            remembered.update(zip(map(_key, missing), pool.map(sha256_of, missing), strict=True))
        storage.write_bytes(_REMEMBERED, json.dumps(remembered, indent=1).encode())
    return {file.uri: remembered[_key(file)] for file in files}


def sha256_of(file: RawFile) -> str:
    """The sha256 of the bytes of a file, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with file.open() as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _key(file: RawFile) -> str:
    return f"{file.uri} {file.size} {file.modified}"
