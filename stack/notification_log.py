"""A webhook receiver that needs no account anywhere: Alertmanager's notifications as JSON lines and lines to read."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import uvicorn
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from starlight_exporter.errors import StorageError
from starlight_exporter.listen_address import format_address, listen

MAX_BODY_BYTES = 4 * 1024 * 1024
_SHOWN_LABELS = ("method", "format", "category", "class", "reason", "store", "section")
_SHOWN_ERRORS = 3


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        # Pydantic turns a ValueError into a message with the field's name; an OverflowError would escape it.
        raise ValueError("lies outside the years 1 to 9999 in UTC") from error


_UtcTime = Annotated[AwareDatetime, AfterValidator(_utc)]


class _Payload(BaseModel):
    # Unknown keys are ignored: newer Alertmanagers add some, and the version says whether the known ones still hold.
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)


class Alert(_Payload):
    """One alert of a notification; `ends_at` means something only once it is resolved."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: _UtcTime
    ends_at: _UtcTime
    generator_url: str = Field(default="", alias="generatorURL")
    fingerprint: str


class Notification(_Payload):
    """The body of Alertmanager's webhook, version "4".

    Source: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
    """

    version: Literal["4"]
    status: Literal["firing", "resolved"]
    receiver: str
    group_key: str
    group_labels: dict[str, str]
    common_labels: dict[str, str]
    common_annotations: dict[str, str]
    external_url: str = Field(default="", alias="externalURL")
    truncated_alerts: int = Field(default=0, ge=0)
    alerts: tuple[Alert, ...] = Field(min_length=1)


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def record(notification: Notification, *, received_at: datetime) -> str:
    """The notification as one line of JSON with a line feed; times are UTC, `ends_at` is null while an alert fires."""
    line = {
        "received_at": _instant(received_at),
        "status": notification.status,
        "receiver": notification.receiver,
        "group_key": notification.group_key,
        "group_labels": notification.group_labels,
        "common_labels": notification.common_labels,
        "common_annotations": notification.common_annotations,
        "external_url": notification.external_url,
        "truncated_alerts": notification.truncated_alerts,
        "alerts": [
            {
                "status": alert.status,
                "labels": alert.labels,
                "annotations": alert.annotations,
                "starts_at": _instant(alert.starts_at),
                "ends_at": _instant(alert.ends_at) if alert.status == "resolved" else None,
                "generator_url": alert.generator_url,
                "fingerprint": alert.fingerprint,
            }
            for alert in notification.alerts
        ],
    }
    # ASCII only: a reader that also splits lines at U+2028 or U+0085 sees one line as well.
    return json.dumps(line) + "\n"


def readable(notification: Notification, *, received_at: datetime) -> tuple[str, ...]:
    """One line per alert for a terminal: when, state, severity, name, where, what, since when."""
    return tuple(_readable_alert(alert, received_at) for alert in notification.alerts)


def _readable_alert(alert: Alert, received_at: datetime) -> str:
    labels = alert.labels
    where = "/".join(labels[key] for key in ("model", "dataset") if labels.get(key))
    where = " ".join([where, *(labels[key] for key in _SHOWN_LABELS if labels.get(key))]).strip()
    what = alert.annotations.get("description") or alert.annotations.get("summary") or "(no description)"
    if alert.status == "resolved":
        times = f"{alert.starts_at:%Y-%m-%d %H:%M:%S} to {alert.ends_at:%H:%M:%S} UTC"
    else:
        times = f"since {alert.starts_at:%Y-%m-%d %H:%M:%S} UTC"
    line = (
        f"{received_at:%H:%M:%S} {alert.status.upper()} {labels.get('severity', 'no severity')} "
        f"{labels.get('alertname', '(no name)')}{f' [{where}]' if where else ''}: {what} ({times})"
    )
    return _printable(line)


def _printable(line: str) -> str:
    """Other people's text is in it: no line feed and no escape sequence may reach the terminal."""
    return " ".join("".join(character if character.isprintable() else " " for character in line).split())


class NotificationFile:
    """Appends lines to a file so that each is on disk, whole, before `append` returns; safe between threads.

    The file is opened for each line, so it may be moved away (rotated) at any time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def check(self) -> None:
        """Create the folder and the file where missing; raises StorageError where lines could not be appended."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.close(self._open())
        except OSError as error:
            raise self._storage_error(error) from error

    def append(self, line: str) -> None:
        """Append one line that ends in a line feed; raises StorageError, and then the file holds no part of it."""
        try:
            with self._lock:
                self._append(line.encode())
        except OSError as error:
            raise self._storage_error(error) from error

    def _open(self) -> int:
        return os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def _append(self, data: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = self._open()
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                # A crash in mid-write left a torn line; what comes next must not be glued to it.
                data = b"\n" + data
            try:
                while data:
                    data = data[os.write(descriptor, data) :]
                os.fsync(descriptor)
            except OSError:
                # Alertmanager sends it again; without the cut that would follow half a line. Where even the cut fails,
                # the next append begins a new line.
                with suppress(OSError):
                    os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)

    def _storage_error(self, error: OSError) -> StorageError:
        return StorageError(f"{self.path}: cannot write: {error.strerror or error}")


def notification_app(
    file: NotificationFile,
    *,
    report: Callable[[str], None],
    complain: Callable[[str], None],
    max_body_bytes: int = MAX_BODY_BYTES,
) -> Starlette:
    """The receiver: `POST /notifications` and `GET /-/healthy`.

    `report` gets a readable line per alert that was kept, `complain` one line per request that was not.
    """

    def refuse(status: int, reason: str) -> Response:
        complain(_printable(f"notification refused with {status}: {reason}"))
        return PlainTextResponse(f"{reason}\n", status)

    async def receive(request: Request) -> Response:
        # A web page can post text/plain to a loopback address without asking, but not JSON.
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
            # 5xx is what makes Alertmanager try again.
            return refuse(503, str(error))
        for line in readable(notification, received_at=received_at):
            report(line)
        return PlainTextResponse("OK\n")

    async def healthy(_request: Request) -> Response:
        return PlainTextResponse("OK\n")

    return Starlette(
        routes=[Route("/notifications", receive, methods=["POST"]), Route("/-/healthy", healthy, methods=["GET"])]
    )


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
    """Receive notifications until SIGTERM or SIGINT; requests under way get 2 s to finish.

    Raises ConfigError where the address cannot be listened on and StorageError where `output` cannot be written.
    """
    file = NotificationFile(output)
    file.check()
    bound = listen(host, port)
    app = notification_app(file, report=_say, complain=lambda line: _say(line, error=True))
    server = uvicorn.Server(
        uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", server_header=False, timeout_graceful_shutdown=2
        )
    )
    # Requests that outlive the grace period are ended; uvicorn logs that as an error with a traceback, which it is not.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    # Once drained, uvicorn raises the signal again to die of it; being asked to stop is not a failure here.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    url = f"http://{format_address(*bound.getsockname()[:2])}/notifications"
    _say(f"notifications to {url} are kept in {output}")
    with bound:
        server.run(sockets=[bound])


def _say(line: str, *, error: bool = False) -> None:
    stream = sys.stderr if error else sys.stdout
    try:
        # The terminal's encoding may know less than a label does.
        encoding = stream.encoding or "ascii"
        print(line.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
    except OSError:
        # The reader of the pipe went away. What matters is in the file; the rest goes nowhere, so that the line that is
        # still buffered does not fail once more at exit.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
