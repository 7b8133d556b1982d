"""Public files to the local disk, over connections that break.

A file appears under its name only when it is complete. Until then its bytes are in `.<name>.part`, where the next
attempt resumes, in this process or a later one.
"""

import errno
import json
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, BinaryIO

import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from seqrec.core.errors import DataError, StorageError, reason_of
from seqrec.core.manifest import Attempt
from seqrec.core.secrets import redact
from seqrec.core.storage import explain, scratch_folder
from seqrec.ingestion.config import DownloadConfig
from seqrec.ingestion.download.public_files import PublicFile
from seqrec.ingestion.files.archives import BrokenArchiveError, Compression, read_chunks
from seqrec.ingestion.files.raw_files import RawFile

_LOG = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20
_BUSY = (408, 429, 500, 502, 503, 504)
_NO_APPENDING = (errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM)  # Errors of mounts that forbid appending.
_LONGEST_WAIT = 60.0  # Seconds.


def download_into(attempt: Attempt, files: Sequence[PublicFile], config: DownloadConfig) -> list[str]:
    """Fetches `files` into the folder of `attempt`; their addresses, in the order of `files`."""
    storage = attempt.storage
    folder = storage.local(attempt.path)
    with scratch_folder() as scratch:
        paths = download_files(files, folder or scratch, config)
        if folder is None:
            for path in paths:
                storage.upload(path, f"{attempt.path}/{path.name}")
    return [storage.uri(f"{attempt.path}/{path.name}") for path in paths]


