"""A server on this machine that behaves as badly as a test wants it to."""

import gzip
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = gzip.compress(b"".join(b'{"line": %d}\n' % number for number in range(60_000)), mtime=0)


class Server:
    """Serves CONTENT; `faults` are used up by the requests, one each: after them it behaves."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.is_slow: set[str] = set()  # Paths whose files come in twenty seconds.
        self.requests: list[tuple[str, str | None]] = []  # Path and Range header.
        self.content = CONTENT
        self.etag = '"one"'
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _handler(server) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):  # noqa: N802
                wanted = self.headers.get("Range")
                server.requests.append((self.path, wanted))
                if self.path in server.is_slow:
                    return self.send_slowly()
                fault = server.faults.pop(0) if server.faults else ""
                if fault.isdigit():
                    self.send_response(int(fault))
                    self.send_header("Retry-After", "1" if fault == "429" else "0")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                body, start, ignores = server.content, 0, fault == "ignore range"
                if wanted and not ignores and self.headers.get("If-Range") in (None, server.etag):
                    start = int(wanted.removeprefix("bytes=").rstrip("-"))
                if fault == "other bytes":
                    body = bytes(len(body))
                if start >= len(body):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(body)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(206 if start else 200)
                self.send_header("ETag", server.etag)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
                if fault != "no length":
                    self.send_header("Content-Length", str(len(body) - start))
                self.end_headers()
                end = (start + len(body)) // 2 if fault in ("drop", "short") else len(body)
                self.wfile.write(body[start:end])
                self.close_connection = True

            def send_slowly(self):
                self.send_response(200)
                self.send_header("Content-Length", str(200 << 20))
                self.end_headers()
                with suppress(ConnectionError):  # Whoever has enough of it hangs up.
                    for _ in range(200):
                        self.wfile.write(bytes(1 << 20))
                        time.sleep(0.1)

        return Handler
