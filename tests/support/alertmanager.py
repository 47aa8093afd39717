"""A real Alertmanager and its receivers: notification log, mail sink, HTTP sink."""

from __future__ import annotations

import email
import email.policy
import json
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import yaml
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from support.servers import Server, free_port, program
from support.waiting import TIMEOUT, wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
ALERTING = REPOSITORY / "alerting"
DEFAULT_NOTIFICATION_URL = "http://127.0.0.1:9876/notifications"


def derived_config(
    source: Path,
    target: Path,
    *,
    replace: Mapping[str, str],
    group_wait: str = "500ms",
    group_interval: str = "1s",
    change: Callable[[dict[str, Any]], None] = lambda _config: None,
) -> Path:
    """Copy a shipped configuration with shorter group intervals and other addresses.

    `replace` maps complete values; raise AssertionError if one does not occur. `change` may modify the rest.
    """
    config = yaml.safe_load(source.read_text())
    config["templates"] = [str((source.parent / glob).resolve()) for glob in config["templates"]]
    for route in (config["route"], *config["route"]["routes"]):
        route["group_wait"] = group_wait
        route["group_interval"] = group_interval
    used: set[str] = set()

    def replaced(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: replaced(value) for key, value in node.items()}
        if isinstance(node, list):
            return [replaced(value) for value in node]
        if isinstance(node, str) and node in replace:
            used.add(node)
            return replace[node]
        return node

    config = replaced(config)
    assert used == set(replace), f"not in {source.name}: {set(replace) - used}"
    change(config)
    target.write_text(yaml.safe_dump(config, sort_keys=False))
    return target


class Alertmanager(Server):
    """An Alertmanager on a free loopback port, without clustering. Ready on return."""

    def __init__(
        self, config: Path, data: Path, *, log: Path, flags: Sequence[str] = (), port: int | None = None
    ) -> None:
        port = port or free_port()
        command = [
            program("prometheus-alertmanager"),
            f"--config.file={config}",
            f"--storage.path={data}",
            f"--web.listen-address=127.0.0.1:{port}",
            f"--web.external-url=http://127.0.0.1:{port}",
            "--cluster.listen-address=",
            *flags,
        ]
        super().__init__(command, port=port, ready_path="/-/ready", log=log)
        self.wait_ready()

    def post(self, *alerts: Mapping[str, Any]) -> None:
        """Send alerts in one request, as Prometheus does."""
        answer = httpx.post(f"{self.url}/api/v2/alerts", json=list(alerts), timeout=10.0)
        assert answer.status_code == 200, answer.text

    def inhibited(self) -> set[tuple[str, str]]:
        """Return (alertname, severity) of the inhibited alerts."""
        answer = httpx.get(f"{self.url}/api/v2/alerts", timeout=10.0)
        return {
            (alert["labels"]["alertname"], alert["labels"]["severity"])
            for alert in answer.json()
            if alert["status"]["inhibitedBy"]
        }


def alert(
    name: str,
    severity: str,
    *,
    ends: datetime | None = None,
    annotations: Mapping[str, str] | None = None,
    **labels: str,
) -> dict[str, Any]:
    """Return an alert for API v2, as sent by the rules of this project. With `ends` in the past, it is resolved."""
    now = datetime.now(UTC)
    all_labels = {"alertname": name, "severity": severity, "job": "starlight-exporter", "instance": "127.0.0.1:9877"}
    return {
        "labels": all_labels | labels,
        "annotations": {
            "summary": f"{name} is a fixed sentence.",
            "description": f"{name} measured 41.25% of 400.",
            "runbook_url": f"http://127.0.0.1:9877/runbooks/{name}.md",
            "evidence_url": "http://127.0.0.1:9877/evaluations/latest?model=production&dataset=reference",
        }
        | dict(annotations or {}),
        "startsAt": (now - timedelta(minutes=2)).isoformat(),
        "endsAt": (ends or now + timedelta(minutes=10)).isoformat(),
        "generatorURL": "http://127.0.0.1:9090/graph?g0.expr=1&g0.tab=1",
    }


def resolved(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return the alert as resolved now."""
    return {**sent, "endsAt": datetime.now(UTC).isoformat()}


class NotificationLog(Server):
    """scripts/notification_log.py as a separate process. Ready on return."""

    def __init__(self, output: Path, *, log: Path, port: int | None = None) -> None:
        port = port or free_port()
        script = REPOSITORY / "scripts" / "notification_log.py"
        command = [sys.executable, str(script), f"--web.listen-address=127.0.0.1:{port}", f"--output={output}"]
        super().__init__(command, port=port, ready_path="/-/healthy", log=log)
        self.output = output
        self.wait_ready()

    @property
    def notification_url(self) -> str:
        """The URL for webhook receivers."""
        return f"{self.url}/notifications"

    def notifications(self) -> list[dict[str, Any]]:
        """Return all received notifications, oldest first."""
        return [json.loads(line) for line in self.output.read_text().splitlines()] if self.output.exists() else []

    def wait_for(self, *, status: str, alertname: str, timeout: float = TIMEOUT) -> dict[str, Any]:
        """Return the first notification with an alert of this name and status."""

        def look() -> dict[str, Any] | None:
            for notification in self.notifications():
                if any(
                    entry["status"] == status and entry["labels"]["alertname"] == alertname
                    for entry in notification["alerts"]
                ):
                    return notification
            return None

        return wait_until(look, f"{status} {alertname} at the notification log", timeout=timeout)


class MailSink:
    """An SMTP server on loopback that stores mails. With a password, it requires AUTH PLAIN."""

    def __init__(self, *, user: str | None = None, password: str | None = None) -> None:
        self.messages: list[EmailMessage] = []
        self.port = free_port()
        self.smarthost = f"127.0.0.1:{self.port}"
        expected = (user, password)

        def authenticate(_server: SMTP, _session: Session, _envelope: Envelope, _how: str, login: Any) -> AuthResult:
            given = (login.login.decode(), login.password.decode()) if isinstance(login, LoginPassword) else None
            return AuthResult(success=given == expected, handled=False)

        authentication: dict[str, Any] = {}
        if user is not None:
            authentication = {
                "authenticator": authenticate,
                "auth_required": True,
                "auth_require_tls": False,
                # Alertmanager uses the first mechanism that it supports, and its LOGIN is incompatible with aiosmtpd.
                "auth_exclude_mechanism": ["LOGIN"],
            }
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, **authentication)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Store a mail. Called by aiosmtpd."""
        content = envelope.content
        assert isinstance(content, bytes)
        message = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        return "250 OK"

    def wait_for(self, subject_part: str, *, timeout: float = TIMEOUT) -> EmailMessage:
        """Return the first mail whose subject contains this text."""
        return wait_until(
            lambda: next((mail for mail in tuple(self.messages) if subject_part in mail["subject"]), None),
            lambda: f"mail with {subject_part!r} in its subject: {[mail['subject'] for mail in self.messages]}",
            timeout=timeout,
        )

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._controller.stop()


class HttpSink:
    """An HTTP server on loopback that responds to every POST with `ok` and stores headers and JSON body."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                headers = {name.lower(): value for name, value in self.headers.items()}
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")
                sink.requests.append((self.path, headers, body))

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def wait_for(self, count: int, *, timeout: float = TIMEOUT) -> list[tuple[str, dict[str, str], Any]]:
        """Return all requests as soon as there are at least `count`."""
        return wait_until(
            lambda: list(self.requests) if len(self.requests) >= count else None, f"{count} requests", timeout=timeout
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
