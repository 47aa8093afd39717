"""A proxy in front of Alertmanager that rejects requests of other sites.

Alertmanager answers every web page (CORS with `*`) and every host name, so that a page could silence alerts. The proxy
checks Host and Origin as the exporter does, removes the CORS headers, and adds the password of Alertmanager.
"""

from __future__ import annotations

import argparse
import http.client
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from stack.http_server import serve
from starlight_exporter.cli.command import exit_code
from starlight_exporter.errors import ConfigError
from starlight_exporter.exit_codes import OK
from starlight_exporter.http_client import HttpClient
from starlight_exporter.http_client_config import Endpoint
from starlight_exporter.listen_address import format_address, parse_listen_address
from starlight_exporter.web.request_checks import RequestChecks
from starlight_exporter.web.site import make_site

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
_TIMEOUT_SECONDS: Final = 30.0
_METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_FORWARDED: Final = ("accept", "content-type", "if-modified-since", "if-none-match", "user-agent")
_NOT_RETURNED: Final = frozenset(
    {"connection", "content-length", "date", "keep-alive", "transfer-encoding", "vary", "www-authenticate"}
)
_CORS: Final = "access-control-"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response of Alertmanager, without the headers that concern the connection or other sites."""

    status: int
    headers: dict[str, str]
    body: bytes


def main(words: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    return exit_code("alertmanager_gate", lambda: _run(_parser().parse_args(words)))


def gate_app(alertmanager: str, client: HttpClient) -> ASGIApp:
    """Return the proxy for the Alertmanager at a URL."""

    async def forward(request: Request) -> Response:
        body = bytearray()
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    return PlainTextResponse(f"the body is larger than {MAX_BODY_BYTES} bytes\n", 413)
        except ClientDisconnect:
            return PlainTextResponse("the body ended too early\n", 400)
        query = request.scope["query_string"]
        target = (request.scope["raw_path"] + (b"?" + query if query else b"")).decode("latin-1")
        headers = {name: request.headers[name] for name in _FORWARDED if name in request.headers}
        try:
            if client.authorization is not None:
                headers["Authorization"] = client.authorization()
            answer = await run_in_threadpool(_ask, alertmanager, request.method, target, headers, bytes(body))
        except (ConfigError, OSError, http.client.HTTPException) as error:
            return PlainTextResponse(f"Alertmanager is unavailable: {error}\n", 502)
        return Response(answer.body, answer.status, answer.headers | {"X-Frame-Options": "DENY"})

    return RequestChecks(
        Starlette(routes=[Route("/{path:path}", forward, methods=_METHODS)]), site=make_site(None, None, frozenset())
    )


def _ask(alertmanager: str, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
    parts = urlsplit(alertmanager)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request(method, target, body or None, headers)
        response = connection.getresponse()
        returned = {
            name: value
            for name, value in response.getheaders()
            if name.lower() not in _NOT_RETURNED and not name.lower().startswith(_CORS)
        }
        return Answer(response.status, returned, response.read())
    finally:
        connection.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="alertmanager_gate", description=__doc__)
    parser.add_argument("--web.listen-address", dest="listen_address", required=True, metavar="HOST:PORT")
    parser.add_argument("--alertmanager", required=True, metavar="URL")
    parser.add_argument("--alertmanager.config.file", dest="config_file", type=Path, metavar="FILE")
    return parser


def _run(options: argparse.Namespace) -> int:
    host, port = parse_listen_address(options.listen_address)
    client = Endpoint(options.alertmanager, options.config_file).client()
    parts = urlsplit(options.alertmanager)
    if parts.scheme != "http" or not parts.hostname or parts.path.strip("/") or client.tls is not None:
        raise ConfigError("--alertmanager: expected http://HOST:PORT, without a path and without tls_config")
    serve(
        gate_app(options.alertmanager, client),
        host,
        port,
        started=lambda address: print(f"{format_address(*address)} forwards to {options.alertmanager}", flush=True),
    )
    return OK


if __name__ == "__main__":
    raise SystemExit(main())
