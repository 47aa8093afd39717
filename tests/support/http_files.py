"""A web server on loopback with index pages, ranges and ETags, which can be made to fail."""

from __future__ import annotations

import hashlib
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class HttpFiles:
    """Files below `/data/`. The first `failures` requests for a file have the status `failure`.

    `body` is the body of failures. With `ranges` off, the server returns whole files.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.failures = 0
        self.failure = 503
        self.body = b""
        self.ranges = True
        self.etags = True
        self.address = ""
        self.requests: list[str] = []

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a GET or HEAD request."""
        name = request.path.removeprefix("/data").strip("/")
        self.requests.append(f"{request.command} {name} {request.headers.get('Range', '')}".strip())
        if self.failures:
            self.failures -= 1
            self._send(request, self.failure, self.body, {"Content-Type": "application/xml"})
        elif name in self.files:
            self._file(request, self.files[name])
        elif any(not name or one.startswith(f"{name}/") for one in self.files):
            prefix = f"{name}/" if name else ""
            inside = {re.sub("/.*", "/", one.removeprefix(prefix)) for one in self.files if one.startswith(prefix)}
            links = "".join(f'<a href="{one}">{one}</a>' for one in sorted(inside))
            self._send(request, 200, f'<a href="?C=N">sort</a>{links}'.encode(), {"Content-Type": "text/html"})
        else:
            self._send(request, 404, b"", {})

    def _file(self, request: BaseHTTPRequestHandler, data: bytes) -> None:
        etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        headers = {"ETag": etag} if self.etags else {"Last-Modified": "Mon, 30 Nov 2026 10:00:00 GMT"}
        wanted = request.headers.get("If-Match")
        if wanted not in (None, etag):
            self._send(request, 412, b"", headers)
            return
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
        if match is None or not self.ranges:
            self._send(request, 200, data, headers)
        elif int(match[1]) >= len(data):
            self._send(request, 416, b"", headers)
        else:
            self._send(request, 206, data[int(match[1]) : int(match[2]) + 1], headers)

    @staticmethod
    def _send(request: BaseHTTPRequestHandler, status: int, data: bytes, headers: dict[str, str]) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(data)


@contextmanager
def http_files(certificate: tuple[Path, Path] | None = None) -> Iterator[HttpFiles]:
    """Start a server for the files, with TLS if there is a certificate and its key; `address` is their URL."""
    served = HttpFiles()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.answer(self)

        do_HEAD = do_GET  # noqa: N815  # the name that the base class calls

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    served.address = f"http{'' if certificate is None else 's'}://127.0.0.1:{server.server_address[1]}/data"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
