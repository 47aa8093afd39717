"""The shipped stack on free ports, with all intervals divided by SPEED, a notification log and a mail sink."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import ExitStack
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import yaml

from stack.configuration import write_alertmanager, write_prometheus
from stack.ports import Ports
from support.alertmanager import ALERTING, Alertmanager, MailSink, NotificationLog
from support.exporter import Exporter
from support.rules import ROOT, RULES
from support.servers import Prometheus, free_port

SPEED = 15
"""Shipped seconds per second of a test. The duration of an evaluation is not divided."""

GRAFANA_URL = "https://grafana.example/"
"""Alerts link to dashboards, which no server of the tests has."""

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = r"(\d+)(ms|s|m|h|d)\b"
_SLICE_LABELS = ("method", "format", "category", "class", "reason", "store", "section")


class AlertKey(NamedTuple):
    """Identity of an alert in notifications: name, severity and slice."""

    name: str
    severity: str
    slice: str = ""

    @classmethod
    def of(cls, labels: Mapping[str, str]) -> AlertKey:
        """Return the key for the labels of an alert."""
        values = [labels[label] for label in _SLICE_LABELS if labels.get(label)]
        return cls(labels["alertname"], labels["severity"], ", ".join(values))


def accelerate(text: str, before: str) -> str:
    """Divide every duration that follows `before` (a regular expression) in a configuration by SPEED."""

    def divided(match: re.Match[str]) -> str:
        return f"{match[1]}{int(match[2]) * _UNITS[match[3]] // SPEED}ms"

    found, count = re.subn(f"({before}){_DURATION}", divided, text, flags=re.MULTILINE)
    assert count, f"no duration after {before}"
    return found


def accelerated_rules(folder: Path) -> Path:
    """Write the shipped rules with divided ranges, `for` durations and intervals."""
    folder.mkdir()
    for file in RULES.glob("*.yml"):
        text = accelerate(file.read_text(), r"\[|^ +(?:for|interval): ")
        (folder / file.name).write_text(text)
    return folder


class AcceleratedStack:
    """Exporter, Prometheus, Alertmanager, notification log and mail sink with the shipped rules, routes and templates.

    `settings` is the configuration of the exporter. It is not accelerated.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.ports = Ports(*(free_port() for _ in range(4)))
        self._settings = dict(settings)
        self._servers = ExitStack()

    def __enter__(self) -> Self:
        """Start all processes. The exporter has no results yet."""
        with ExitStack() as servers:
            self.mails = servers.enter_context(MailSink())
            self.log = servers.enter_context(
                NotificationLog(
                    self.folder / "notifications.jsonl",
                    log=self.folder / "notification_log.log",
                    port=self.ports.notifications,
                )
            )
            servers.enter_context(
                Alertmanager(
                    self._alertmanager_config(),
                    self.folder / "alertmanager",
                    log=self.folder / "alertmanager.log",
                    port=self.ports.alertmanager,
                )
            )
            self.start_exporter()
            servers.callback(self._stop_exporter)
            self.prometheus = servers.enter_context(
                Prometheus(
                    self._prometheus_config(),
                    self.folder / "tsdb",
                    log=self.folder / "prometheus.log",
                    port=self.ports.prometheus,
                )
            )
            self._servers = servers.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._servers.close()

    def start_exporter(self) -> None:
        """Start or restart the exporter at the same address."""
        config = self.folder / "starlight.yml"
        config.write_text(yaml.safe_dump(self._settings))
        url = f"http://127.0.0.1:{self.ports.exporter}/"
        flags = ("--web.enable-lifecycle", f"--web.external-url={url}", f"--web.grafana-url={GRAFANA_URL}")
        self.exporter = Exporter(config, port=self.ports.exporter, flags=flags)

    def firing(self) -> set[AlertKey]:
        """Return all alerts that were notified as firing."""
        return self._logged("firing")

    def resolved(self) -> set[AlertKey]:
        """Return all alerts that were notified as resolved."""
        return self._logged("resolved")

    def mails_for(self, alert: AlertKey) -> list[EmailMessage]:
        """Return the mails that contain this alert, as an entry or as a line of an entry for its slice."""
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", alert.name.removeprefix("Starlight"))
        ending = f" ({alert.slice})" if alert.slice else ""

        def contains(entry: str) -> bool:
            heading, *lines = entry.splitlines()
            return heading == words + ending or (
                heading.endswith(ending) and any(line.startswith(f"- {words}: ") for line in lines)
            )

        state = alert.severity.upper()
        return [
            mail
            for mail in tuple(self.mails.messages)
            if mail["subject"].startswith((f"[{state}]", "[RESOLVED]"))
            and any(contains(entry) for entry in plain_text(mail).split("\n\n"))
        ]

    def fired(self) -> set[AlertKey]:
        """Return all alerts that fired in Prometheus since the start, including inhibited ones."""
        rows = self.prometheus.query('count_over_time(ALERTS{alertstate="firing"}[1h])')
        return {AlertKey.of(row["metric"]) for row in rows}

    def firing_now(self) -> set[AlertKey]:
        """Return the alerts that currently fire in Prometheus."""
        return {AlertKey.of(row["metric"]) for row in self.prometheus.query('ALERTS{alertstate="firing"}')}

    def _stop_exporter(self) -> None:
        self.exporter.stop()

    def _logged(self, status: str) -> set[AlertKey]:
        return {
            AlertKey.of(alert["labels"])
            for notification in self.log.notifications()
            for alert in notification["alerts"]
            if alert["status"] == status
        }

    def _prometheus_config(self) -> Path:
        file = write_prometheus(ROOT, self.folder / "run", self.ports)
        text = accelerate(file.read_text(), r"_interval: |_timeout: ")
        rules = accelerated_rules(self.folder / "rules")
        # The divided timeout would be too short on a busy machine.
        text = re.sub(r"scrape_timeout: .+", "scrape_timeout: 1s", text)
        return _write(file, text.replace("- rules/", f"- {rules}/"))

    def _alertmanager_config(self) -> Path:
        file = write_alertmanager(ROOT, self.folder / "run", self.ports)
        config = yaml.safe_load(accelerate(file.read_text(), r"group_(?:wait|interval): "))
        example = yaml.safe_load((ALERTING / "examples" / "alertmanager.mail-slack.yml").read_text())
        (mail,) = (one["email_configs"] for one in example["receivers"] if "email_configs" in one)
        config["global"] = {
            "smtp_from": example["global"]["smtp_from"],
            "smtp_smarthost": self.mails.smarthost,
            "smtp_require_tls": False,
        }
        for receiver in config["receivers"]:
            receiver["email_configs"] = mail
        return _write(file, yaml.safe_dump(config, sort_keys=False))


def plain_text(mail: EmailMessage) -> str:
    """Return the plain-text body of a mail."""
    body = mail.get_body(("plain",))
    assert body is not None
    return "\n".join(str(body.get_content()).splitlines())


def _write(file: Path, text: str) -> Path:
    file.write_text(text)
    return file
