"""HTTP server of the notification log."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from stack.http_server import serve as serve_http
from stack.notification_file import NotificationFile
from stack.webhook import Notification, printable, readable, record, summary
from starlight_exporter.errors import StorageError
from starlight_exporter.listen_address import format_address
from starlight_exporter.web.request_checks import RequestChecks
from starlight_exporter.web.site import make_site

MAX_BODY_BYTES = 4 * 1024 * 1024
_SHOWN_ERRORS = 3


def notification_app(
    file: NotificationFile,
    *,
    describe: Callable[[Notification, datetime], Iterable[str]],
    report: Callable[[str], None],
    complain: Callable[[str], None],
    max_body_bytes: int = MAX_BODY_BYTES,
) -> ASGIApp:
    """Return the receiver: `POST /notifications` and `GET /-/healthy`.

    `report` receives the lines that `describe` returns for a stored notification, `complain` one line per rejected
    request.
    """

    def refuse(status: int, reason: str) -> Response:
        complain(printable(f"notification refused with {status}: {reason}"))
        return PlainTextResponse(f"{reason}\n", status)

    async def receive(request: Request) -> Response:
        # Browsers send cross-origin text/plain without a preflight request, but not JSON.
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return refuse(415, "the content type must be application/json")
        body = bytearray()
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_body_bytes:
                    return refuse(413, f"the body is larger than {max_body_bytes} bytes")
        except ClientDisconnect:
            return refuse(400, "the body ended too early")
        received_at = datetime.now(UTC)
        try:
            notification = Notification.model_validate_json(bytes(body))
        except ValidationError as error:
            return refuse(400, f"not a webhook notification of Alertmanager: {_explain(error)}")
        try:
            await run_in_threadpool(file.append, record(notification, received_at=received_at))
        except StorageError as error:
            # Alertmanager retries after a 5xx.
            return refuse(503, str(error))
        for line in describe(notification, received_at):
            report(line)
        return PlainTextResponse("OK\n")

    async def healthy(_request: Request) -> Response:
        return PlainTextResponse("OK\n")

    routes = [Route("/notifications", receive, methods=["POST"]), Route("/-/healthy", healthy, methods=["GET"])]
    # In containers, Alertmanager calls it by this name.
    return RequestChecks(Starlette(routes=routes), site=make_site(None, None, frozenset({"notifications"})))


def _explain(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    shown = [
        f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}" if problem["loc"] else problem["msg"]
        for problem in problems[:_SHOWN_ERRORS]
    ]
    if len(problems) > _SHOWN_ERRORS:
        shown.append(f"and {len(problems) - _SHOWN_ERRORS} more")
    return "; ".join(shown)


def serve(host: str, port: int, output: Path) -> None:
    """Receive notifications until SIGTERM or SIGINT; active requests get 2 s to finish.

    Raises ConfigError if the address cannot be bound and StorageError if `output` is not writable.
    """
    file = NotificationFile(output)
    file.check()
    # A log that is kept would hold a second copy of each alert.
    lines = readable if sys.stdout.isatty() else summary

    def describe(notification: Notification, received_at: datetime) -> Iterable[str]:
        return lines(notification, received_at=received_at)

    app = notification_app(file, describe=describe, report=_print, complain=lambda line: _print(line, error=True))

    def started(address: tuple[str, int]) -> None:
        _print(f"notifications to http://{format_address(*address)}/notifications are stored in {output}")

    serve_http(app, host, port, started=started)


def _print(line: str, *, error: bool = False) -> None:
    stream = sys.stderr if error else sys.stdout
    try:
        # The terminal's encoding may not cover all characters of a label.
        encoding = stream.encoding or "ascii"
        print(line.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
    except OSError:
        # The output pipe is closed. Notifications are in the file; discard further output, so that flushing at exit
        # does not fail.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
