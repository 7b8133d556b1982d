"""The sha256 of raw files. They are remembered: a file of the same address, size and time is not read again."""

import json
from concurrent.futures import ThreadPoolExecutor

from seqrec.core.storage import Storage, stream_digest
from seqrec.ingestion.files.raw_files import RawFile

_REMEMBERED = "raw/_sha256.json"


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
    with file.open() as stream:
        return stream_digest(stream)


def _key(file: RawFile) -> str:
    return f"{file.uri} {file.size} {file.modified}"
