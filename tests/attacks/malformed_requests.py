"""Requests of other sites and seeded malformed requests: refused or answered, never with an internal error."""

from __future__ import annotations

import random
import re
import socket
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx

from attacks.outcome import Outcome, Requirement, none_of
from support.exporter import Exporter, write_config

SEED: Final = 16
_METHODS: Final = (*b"GET GET GET HEAD POST PUT DELETE TRACE OPTIONS CONNECT get".split(), b"\x16\x03")
_PATHS: Final = (
    *("/", "/metrics", "/-/healthy", "/-/ready", "/-/reload", "/evaluations", "/training", "/static/", "/runbooks/"),
    *("/evaluations/latest", "/evaluations/{id}", "/evaluations/{id}.json", "/evaluations/{id}/misclassified"),
    *("/evaluations/{id}/images", "/evaluations/{id}/images/0", "/evaluations/{id}/images/0/pixel.png"),
    *("/evaluations/{id}/images/0/thumbnail.png", "/evaluations/{id}/comparison", "/evaluations/{id}/predictions.csv"),
    *("/api/v1/evaluations", "/status.json", "/status.csv"),
)
_PARAMETERS: Final = (
    *("model", "dataset", "prevalence", "page", "class", "method", "category", "format", "direction", "against"),
    *("shown", "table", "name[]"),
)
_VALUES: Final = (
    *("", "0", "-1", "1e999", "nan", "9" * 5000, "%00", "%0a%0d", "%ff%fe", "%ed%a0%80", "../../../etc/passwd"),
    *("%", "%zz", "production", "small", "clean", "lsb", "png", "wrong", "' OR 1=1 --", "é", "%2e%2f", "[", "{}", "*"),
)
_HEADERS: Final = (
    *(b"Accept: application/openmetrics-text;version=abc", b"Accept: text/html;q=x,*/*;q=-1"),
    *(b"Accept: " + b"a/b," * 3000, b"Accept-Encoding: gzip;q=nan", b"Range: bytes=5-1", b"Content-Length: -1"),
    *(b"Content-Length: 5\r\nContent-Length: 6", b"Content-Length: 99999999999999999999", b"Upgrade: h2c"),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked, gzip", b"Expect: 100-continue", b"Cookie: \x00"),
    *(b"Content-Length: 4\r\nTransfer-Encoding: chunked", b"Connection: close, upgrade", b"If-None-Match: *"),
    *(b"Authorization: Basic " + b"A" * 9000, b"X: " + b"x" * 70_000, b" folded: x", b"No colon", b"Forwarded: for=_x"),
    *(b"Authorization: Basic \xff\xfe", b"Host: a\r\nHost: b", b"X-Forwarded-Host: attacker.example"),
    *(b"Accept: ;;;,,,=", b"Accept: \xff\xfe", b"Accept: text/csv", b"Accept-Encoding: gzip;q=0, \xe9", b"Range: x"),
    *(
        b"Range: bytes=" + b"0-1," * 500,
        b"If-Range: x",
        b"If-Modified-Since: yesterday",
        b"TE: trailers",
        b"Trailer: x",
    ),
    *(b"Upgrade: websocket\r\nConnection: upgrade", b"X-Forwarded-Prefix: /a", b"Content-Type: \x80", b"Expect: x"),
)
_BODIES: Final = (b"", b"", b"abcd", b"5\r\nabcde\r\n0\r\n\r\n", b"\xff" * 999)
_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3})")


def attack(folder: Path, requests: int) -> Outcome:
    """Send requests with foreign Host and Origin, then this number of malformed ones."""
    with Exporter(write_config(folder, latency={"sample": 0})) as exporter:
        exporter.wait_for_value(1, "evaluations_total", model="production", outcome="success")
        foreign = _foreign(exporter)
        identifier = httpx.get(f"{exporter.url}/evaluations.json", timeout=10.0).json()["evaluations"][0]["id"]
        rng = random.Random(SEED)
        statuses: Counter[str] = Counter()
        errors = []
        for _ in range(requests):
            request = _request(rng, identifier)
            status = _send(exporter.port, request)
            statuses[status] += 1
            if status.startswith("5") and status != "503":
                errors.append(repr(request[:100]))
        healthy = httpx.get(f"{exporter.url}/-/healthy", timeout=10.0).status_code
        tracebacks = exporter.log.read_text(errors="replace").count("Traceback")
        code = exporter.stop()
    shown = ", ".join(f"{status} {count}" for status, count in sorted(statuses.items()))
    return Outcome(
        "Malformed and foreign requests",
        f"{requests:,} malformed, {len(foreign)} foreign",
        (
            *(Requirement(name, str(status), status in (400, 403, 421)) for name, status in foreign.items()),
            none_of("responses with status 500 or above, except 503", errors),
            Requirement(
                "a response or the end of the connection within 20 s",
                str(statuses["no response"]),
                not statuses["no response"],
            ),
            Requirement("no traceback in the log", str(tracebacks), tracebacks == 0),
            Requirement("healthy at the end, exit code 0", f"{healthy}, {code}", (healthy, code) == (200, 0)),
        ),
        f"responses: {shown}",
    )


def _foreign(exporter: Exporter) -> dict[str, int]:
    """Return the status of requests that a page of another site could cause."""
    post = f"{exporter.url}/api/v1/evaluations"
    return {
        "foreign Host refused": httpx.get(exporter.url, headers={"Host": "attacker.example"}).status_code,
        "foreign Host refused for /metrics": httpx.get(
            f"{exporter.url}/metrics", headers={"Host": "attacker.example:9877"}
        ).status_code,
        "POST with a foreign Origin refused": httpx.post(
            post, headers={"Origin": "http://attacker.example"}
        ).status_code,
        "POST with Origin null refused": httpx.post(post, headers={"Origin": "null"}).status_code,
        "POST from another site refused": httpx.post(post, headers={"Sec-Fetch-Site": "cross-site"}).status_code,
    }


def _request(rng: random.Random, identifier: str) -> bytes:
    path = rng.choice(_PATHS).replace("{id}", rng.choice((identifier, identifier, "..", "%00", "x" * 3000, "%2e%2e")))
    for _ in range(rng.choice((0, 0, 1, 1, 3, 300))):
        path += f"{'&' if '?' in path else '?'}{rng.choice(_PARAMETERS)}={rng.choice(_VALUES)}"
    if rng.random() < 0.1:
        path = rng.choice(("//", "http://attacker.example", "*", "/%2f", "\\", "")) + path
    version = rng.choice((b"HTTP/1.1",) * 20 + (b"HTTP/1.0", b"HTTP/9.9", b""))
    head = [b" ".join((rng.choice(_METHODS), path.encode(), version)), b"Host: 127.0.0.1"]
    if rng.random() < 0.1:
        head.pop()
    head += [rng.choice(_HEADERS) for _ in range(rng.choice((0, 0, 1, 2)))]
    data = bytearray(b"\r\n".join(head) + b"\r\n\r\n" + rng.choice(_BODIES))
    if rng.random() < 0.2:
        for _ in range(rng.randrange(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data[: rng.randrange(len(data))] if rng.random() < 0.1 else data)


def _send(port: int, request: bytes) -> str:
    """Send bytes and the end of the connection; return the status of the first response, or how it ended."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=20.0) as connection:
        with suppress(OSError):
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
        received = b""
        with suppress(ConnectionError):
            while len(received) < 20 and (part := connection.recv(4096)):
                received += part
        found = _STATUS.match(received)
        return found[1].decode() if found else "closed"
    return "no response"