def download_files(files: Sequence[PublicFile], folder: Path, config: DownloadConfig) -> list[Path]:
    """Fetches `files` into `folder`, several at once, unless they are there already.

    Raises:
        DataError: no mirror has a file, or it is broken there. Bytes that have come are kept for the next run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bar = tqdm(total=0, unit="B", unit_scale=True, desc=f"download {len(files)} files", disable=None)
    stop = threading.Event()
    with bar, ThreadPoolExecutor(config.num_parallel) as pool:
        tasks = [pool.submit(_Download(file.urls, folder / file.name, config, bar, stop).run) for file in files]
        try:
            for task in as_completed(tasks):
                task.result()
        except BaseException:  # After an interrupt too, nobody waits for the other files to be complete.
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [task.result() for task in tasks]


class _TryAgainError(Exception):
    """The attempt failed, but another one may succeed, after `wait` seconds at the earliest."""

    def __init__(self, reason: str, wait: float = 0.0):
        super().__init__(reason)
        self.wait = wait


class _StoppedError(Exception):
    """Another file has failed."""


class _Download:
    """One file. `run` makes attempts until the file is complete; each resumes where the one before ended."""

    def __init__(self, urls: Sequence[str], target: Path, config: DownloadConfig, bar: Any, stop: threading.Event):
        self._urls = urls
        self._target = target
        self._part = target.with_name(f".{target.name}.part")
        self._state = target.with_name(f".{target.name}.part.json")
        self._config = config
        self._bar = bar
        self._stop = stop  # Set when this file is no longer wanted.
        self._size: int | None = None  # Bytes of the complete file, once a server has reported them.
        self._shown = 0  # Bytes of this file that the progress bar counts.
        self._was_broken = False
        self._is_counted = False  # The total of the bar includes this file.

    def run(self) -> Path:
        if self._target.exists():
            return self._target
        mirror, failures = self._first_mirror(), 0
        while True:
            url = self._urls[mirror]
            before, before_from_it = self._have(), self._have_from(url)
            try:
                self._attempt(url)
                return self._target
            except _TryAgainError as error:
                reason, wait = reason_of(error)[:200], error.wait
            failures = 1 if self._have() > before else failures + 1
            if failures >= self._config.max_attempts:
                raise DataError(
                    f"{url}: failed {failures} times without getting further ({reason}). "
                    f"{self._have():,} bytes are kept; run the same command again to resume."
                )
            _LOG.info("%s: %s; trying again", url, reason)
            wait = max(wait, self._config.first_wait_seconds * 2 ** (failures - 1))
            self._stop.wait(min(_LONGEST_WAIT, wait))
            self._check_wanted()
            # With another mirror the file starts anew, so one that has sent bytes gets more than one failure.
            is_patient = before_from_it > 0 and failures <= self._config.max_attempts // 2
            if self._have_from(url) <= before_from_it and not is_patient:
                mirror = (mirror + 1) % len(self._urls)

    def _attempt(self, url: str) -> None:
        try:
            with requests.Session() as session:
                self._fetch(session, url)
            self._check_archive(url)
            self._part.replace(self._target)
            self._state.unlink(missing_ok=True)
        except (requests.RequestException, HTTPError) as error:
            raise _TryAgainError(reason_of(error)[:200]) from None
        except OSError as error:
            raise StorageError(f"{self._target}: cannot write: {explain(error)}") from None

    def _fetch(self, session: requests.Session, url: str) -> None:
        """Appends what is missing to the part file."""
        have = self._have()
        # "identity" keeps a .gz from being unpacked on the way. If-Range never continues a file that has changed.
        headers = {"Accept-Encoding": "identity"}
        validator = self._validator(url)
        if have and validator:
            headers |= {"Range": f"bytes={have}-", "If-Range": validator}
        with session.get(url, headers=headers, stream=True, timeout=self._config.timeout_seconds) as response:
            if response.status_code == 416:  # No bytes follow ours: the file is complete, or another one by now.
                self._size = _total(response)
                if self._size != have:
                    self._start_over()
                    raise _TryAgainError("the server has another file now")
                return
            if response.status_code not in (200, 206):
                answer = f"{url}: the server answers {response.status_code} {response.reason}. Check the address."
                if response.status_code in _BUSY or len(self._urls) > 1:
                    raise _TryAgainError(answer, Retry().get_retry_after(response.raw) or 0.0)
                raise DataError(answer)
            if response.status_code == 206 and _first_byte(response) != have:
                raise _TryAgainError("the server sends another range than was asked for")
            if response.status_code == 200:
                self._start_over()
            self._size = _total(response)
            self._remember(url, response)
            self._receive(response)
        if self._size is not None and self._have() != self._size:
            if self._have() > self._size:
                self._start_over()
            raise _TryAgainError(f"{self._have():,} of {self._size:,} bytes came")

    def _receive(self, response: requests.Response) -> None:
        self._show(self._have())
        with self._open_part() as part:
            for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=False):
                part.write(chunk)
                self._show(self._shown + len(chunk))
                self._check_wanted()

    def _open_part(self) -> BinaryIO:
        """Opens the part file to append to it; starts over if the storage forbids appending."""
        if not self._have():
            return self._part.open("wb")
        try:
            return self._part.open("ab")
        except OSError as error:
            if error.errno not in _NO_APPENDING:
                raise
            self._start_over()
            raise _TryAgainError("this storage forbids appending, so the file is fetched from its start") from None

    def _check_archive(self, url: str) -> None:
        """Reads a .gz to its end: a server may send a wrong file of the right size."""
        if not self._target.name.endswith(".gz"):
            return
        file = RawFile(f"file://{self._part}", self._have(), self._part.stat().st_mtime)
        try:
            for _ in read_chunks(file, Compression.GZIP):
                self._check_wanted()
        except BrokenArchiveError:
            self._start_over()
            if self._was_broken:
                raise DataError(
                    f"{url}: downloaded in full twice, but is not a valid .gz. Report it to the server's owner."
                ) from None
            self._was_broken = True
            raise _TryAgainError("the archive is damaged") from None

    def _check_wanted(self) -> None:
        if self._stop.is_set():
            raise _StoppedError

    def _first_mirror(self) -> int:
        """Number of the mirror that an earlier run has fetched from, else 0."""
        return next((number for number, url in enumerate(self._urls) if self._have_from(url)), 0)

    def _have_from(self, url: str) -> int:
        """Number of bytes that have come from this mirror; no other mirror can continue them."""
        return self._have() if self._remembered().get("url") == redact(url) else 0

    def _have(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _start_over(self) -> None:
        self._part.write_bytes(b"")
        self._show(0)

    def _remember(self, url: str, response: requests.Response) -> None:
        etag = response.headers.get("ETag", "")
        strong = etag if not etag.startswith("W/") else ""  # A weak tag does not promise equal bytes.
        validator = strong or response.headers.get("Last-Modified", "")
        self._state.write_text(json.dumps({"url": redact(url), "validator": validator}))

    def _remembered(self) -> dict[str, str]:
        return json.loads(self._state.read_text()) if self._state.exists() else {}

    def _validator(self, url: str) -> str | None:
        state = self._remembered()
        return state["validator"] if state.get("url") == redact(url) else None

    def _show(self, position: int) -> None:
        if self._size is not None and not self._is_counted:
            self._is_counted = True
            self._bar.total += self._size
        self._bar.update(position - self._shown)
        self._shown = position


def _total(response: requests.Response) -> int | None:
    """Bytes of the complete file; None if the server does not report them."""
    whole = response.headers.get("Content-Range", "").rpartition("/")[2]
    if whole.isdigit():
        return int(whole)
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() and response.status_code == 200 else None


def _first_byte(response: requests.Response) -> int:
    return int(response.headers.get("Content-Range", "bytes -1-").removeprefix("bytes ").partition("-")[0] or -1)
