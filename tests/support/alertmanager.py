"""A real Alertmanager and its receivers: notification log and mail sink."""

from __future__ import annotations

import email
import email.policy
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from support.servers import Server, free_port, program
from support.waiting import TIMEOUT, wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
ALERTING = REPOSITORY / "alerting"


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
